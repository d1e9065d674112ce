"""What is frozen keeps its values, and what is unfrozen begins to learn at its turn."""

from __future__ import annotations

import logging

import pytest
import torch
from tiny_models import ARCHITECTURES, LAYERS, batch, classifier, encoder_decoder
from transformers import AutoConfig, AutoModelForCausalLM, TrainerControl, TrainerState

from nlpbench.config.errors import UserError
from nlpbench.config.load import loads
from nlpbench.config.strategies import Freeze
from nlpbench.config.training import TrainingSection
from nlpbench.config.yaml12 import dump
from nlpbench.models.structure import locate
from nlpbench.runs.finetune import finetune
from nlpbench.training import freezing
from nlpbench.training.freezing import GradualUnfreezing, freeze
from nlpbench.training.parameter_groups import parameter_groups
from nlpbench.training.trainer import BenchTrainer


def frozen(model):
    return {name for name, p in model.named_parameters() if not p.requires_grad}


def copied(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def changed(model, before):
    return {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_frozen_embeddings_and_nothing_else(model_type):
    model = classifier(model_type)
    freeze(model, Freeze(embeddings=True))
    assert frozen(model) == set(locate(model).embeddings.parameters)
    assert not model.get_input_embeddings().weight.requires_grad


@pytest.mark.parametrize("model_type", [name for name in ARCHITECTURES if name != "albert"])
def test_the_first_layers(model_type):
    model = classifier(model_type)
    freeze(model, Freeze(layers=2))
    first, second, _ = locate(model).layers
    assert frozen(model) == {*first.parameters, *second.parameters}


def test_the_encoder_comes_before_the_decoder():
    model = encoder_decoder("t5")
    freeze(model, Freeze(layers=LAYERS + 1))
    assert {name.split(".block.")[0] for name in frozen(model) if ".block." in name} == {
        "encoder",
        "decoder",
    }
    assert all(".block.0." in name for name in frozen(model) if name.startswith("decoder"))
    assert {n for n, _ in model.named_parameters() if n.startswith("encoder")} <= frozen(model)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("classifier.weight", {"classifier.weight"}),
        ("*.pooler.*", {"bert.pooler.dense.weight", "bert.pooler.dense.bias"}),
        (
            "bert.encoder.layer.[02].attention.self.query.bias",
            {f"bert.encoder.layer.{n}.attention.self.query.bias" for n in (0, 2)},
        ),
    ],
)
def test_patterns_of_parameter_names(pattern, expected):
    model = classifier("bert")
    freeze(model, Freeze(parameters=[pattern]))
    assert frozen(model) == expected


def test_all_three_ways_at_once():
    model = classifier("bert")
    freeze(model, Freeze(embeddings=True, layers=1, parameters=["bert.pooler.*"]))
    names = [name for name, _ in model.named_parameters()]
    prefixes = ("bert.embeddings.", "bert.encoder.layer.0.", "bert.pooler.")
    assert frozen(model) == {name for name in names if name.startswith(prefixes)}


BAD = [
    ({"layers": 4}, r"^training\.freeze\.layers is 4, and this bert model has 3 layers$"),
    (
        {"parameters": ["*.bias", "*.querry.*"]},
        r"^training\.freeze\.parameters: \*\.querry\.\* matches no parameter; close to it are "
        r"bert\.encoder\.layer\.0\.attention\.self\.query\.weight",
    ),
    (
        {"parameters": ["clasifier.weight"]},
        r"clasifier\.weight matches no parameter; close to it are classifier\.weight",
    ),
    ({"parameters": ["zzz"]}, r"zzz matches no parameter; there are bert\.embeddings\."),
    ({"parameters": ["*"]}, r"^training\.freeze leaves no parameter to train; freeze less$"),
]


@pytest.mark.parametrize(("options", "message"), BAD, ids=[str(options) for options, _ in BAD])
def test_what_cannot_be_frozen(options, message):
    with pytest.raises(UserError, match=message):
        freeze(classifier("bert"), Freeze(**options))


def test_shared_layers_cannot_be_frozen_one_by_one():
    message = r"^training\.freeze\.layers: the layers of this albert model share their weights"
    with pytest.raises(UserError, match=message):
        freeze(classifier("albert"), Freeze(layers=1))


def unfreezing(model, epochs_per_layer=1.0, steps_per_epoch=2):
    """The callback, and what calls it before a step as the Trainer does."""
    callback = GradualUnfreezing(model, epochs_per_layer, steps_per_epoch)

    def begin(step):
        state = TrainerState(global_step=step, max_steps=100)
        callback.on_step_begin(None, state, TrainerControl(), model=model)

    return callback, begin


