"""Predictions come in dataset order, and follow neither from batches, threads nor precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from datasets import Dataset
from tiny_models import classifier

from nlpbench.config.errors import RunError
from nlpbench.config.sections import EvaluationSection
from nlpbench.evaluation import device, near_ties
from nlpbench.evaluation.predict import as_told, predict
from nlpbench.tasks import Bundle, Inferred
from nlpbench.tasks._margins import between_classes
from nlpbench.tasks.causal_language_modeling import CausalLanguageModeling
from nlpbench.tasks.text_classification import TextClassification
from nlpbench.tasks.text_generation import TextGeneration


def rows(count):
    lengths = [2 + number * 7 % 13 for number in range(count)]
    ids = [[3 + (number + step) % 40 for step in range(n)] for number, n in enumerate(lengths)]
    return Dataset.from_dict({"input_ids": ids, "length": lengths, "number": list(range(count))})


def collate(features):
    width = max(len(row["input_ids"]) for row in features)
    ids = torch.zeros(len(features), width, dtype=torch.long)
    for place, row in enumerate(features):
        ids[place, : len(row["input_ids"])] = torch.tensor(row["input_ids"])
    return {"input_ids": ids, "attention_mask": (ids > 0).long()}


def numbered(features):
    return {**collate(features), "number": torch.tensor([row["number"] for row in features])}


@pytest.fixture
def bf16(monkeypatch):
    """As on hardware that computes in bf16."""
    monkeypatch.setattr(device, "computes_in_bf16", lambda _: True)


@pytest.mark.parametrize("batch_size", [1, 7, 1000, "auto"])
def test_any_batch_size_gives_the_same(batch_size):
    model, features = classifier("bert"), rows(100)
    with torch.no_grad():
        expected = [model.eval()(**collate([row])).logits[0].numpy() for row in features]
    found = predict(model, features, collate, batch_size=batch_size)
    assert found.values == pytest.approx(np.array(expected), abs=1e-6)
    assert found.count == 100
    assert found.precision == "fp32"


def test_threads_change_nothing():
    model, features = classifier("bert"), rows(100)
    alone = predict(model, features, collate, batch_size="auto")
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        found = predict(model, features, collate, batch_size="auto", side_by_side=True)
    finally:
        torch.set_num_threads(before)
    assert (found.values == alone.values).all()
    assert (found.padded_share, found.tokens) == (alone.padded_share, alone.tokens)


class Noisy:
    """Logits that are off by up to 0.05 where the arithmetic is bf16."""

    def __init__(self, exact):
        self.exact = exact
        self.noise = np.random.default_rng(1).uniform(-0.05, 0.05, exact.shape)
        self.in_fp32 = []

    def __call__(self, batch):
        numbers = batch["number"].numpy()
        if torch.is_autocast_enabled("cpu"):
            return Inferred(self.exact[numbers] + self.noise[numbers])
        self.in_fp32 += numbers.tolist()
        return Inferred(self.exact[numbers])


@pytest.fixture
def noisy():
    return Noisy(np.random.default_rng(0).normal(scale=3, size=(400, 3)))


def go(infer, margins=between_classes, precision="auto", count=400):
    model = torch.nn.Linear(1, 1)
    return predict(
        model, rows(count), numbered, infer, batch_size=32, precision=precision, margins=margins
    )


def test_auto_gives_the_answers_of_fp32(bf16, noisy):
    assert (go(noisy, precision="bf16").values.argmax(1) != noisy.exact.argmax(1)).any()
    noisy.in_fp32.clear()
    found = go(noisy)
    assert (found.values.argmax(1) == noisy.exact.argmax(1)).all()
    assert found.precision == "bf16"
    assert 0 < found.in_fp32 < 100
    assert len(noisy.in_fp32) == found.in_fp32 + near_ties.SAMPLE


def test_auto_computes_in_fp32_what_it_cannot_check(bf16, noisy):
    for margins in (None, lambda values: None):
        found = go(noisy, margins=margins)
        assert found.precision == "fp32"
        assert (found.values == noisy.exact).all()


def test_auto_gives_bf16_up_where_most_answers_are_near_ties(bf16, noisy):
    noisy.exact = noisy.exact / 100
    found = go(noisy)
    assert found.precision == "fp32"
    assert (found.values == noisy.exact).all()


def test_auto_is_fp32_where_the_hardware_computes_in_nothing_narrower(noisy, monkeypatch):
    monkeypatch.setattr(device, "computes_in_bf16", lambda _: False)
    assert (go(noisy).values == noisy.exact).all()


def test_values_of_unlike_shapes_are_checked_as_well(bf16, noisy):
    def infer(batch):
        return Inferred(list(noisy(batch).values))

    found = go(infer, lambda values: between_classes(np.array(values)))
    assert isinstance(found.values, list)
    assert (np.array(found.values).argmax(1) == noisy.exact.argmax(1)).all()


def test_the_loss_counts_every_row_once(bf16, noisy):
    def infer(batch):
        count = float(len(batch["number"]))
        return Inferred(noisy(batch).values, np.array([2 * count]), np.array([count]))

    assert go(infer).loss == 2.0


def test_numbers_that_are_not_finite_name_the_precision(bf16, noisy):
    noisy.noise[7] = np.nan
    with pytest.raises(RunError, match=r"not finite \(bf16\)"):
        go(noisy)


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (TextClassification(name="text-classification"), ("auto", True)),
        (CausalLanguageModeling(name="causal-language-modeling"), ("auto", False)),
        (TextGeneration(name="text-generation"), (32, False)),
    ],
)
def test_what_a_config_says_of_a_task(task, expected):
    told = as_told(EvaluationSection(), task, Bundle(None))
    assert (told["batch_size"], told["side_by_side"]) == expected


def test_a_compiled_model_runs_in_one_thread():
    task = TextClassification(name="text-classification")
    assert not as_told(EvaluationSection(compile=True), task, Bundle(None))["side_by_side"]
