"""The training objective: against torch's and hand-written formulas, and as a sum over micro-batches."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from conftest import TINY_BERT
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F
from transformers import AutoConfig

from nlpbench.config.errors import UserError
from nlpbench.config.load import loads
from nlpbench.config.sections import Dropout
from nlpbench.config.training import TrainingSection
from nlpbench.config.yaml12 import dump
from nlpbench.models.dropout import FIRST, override
from nlpbench.runs.finetune import finetune
from nlpbench.tasks.text_classification import TextClassification
from nlpbench.training import objective as objectives
from nlpbench.training.objective import Objective, build, check_passes_differ

CLASSES = 4
NAMES = ["a", "b", "c", "d"]
TASKS = {
    kind: TextClassification(name="text-classification", problem_type=problem_type)
    for kind, problem_type in {
        "single": "single_label_classification",
        "multi": "multi_label_classification",
        "regression": "regression",
    }.items()
}
SINGLE_STRATEGIES = [
    {},
    {"label_smoothing": 0.2},
    {"class_weights": torch.tensor([0.5, 1.0, 2.0, 7.0])},
    {"class_weights": torch.tensor([0.5, 1.0, 2.0, 7.0]), "label_smoothing": 0.2},
    {"class_weights": torch.tensor([0.5, 1.0, 2.0, 7.0]), "focal_gamma": 2.0},
    {"focal_gamma": 0.5},
]
MULTI_STRATEGIES = [
    {},
    {"class_weights": torch.tensor([0.5, 1.0, 2.0, 7.0])},
    {"class_weights": torch.tensor([0.5, 1.0, 2.0, 7.0]), "focal_gamma": 2.0},
    {"focal_gamma": 0.5},
]
STRATEGIES = [
    *(("single", options) for options in SINGLE_STRATEGIES),
    *(("multi", options) for options in MULTI_STRATEGIES),
    ("regression", {}),
]


def data(kind, rows, seed=0, spread=2.0):
    generator = torch.Generator().manual_seed(seed)
    width = 1 if kind == "regression" else CLASSES
    logits = spread * torch.randn(rows, width, generator=generator, dtype=torch.float64)
    if kind == "single":
        return logits, torch.randint(CLASSES, (rows,), generator=generator)
    if kind == "multi":
        return logits, torch.randint(2, (rows, CLASSES), generator=generator).double()
    return logits, torch.randn(rows, generator=generator, dtype=torch.float64)


def mean(objective, logits, labels):
    return objective.total(logits, labels) / objective.targets(labels)


def section(**training):
    return TrainingSection.model_validate(training)


@pytest.mark.parametrize("alpha", [None, 1.5])
@pytest.mark.parametrize(("kind", "options"), STRATEGIES)
@given(rows=st.integers(2, 9), cut=st.integers(1, 8), seed=st.integers(0, 2**31))
@settings(max_examples=15, deadline=None)
def test_micro_batches_add_up(kind, options, alpha, rows, cut, seed):
    objective = Objective(TASKS[kind], **options, r_drop_alpha=alpha)
    logits, labels = data(kind, rows, seed)
    other, _ = data(kind, rows, seed + 1)
    cut = min(cut, rows - 1)
    parts = (slice(0, cut), slice(cut, rows))
    passes = [logits] if alpha is None else [logits, other]
    totals = [objective.total(torch.cat([one[p] for one in passes]), labels[p]) for p in parts]
    whole = objective.total(torch.cat(passes), labels)
    torch.testing.assert_close(totals[0] + totals[1], whole)
    targets = [objective.targets(labels[p]) for p in parts]
    torch.testing.assert_close(targets[0] + targets[1], objective.targets(labels))


def test_a_mean_of_micro_batch_means_would_not_add_up():
    objective = Objective(TASKS["single"], class_weights=torch.tensor([0.1, 1.0, 1.0, 9.0]))
    logits, labels = data("single", 8)
    halves = [mean(objective, logits[p], labels[p]) for p in (slice(0, 4), slice(4, 8))]
    whole = mean(objective, logits, labels)
    assert abs(sum(halves) / 2 - whole) > 1e-2 * whole


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("weights", [None, [0.5, 1.0, 2.0, 7.0]])
def test_cross_entropy_is_torchs_mean(weights, smoothing):
    logits, labels = data("single", 11)
    weights = None if weights is None else torch.tensor(weights)
    expected = torch.nn.CrossEntropyLoss(
        None if weights is None else weights.double(), label_smoothing=smoothing
    )(logits, labels)
    mine = Objective(TASKS["single"], class_weights=weights, label_smoothing=smoothing)
    torch.testing.assert_close(mean(mine, logits, labels), expected)


def test_label_sets_are_weighed_as_by_torchs_pos_weight():
    logits, labels = data("multi", 11)
    weights = torch.tensor([0.5, 1.0, 2.0, 7.0])
    expected = torch.nn.BCEWithLogitsLoss(pos_weight=weights.double())(logits, labels)
    mine = Objective(TASKS["multi"], class_weights=weights)
    torch.testing.assert_close(mean(mine, logits, labels), expected)


@pytest.mark.parametrize("kind", TASKS)
def test_without_a_strategy_it_is_the_loss_of_the_task(kind):
    objective = build(section(), TASKS[kind], NAMES, np.array([0]))
    logits, labels = data(kind, 7)
    torch.testing.assert_close(
        objective.total(logits, labels), TASKS[kind].loss(logits, labels), rtol=0, atol=0
    )
    assert objective.targets(labels) == labels.numel()
    batch = {"input_ids": torch.ones(7, 3)}
    assert objective.inputs(batch)["input_ids"] is batch["input_ids"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize(("kind", "options"), STRATEGIES)
def test_totals_are_float32_and_float64_stays(kind, options, dtype):
    logits, labels = data(kind, 6)
    labels = labels.float() if kind != "single" else labels
    for alpha in (None, 1.0):
        passes = logits if alpha is None else torch.cat([logits, logits])
        found = Objective(TASKS[kind], **options, r_drop_alpha=alpha).total(
            passes.to(dtype), labels
        )
        assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert found.shape == ()


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("weights", [None, [0.5, 1.0, 2.0, 7.0]])
def test_focal_loss_of_single_labels_by_hand(gamma, weights):
    logits, labels = data("single", 9)
    expected = divisor = 0.0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        share = math.exp(row[label]) / sum(map(math.exp, row))
        weight = 1.0 if weights is None else weights[label]
        expected += weight * (1 - share) ** gamma * -math.log(share)
        divisor += weight
    options = section(
        focal_loss={"gamma": gamma},
        class_weights=None if weights is None else dict(zip(NAMES, weights, strict=True)),
    )
    objective = build(options, TASKS["single"], NAMES, labels.numpy())
    assert float(objective.total(logits, labels)) == pytest.approx(expected)
    assert float(objective.targets(labels)) == pytest.approx(divisor)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("weights", [None, [0.5, 1.0, 2.0, 7.0]])
def test_focal_loss_of_label_sets_by_hand(gamma, weights):
    logits, labels = data("multi", 9)
    expected = 0.0
    for row, flags in zip(logits.tolist(), labels.tolist(), strict=True):
        for place, (value, flag) in enumerate(zip(row, flags, strict=True)):
            yes = 1 / (1 + math.exp(-value))
            share = yes if flag else 1 - yes
            weight = weights[place] if weights is not None and flag else 1.0
            expected += weight * (1 - share) ** gamma * -math.log(share)
    options = section(
        focal_loss={"gamma": gamma},
        class_weights=None if weights is None else dict(zip(NAMES, weights, strict=True)),
    )
    objective = build(options, TASKS["multi"], NAMES, labels.numpy())
    assert float(objective.total(logits, labels)) == pytest.approx(expected)
    assert objective.targets(labels) == 36


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_without_focus_focal_loss_is_the_plain_one(kind):
    logits, labels = data(kind, 9)
    focal = Objective(TASKS[kind], focal_gamma=1e-12)
    torch.testing.assert_close(focal.total(logits, labels), TASKS[kind].loss(logits, labels))


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_focal_loss_turns_to_the_rows_that_are_wrong(kind):
    right, wrong = [4.0, -4, -4, -4], [-4.0, 4, -4, -4]
    labels = torch.tensor([0, 0]) if kind == "single" else torch.tensor([[1.0, 0, 0, 0]] * 2)
    slopes = []
    for objective in (Objective(TASKS[kind]), Objective(TASKS[kind], focal_gamma=2.0)):
        logits = torch.tensor([right, wrong], requires_grad=True)
        objective.total(logits, labels).backward()
        slopes.append(logits.grad.abs().sum(-1))
    kept = slopes[1] / slopes[0]
    assert kept[0] < 0.01
    assert kept[1] > 0.9


@pytest.mark.parametrize("gamma", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("kind", ["single", "multi"])
def test_focal_loss_of_extreme_logits_has_a_finite_slope(kind, gamma):
    logits = torch.tensor([[300.0, -300.0, 0.0, 1e-4], [-300.0, 300.0, 60.0, 0.0]])
    labels = torch.tensor([0, 0]) if kind == "single" else torch.tensor([[1.0, 0, 0, 1]] * 2)
    logits.requires_grad_()
    total = Objective(TASKS[kind], focal_gamma=gamma).total(logits, labels)
    total.backward()
    assert total.isfinite()
    assert logits.grad.isfinite().all()
    assert logits.grad[1].abs().sum() > 0


def kl(p, q):
    return sum(one * math.log(one / two) for one, two in zip(p, q, strict=True))


def softmax(row):
    powers = [math.exp(value) for value in row]
    return [power / sum(powers) for power in powers]


def test_r_drop_of_single_labels_by_hand():
    (one, labels), (two, _) = data("single", 5), data("single", 5, seed=1)
    agreement = 0.0
    for first, second in zip(one.tolist(), two.tolist(), strict=True):
        p, q = softmax(first), softmax(second)
        agreement += (kl(p, q) + kl(q, p)) / 2
    expected = (F.cross_entropy(one, labels) + F.cross_entropy(two, labels)) / 2
    expected += 3.0 * agreement / 5
    objective = build(section(r_drop={"alpha": 3.0}), TASKS["single"], NAMES, labels.numpy())
    torch.testing.assert_close(mean(objective, torch.cat([one, two]), labels), expected)


def test_r_drop_of_label_sets_by_hand():
    (one, labels), (two, _) = data("multi", 5), data("multi", 5, seed=1)
    agreement = 0.0
    for first, second in zip(one.flatten().tolist(), two.flatten().tolist(), strict=True):
        p, q = ([share, 1 - share] for share in (softmax([first, 0])[0], softmax([second, 0])[0]))
        agreement += (kl(p, q) + kl(q, p)) / 2
    plain = F.binary_cross_entropy_with_logits
    expected = (plain(one, labels) + plain(two, labels)) / 2 + 3.0 * agreement / labels.numel()
    objective = Objective(TASKS["multi"], r_drop_alpha=3.0)
    torch.testing.assert_close(mean(objective, torch.cat([one, two]), labels), expected)


def test_r_drop_of_numbers_is_the_squared_difference():
    (one, labels), (two, _) = data("regression", 5), data("regression", 5, seed=1)
    expected = (F.mse_loss(one[:, 0], labels) + F.mse_loss(two[:, 0], labels)) / 2
    expected += 3.0 * F.mse_loss(one, two)
    objective = Objective(TASKS["regression"], r_drop_alpha=3.0)
    torch.testing.assert_close(mean(objective, torch.cat([one, two]), labels), expected)


def test_class_weights_weigh_the_disagreement_of_their_rows():
    (one, labels), (two, _) = data("single", 1), data("single", 1, seed=1)
    passes = torch.cat([one, two])
    heavy = Objective(TASKS["single"], class_weights=torch.full((4,), 5.0), r_drop_alpha=1.0)
    plain = Objective(TASKS["single"], r_drop_alpha=1.0)
    torch.testing.assert_close(mean(heavy, passes, labels), mean(plain, passes, labels))
    torch.testing.assert_close(heavy.total(passes, labels), 5 * plain.total(passes, labels))


@pytest.mark.parametrize("kind", TASKS)
def test_passes_that_agree_cost_nothing(kind):
    logits, labels = data(kind, 5)
    found = Objective(TASKS[kind], r_drop_alpha=100.0).total(torch.cat([logits] * 2), labels)
    torch.testing.assert_close(found, TASKS[kind].loss(logits, labels))


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_disagreement_of_extreme_logits_has_a_finite_slope(kind):
    logits = torch.tensor([[300.0, -300, 0, 0], [-300.0, 300, 0, 0]], requires_grad=True)
    labels = torch.tensor([0]) if kind == "single" else torch.tensor([[1.0, 0, 0, 1]])
    Objective(TASKS[kind], r_drop_alpha=1.0).total(logits, labels).backward()
    assert logits.grad.isfinite().all()


def test_r_drop_computes_every_row_with_two_masks():
    objective = Objective(TASKS["single"], r_drop_alpha=1.0)
    batch = {
        "input_ids": torch.arange(6).reshape(2, 3),
        "attention_mask": torch.ones(2, 3),
        "labels": torch.tensor([1, 0]),
    }
    doubled = objective.inputs(batch)
    assert doubled["input_ids"].tolist() == [[0, 1, 2], [3, 4, 5]] * 2
    assert doubled["attention_mask"].shape == (4, 3)
    assert doubled["labels"].tolist() == [1, 0]
    torch.manual_seed(0)
    one, two = torch.nn.Dropout(0.5)(torch.ones(4, 50)).chunk(2)
    assert not torch.equal(one, two)


def test_balanced_weights_of_single_labels_are_those_of_sklearn():
    labels = np.array([0] * 6 + [1] * 3 + [3])
    objective = build(section(class_weights="balanced"), TASKS["single"], NAMES, labels)
    expected = compute_class_weight("balanced", classes=np.array([0, 1, 3]), y=labels)
    weights = [float(objective.targets(torch.tensor([number]))) for number in range(4)]
    assert weights == pytest.approx([expected[0], expected[1], 1.0, expected[2]])
    # over the training rows they weigh as much as no weights would
    assert float(objective.targets(torch.tensor(labels))) == pytest.approx(10)


def test_balanced_weights_of_label_sets_are_the_negatives_by_the_positives():
    labels = np.array([[1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 1, 0], [0, 1, 1, 0]])
    objective = build(section(class_weights="balanced"), TASKS["multi"], NAMES, labels)
    flags = torch.eye(4)
    found = [
        float(objective.total(torch.zeros(1, 4), flags[[place]])) / math.log(2) - 3
        for place in range(4)
    ]
    assert found == pytest.approx([3, 1 / 3, 1, 1])


def test_weights_by_name():
    labels = np.array([0, 1, 2, 3])
    objective = build(section(class_weights={"d": 3.0, "b": 0.5}), TASKS["single"], NAMES, labels)
    weights = [float(objective.targets(torch.tensor([number]))) for number in range(4)]
    assert weights == [1, 0.5, 1, 3]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            {"negativ": 2.0},
            'training.class_weights: there is no label "negativ"  did you mean negative?',
        ),
        (
            {"negative": 2.0, "0": 2.0},
            'training.class_weights: there is no label "0"  allowed: negative, positive',
        ),
    ],
)
def test_a_weight_of_no_label(asked, message):
    with pytest.raises(UserError) as caught:
        build(
            section(class_weights=asked),
            TASKS["single"],
            ["negative", "positive"],
            np.array([0, 1]),
        )
    assert str(caught.value) == message


def test_weights_follow_logits_and_labels_to_their_devices():
    objective = Objective(TASKS["single"], class_weights=torch.tensor([1.0, 2.0, 3.0, 4.0]))
    logits, labels = data("single", 3)
    assert objective.total(logits.to("meta"), labels.to("meta")).device.type == "meta"
    assert objective.targets(labels) == (labels + 1).sum()


def test_the_power_would_have_no_finite_slope_without_its_guard(monkeypatch):
    monkeypatch.setattr(objectives, "_error", lambda loss: 1 - torch.exp(-loss))
    logits = torch.tensor([[300.0, -300.0, 0.0, 0.0]], requires_grad=True)
    Objective(TASKS["single"], focal_gamma=0.3).total(logits, torch.tensor([0])).backward()
    assert logits.grad.isnan().any()


@pytest.fixture
def updated(tiny_config, tmp_path, monkeypatch):
    """The weights after two steps of plain gradient descent without dropout."""
    monkeypatch.setattr(objectives, "check_passes_differ", lambda section, config: None)
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}

    def run(name, dropout=False, **training):
        bert = TINY_BERT if dropout else {**TINY_BERT, **still}
        values = {
            **tiny_config,
            "model": {**tiny_config["model"], "config": bert},
            "training": {
                **tiny_config["training"],
                "max_steps": 2,
                "learning_rate": 0.1,
                "eval_strategy": "no",
                "arguments": {"optim": "sgd"},
                **training,
            },
        }
        finetune(loads(dump(values)), tmp_path / name)
        saved = load_file(tmp_path / name / "model" / "model.safetensors")
        return torch.cat([saved[key].flatten() for key in sorted(saved)])

    return run


@pytest.mark.parametrize(
    "training",
    [
        {"class_weights": {"birds": 5.0}},
        {"focal_loss": {"gamma": 1.0}},
        {"focal_loss": {"gamma": 1.0}, "class_weights": {"birds": 5.0}},
        {"label_smoothing_factor": 0.3, "class_weights": {"birds": 5.0}},
        {"r_drop": {"alpha": 2.0}, "class_weights": {"birds": 5.0}},
    ],
)
def test_a_strategy_reaches_the_weights_however_the_batch_is_cut_up(updated, training):
    plain = updated("plain")
    whole = updated("whole", **training)
    parts = updated("parts", **training, per_device_train_batch_size=2)
    assert (whole - plain).norm() > 1e-3
    assert (whole - parts).norm() < 1e-5 * (whole - plain).norm() + 1e-5


def test_r_drop_is_about_dropout(updated):
    options = {"r_drop": {"alpha": 5.0}}
    torch.testing.assert_close(updated("without"), updated("still", **options), atol=1e-5, rtol=0)
    plain = updated("plain", dropout=True)
    assert (updated("agreeing", dropout=True, **options) - plain).norm() > 1e-3


@pytest.mark.parametrize("model_type", ["bert", "distilbert", "roberta", "albert", "gpt2", "bart"])
def test_r_drop_needs_passes_that_differ(model_type):
    config = AutoConfig.for_model(model_type)
    asked = section(r_drop={})
    check_passes_differ(asked, config)
    override(config, Dropout(hidden=0.0, attention=0.0))
    if any(hasattr(config, name) for name in FIRST["classifier"]):
        override(config, Dropout(classifier=0.0))
    with pytest.raises(UserError) as caught:
        check_passes_differ(asked, config)
    assert str(caught.value) == (
        f"training.r_drop: this {model_type} model has no dropout, so both passes are the same; "
        "write model.dropout: {hidden: 0.1}"
    )
    check_passes_differ(section(), config)
    check_passes_differ(section(r_drop={}, neftune_noise_alpha=5.0), config)


def test_a_weight_of_no_label_ends_the_run_before_it_begins(updated, tmp_path):
    with pytest.raises(UserError, match='there is no label "bird"  did you mean birds'):
        updated("run", class_weights={"bird": 2.0})
    assert not (tmp_path / "run").exists()