def steps_of(model, count, max_grad_norm=None, **options):
    """Trains with AdamW and yields the names that each step changed, and the norm of its gradients."""
    section = TrainingSection(learning_rate=0.01, weight_decay=0.1, **options)
    inputs = batch()
    if model.config.model_type == "xlnet":
        inputs["token_type_ids"] = inputs["input_ids"] % 2
    _, begin = unfreezing(model)
    optimizer = torch.optim.AdamW(parameter_groups(model, section))
    for step in range(count):
        begin(step)
        before = copied(model)
        model(**inputs).loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm or 1e9)
        learning = [p for p in model.parameters() if p.requires_grad and p.grad is not None]
        alone = torch.nn.utils.get_total_norm([p.grad for p in learning])
        assert torch.equal(norm, alone)
        optimizer.step()
        optimizer.zero_grad()
        yield changed(model, before)


# mask_emb belongs to permutation language modelling alone.
UNUSED = {"xlnet": {"transformer.mask_emb"}}


@pytest.mark.parametrize("layerwise", [None, 0.9])
@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_one_part_more_learns_in_each_period(model_type, layerwise):
    model = classifier(model_type)
    parts = [set(part.parameters) for part in locate(model).from_the_top]
    found = list(steps_of(model, 2 * len(parts) + 2, layerwise_lr_decay=layerwise))
    for step, names in enumerate(found):
        expected = set().union(*parts[: step // 2 + 1]) - UNUSED.get(model_type, set())
        assert names == expected, step


def test_what_freeze_froze_stays_frozen_and_takes_no_turn():
    model = classifier("bert")
    freeze(model, Freeze(embeddings=True, layers=1, parameters=["bert.encoder.layer.2.*"]))
    callback, _ = unfreezing(model)
    assert [name for name, _ in callback.parts] == ["head", "bert.encoder.layer.1"]
    kept = frozen(model)
    before = copied(model)
    for _ in steps_of(model, 10):
        assert frozen(model) >= kept
    assert not changed(model, before) & kept
    assert frozen(model) == kept


def test_a_tied_head_leaves_the_first_turn_to_the_top_layer():
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    special = {"bos_token_id": 1, "eos_token_id": 2}
    model = AutoModelForCausalLM.from_config(
        AutoConfig.for_model("gpt2", vocab_size=50, **sizes, **special)
    )
    callback, _ = unfreezing(model)
    names = [name for name, _ in callback.parts]
    assert names == ["transformer.h.1", "transformer.h.0", "embeddings"]


@pytest.mark.parametrize("epochs_per_layer", [0.1, 0.5, 0.7, 1, 1.5, 3])
def test_a_turn_comes_after_its_epochs(epochs_per_layer):
    callback, _ = unfreezing(classifier("bert"), epochs_per_layer, steps_per_epoch=10)
    found = [callback.parts_trained(step) for step in range(200)]
    assert found == sorted(found)
    period = round(10 * epochs_per_layer)
    for turn in range(LAYERS + 2):
        assert found.index(turn + 1) == turn * period
    assert max(found) == LAYERS + 2


def test_what_is_trained_follows_from_the_step_alone():
    for step in range(12):
        one, other = classifier("bert"), classifier("bert")
        _, begin = unfreezing(one)
        for number in range(step + 1):
            begin(number)
        _, begin = unfreezing(other)
        begin(step)
        assert frozen(one) == frozen(other)


def test_gradients_from_before_the_first_step_do_not_count():
    model = classifier("bert")
    model(**batch()).loss.backward()
    _, begin = unfreezing(model)
    begin(0)
    with_gradient = {name for name, p in model.named_parameters() if p.grad is not None}
    assert with_gradient == set(locate(model).head.parameters)


def test_each_turn_is_told_once(caplog):
    caplog.set_level(logging.INFO, logger="nlpbench")
    _, begin = unfreezing(classifier("bert", layers=1))
    for step in range(8):
        begin(step)
    assert caplog.messages == [
        "step 1: the training of head begins",
        "step 3: the training of bert.encoder.layer.0 begins",
        "step 5: the training of embeddings begins",
    ]


@pytest.fixture
def run(tiny_config, tmp_path, monkeypatch):
    """Fine-tunes for four epochs of six steps; returns what each step changed and the weights."""
    steps = []
    original = BenchTrainer.training_step
    followed = {}

    def step(self, model, *args, **kwargs):
        if "before" in followed:
            steps.append(changed(model, followed["before"]))
        followed["before"] = copied(model)
        return original(self, model, *args, **kwargs)

    monkeypatch.setattr(BenchTrainer, "training_step", step)

    def go(name="run", resume=False, stop_after=None, **training):
        steps.clear()
        followed.clear()
        values = {"num_train_epochs": 4, "weight_decay": 0.1, "load_best_model_at_end": False}
        tiny_config["training"] |= {**values, **training}
        if stop_after is not None:

            def broken_off(self, *args, **kwargs):
                if self.state.global_step == stop_after:
                    raise KeyboardInterrupt
                return step(self, *args, **kwargs)

            monkeypatch.setattr(BenchTrainer, "training_step", broken_off)
        try:
            finetune(loads(dump(tiny_config)), tmp_path / name, resume)
        finally:
            monkeypatch.setattr(BenchTrainer, "training_step", step)
        return list(steps), (tmp_path / name / "model" / "model.safetensors").read_bytes()

    return go


def names_of(parts):
    model = classifier("bert", layers=2)
    found = locate(model).from_the_top
    return set().union(*(found[number].parameters for number in parts))


def test_a_run_with_frozen_parts(run):
    steps, _ = run(freeze={"embeddings": True, "layers": 1})
    assert len(steps) == 23
    for names in steps:
        assert names == names_of([0, 1])


def test_a_run_that_unfreezes_gradually(run):
    steps, _ = run(gradual_unfreezing={"epochs_per_layer": 1})
    for number, names in enumerate(steps):
        assert names == names_of(range(number // 6 + 1)), number


def test_the_norm_that_is_clipped_is_that_of_what_is_trained(run, monkeypatch):
    norms = []
    original = BenchTrainer._get_grad_norm

    def noted(self, model, grad_norm=None):
        norm = original(self, model, grad_norm)
        squares = [p.grad.square().sum() for p in model.parameters() if p.requires_grad]
        clipped = sum(squares).sqrt().item()
        norms.append((float(norm), clipped, sum(p.grad is not None for p in model.parameters())))
        return norm

    monkeypatch.setattr(BenchTrainer, "_get_grad_norm", noted)
    run(gradual_unfreezing={"epochs_per_layer": 1}, max_grad_norm=1e-3)
    counts = [count for _, _, count in norms]
    assert counts[::6] == [len(names_of(range(turn + 1))) for turn in range(4)]
    for norm, clipped, _ in norms:
        assert norm > 1e-3
        assert clipped == pytest.approx(1e-3, rel=1e-2)


def test_a_resumed_run_unfreezes_as_an_unbroken_one(run):
    options = {"gradual_unfreezing": {"epochs_per_layer": 0.5}, "layerwise_lr_decay": 0.8}
    steps, whole = run("whole", **options)
    with pytest.raises(KeyboardInterrupt):
        run("broken", stop_after=15, **options)
    resumed, weights = run("broken", resume=True, **options)
    assert resumed == steps[-len(resumed) :]
    assert len(resumed) == 11
    assert weights == whole


def test_without_the_callback_everything_is_trained(run, monkeypatch):
    monkeypatch.setattr(freezing.GradualUnfreezing, "on_step_begin", lambda *a, **k: None)
    steps, _ = run(gradual_unfreezing={"epochs_per_layer": 1})
    assert steps[0] == names_of(range(4))


def test_a_run_that_ends_before_every_turn_says_so(run, caplog):
    run(gradual_unfreezing={"epochs_per_layer": 3})
    assert (
        "gradual_unfreezing: the run ends after 24 steps, before the turn of bert.encoder.layer.0, "
        "embeddings" in caplog.messages
    )


@pytest.mark.parametrize("checkpointing", [False, True])
def test_frozen_embeddings_do_not_keep_the_layers_from_learning(run, checkpointing):
    steps, _ = run(freeze={"embeddings": True}, gradient_checkpointing=checkpointing, max_steps=2)
    assert steps == [names_of([0, 1, 2])]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"freeze": {"layers": 9}}, r"training\.freeze\.layers is 9, and this bert model has 2"),
        ({"reinit_layers": 3}, r"training\.reinit_layers is 3, and this bert model has 2 layers"),
    ],
)
def test_a_run_that_cannot_begin_leaves_nothing_behind(run, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        run(**options)
    assert not (tmp_path / "run").exists()
