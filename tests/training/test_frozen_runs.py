"""Whole runs with adapters, features or an average: what ends up on disk, and going on after a kill."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from conftest import TINY_BERT, topic_rows, write_jsonl
from datasets import Dataset
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, Trainer

from nlpbench import models
from nlpbench.config.load import loads
from nlpbench.config.sections import ModelSection
from nlpbench.config.yaml12 import dump
from nlpbench.evaluation.predict import predict
from nlpbench.runs.evaluate import evaluate
from nlpbench.runs.finetune import finetune
from nlpbench.tasks import Bundle
from nlpbench.tasks.text_classification import TextClassification
from nlpbench.training.moving_average import MovingAverage

STRATEGIES = {
    "lora": {"lora": {"r": 4}},
    "dora": {"lora": {"r": 4, "use_dora": True, "dropout": 0.1}},
    "merged": {"lora": {"r": 4, "merge": True}},
    "features": {"feature_extraction": True},
    "average": {"ema": {"decay": 0.9}},
    "averaged adapters": {"ema": {"decay": 0.9}, "lora": {"r": 4}},
    "averaged head": {"ema": {"decay": 0.9}, "feature_extraction": True},
}
SLOW = ("dora", "merged", "averaged adapters", "averaged head")
TASK = TextClassification(name="text-classification", max_length=24)


class KilledError(Exception):
    """Stands for a kill."""


@pytest.fixture
def run(tmp_path):
    """Fine-tunes a pretrained tiny BERT; returns the directory and the record."""
    write_jsonl(tmp_path / "data" / "train.jsonl", topic_rows(24))
    write_jsonl(tmp_path / "data" / "validation.jsonl", topic_rows(9, 100))
    write_jsonl(tmp_path / "data" / "test.jsonl", topic_rows(9, 200))
    section = ModelSection(config=TINY_BERT, tokenizer={"train": {"vocab_size": 300}})
    torch.manual_seed(0)
    tokenizer = models.tokenizer(section, [row["text"] for row in topic_rows(48)])
    base = models.load(section, TASK.auto_classes, TASK.head(["a", "b", "c"]), tokenizer, 24).model
    models.save(base, tokenizer, tmp_path / "base")

    def values(dropout=None, **training):
        return {
            "seed": 1,
            "model": {"name_or_path": str(tmp_path / "base"), "dropout": dropout},
            "data": {"source": str(tmp_path / "data")},
            "task": {"name": "text-classification", "max_length": 24},
            "training": {
                "num_train_epochs": 3,
                "learning_rate": 0.01,
                "effective_batch_size": 8,
                "precision": "fp32",
                "metric_for_best_model": "loss",
                "logging_steps": 1,
                **training,
            },
            "evaluation": {"efficiency": False, "resamples": 100},
        }

    def go(name="run", resume=False, **training):
        [record] = finetune(loads(dump(values(**training))), tmp_path / name, resume)
        return tmp_path / name, record

    go.values = values
    return go


def weights(directory):
    [file] = (directory / "model").glob("*model.safetensors")
    return load_file(file)


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def history(directory):
    lines = (directory / "history.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def validation_loss(run, directory):
    tokenizer = models.load_tokenizer(str(directory))
    loaded = models.load_finetuned(str(directory), None, TASK.auto_classes, tokenizer, 24)
    labels = TASK.labels_of(loaded.model)
    rows = topic_rows(9, 100)
    targets = np.array([labels.index(row["label"]) for row in rows])
    features = TASK.encode(Dataset.from_list(rows), targets, Bundle(tokenizer))
    logits = predict(loaded.model, features, TASK.collate(Bundle(tokenizer)), batch_size=32).values
    return float(TASK.loss(torch.from_numpy(logits), torch.from_numpy(targets))) / len(rows)


@pytest.mark.parametrize(
    "strategy",
    [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in STRATEGIES],
)
def test_what_is_saved_scores_as_it_did_in_training(run, tmp_path, strategy):
    directory, record = run(**STRATEGIES[strategy])
    losses = [line["eval_loss"] for line in history(directory) if "eval_loss" in line]
    assert losses[0] != losses[-1]
    assert record.training["best_value"] == min(losses)
    assert validation_loss(run, directory) == pytest.approx(min(losses), rel=1e-5)
    adapters = strategy in ("lora", "dora", "averaged adapters")
    assert (directory / "model" / "adapter_config.json").exists() == adapters
    if not adapters:
        plain = AutoModelForSequenceClassification.from_pretrained(directory / "model")
        assert plain.config.id2label == {0: "birds", 1: "fruit", 2: "tools"}
    [again] = evaluate(loads(dump(run.values())), tmp_path / "scored", [str(directory)])
    assert again.scores["f1_macro"].value == record.scores["f1_macro"].value
    assert again.model["architecture"] == "BertForSequenceClassification"


@pytest.mark.parametrize(
    "strategy",
    [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in STRATEGIES],
)
def test_a_resumed_run_ends_with_the_same_weights(run, monkeypatch, strategy):
    options = {**STRATEGIES[strategy], "eval_strategy": "steps", "eval_steps": 4}
    unbroken, record = run("unbroken", **options)
    original = Trainer.training_step

    def killed(self, *args, **kwargs):
        if self.state.global_step == 6:
            raise KilledError
        return original(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "training_step", killed)
        with pytest.raises(KilledError):
            run("broken", **options)
    broken, resumed = run("broken", resume=True, **options)
    assert resumed.training["resumed_from_step"] == 4
    assert same(weights(broken), weights(unbroken))
    assert history(broken)[-1]["step"] == history(unbroken)[-1]["step"]
    assert resumed.training["best_value"] == record.training["best_value"]


@pytest.mark.parametrize("strategy", ["lora", "features", "average"])
def test_a_run_killed_after_its_last_step_is_finished(run, monkeypatch, strategy):
    unbroken, _ = run("unbroken", **STRATEGIES[strategy])

    def killed(*args, **kwargs):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(models, "save", killed)
        with pytest.raises(KilledError):
            run("broken", **STRATEGIES[strategy])
    broken, _ = run("broken", resume=True, **STRATEGIES[strategy])
    assert same(weights(broken), weights(unbroken))


@pytest.mark.parametrize("best", [True, False])
def test_the_run_ends_with_the_average(run, monkeypatch, best):
    seen = []
    begin, update = MovingAverage.on_train_begin, MovingAverage.on_optimizer_step

    def begun(self, *args, **kwargs):
        begin(self, *args, **kwargs)
        own = zip(self.names, self.current, strict=True)
        seen.append({name: p.detach().clone() for name, p in own})

    def watched(self, *args, **kwargs):
        own = zip(self.names, self.current, strict=True)
        seen.append({name: p.detach().clone() for name, p in own})
        return update(self, *args, **kwargs)

    monkeypatch.setattr(MovingAverage, "on_train_begin", begun)
    monkeypatch.setattr(MovingAverage, "on_optimizer_step", watched)
    directory, record = run(ema={"decay": 0.9}, load_best_model_at_end=best)
    average = {name: value.double() for name, value in seen[0].items()}
    last = record.training["best_step"] if best else record.training["steps"]
    for step, found in enumerate(seen[1 : last + 1], 1):
        decay = min(0.9, (1 + step) / (10 + step))
        average = {
            name: decay * value + (1 - decay) * found[name].double()
            for name, value in average.items()
        }
    saved = weights(directory)
    for name, value in average.items():
        assert torch.allclose(saved[name].double(), value, atol=1e-5)
    assert not torch.allclose(saved["classifier.weight"], seen[last]["classifier.weight"])


def test_averaging_changes_no_step(run):
    plain, averaged = run("plain")[0], run("averaged", ema={"decay": 0.9})[0]
    losses, same_losses = (
        [line["loss"] for line in history(place) if "loss" in line] for place in (plain, averaged)
    )
    assert len(losses) == 9
    assert losses == same_losses


def test_features_leave_the_encoder_as_it_was(run, tmp_path):
    directory, record = run(feature_extraction=True)
    before, after = load_file(tmp_path / "base" / "model.safetensors"), weights(directory)
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed == {"classifier.weight", "classifier.bias"}
    assert record.training["trained_parameters"] == 32 * 3 + 3


def test_features_of_validation_are_those_that_an_evaluation_computes(run):
    """Training in bf16, scores in fp32."""
    directory, record = run(feature_extraction=True, precision="bf16")
    assert validation_loss(run, directory) == pytest.approx(record.training["best_value"], rel=1e-5)


def test_features_learn_what_a_frozen_encoder_learns(run):
    options = {"load_best_model_at_end": False}
    none = {"hidden": 0.0, "attention": 0.0, "classifier": 0.0}
    features, _ = run("features", dropout=none, feature_extraction=True, **options)
    frozen, _ = run("frozen", dropout=none, freeze={"parameters": ["bert.*"]}, **options)
    one, two = weights(features), weights(frozen)
    assert max(float((one[key] - two[key]).abs().max()) for key in one) < 1e-5


def test_checkpoints_of_adapters_hold_adapters_and_no_pickled_weights(run, monkeypatch):
    monkeypatch.setattr("nlpbench.training.fit.forget_checkpoints", lambda directory: None)
    directory, record = run(lora={"r": 4})
    places = list((directory / "checkpoints").glob("checkpoint-*"))
    assert places
    for place in places:
        names = {file.name for file in place.iterdir()}
        assert "adapter_model.safetensors" in names
        assert not {"model.safetensors", "pytorch_model.bin", "adapter_model.bin"} & names
    assert record.efficiency["size_mb"] < 0.1
    assert record.training["trained_parameters"] == 2 * 2 * (4 * 32 * 2) + 32 * 3 + 3
