"""Runs whose probabilities and decisions are fitted on the validation rows, and their errors."""

from __future__ import annotations

import json
import random
import shutil

import numpy as np
import pytest
from conftest import TINY_BERT, TOPICS, write_jsonl
from scipy.special import softmax
from sklearn.metrics import f1_score

from nlpbench.config.errors import UserError
from nlpbench.config.load import loads
from nlpbench.config.yaml12 import dump
from nlpbench.models.settings import copy_with
from nlpbench.results.record import read as read_record
from nlpbench.runs.calibrate import calibrate
from nlpbench.runs.evaluate import evaluate
from nlpbench.runs.finetune import finetune

ENTRIES = ["nlpbench_temperature", "nlpbench_settled_on"]


def noisy_rows(count, seed):
    """Two topics, the rarer one of which is the positive one; one label in five is wrong."""
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        topic = "tools" if draw.random() < 0.3 else "fruit"
        words = " ".join(draw.choices(TOPICS[topic], k=draw.randint(2, 6)))
        wrong = draw.random() < 0.2
        label = {"tools": "fruit", "fruit": "tools"}[topic] if wrong else topic
        rows.append({"text": f"{words} {number}", "label": label})
    return rows


def read(file):
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def values(folder, **task):
    return {
        "seed": 1,
        "model": {"config": TINY_BERT, "tokenizer": {"train": {"vocab_size": 300}}},
        "data": {"source": str(folder)},
        "task": {"name": "text-classification", "max_length": 16, **task},
        "training": {
            "num_train_epochs": 25,
            "learning_rate": 0.005,
            "effective_batch_size": 16,
            "precision": "fp32",
            "eval_strategy": "no",
        },
        "evaluation": {
            "efficiency": False,
            "resamples": 100,
            "metrics": ["accuracy", "f1", {"name": "expected-calibration-error", "bins": 5}],
            "error_analysis": True,
        },
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with a temperature, and its config."""
    folder = tmp_path_factory.mktemp("calibrated")
    for seed, (split, count) in enumerate([("train", 96), ("validation", 60), ("test", 60)]):
        write_jsonl(folder / "data" / f"{split}.jsonl", noisy_rows(count, seed))
    config = loads(dump(values(folder / "data", temperature_scaling=True)))
    finetune(config, folder / "run")
    return folder / "run", config


@pytest.fixture
def plain(run, tmp_path):
    """The model of the run as if nothing had been fitted."""
    shutil.copytree(run[0] / "model", tmp_path / "plain")
    file = tmp_path / "plain" / "config.json"
    kept = {key: one for key, one in json.loads(file.read_text()).items() if key not in ENTRIES}
    file.write_text(json.dumps(kept))
    return tmp_path / "plain"


def on_validation(config):
    section = config.evaluation.model_copy(update={"split": "validation", "error_analysis": None})
    return config.model_copy(update={"evaluation": section})


def log_loss(rows):
    return -np.mean([np.log(row["probabilities"][row["reference"]]) for row in rows])


def test_the_temperature_is_kept_with_the_model_and_used(run):
    from transformers import pipeline

    directory, _ = run
    saved = json.loads((directory / "model" / "config.json").read_text())
    temperature = saved["nlpbench_temperature"]
    assert temperature > 1.1
    assert "nlpbench_thresholds" not in saved
    record = read_record(directory)
    assert record.model["temperature"] == temperature
    assert record.model["settled_on"] == record.data["validation"].fingerprint
    rows = read(directory / "predictions.jsonl")
    texts = [row["text"] for row in read(directory.parent / "data" / "test.jsonl")]
    plain = pipeline("text-classification", str(directory / "model"), device="cpu")
    told = plain(texts, top_k=None, function_to_apply="none")
    logits = [[one["score"] for one in sorted(row, key=lambda one: one["label"])] for row in told]
    shares = [[row["probabilities"]["fruit"], row["probabilities"]["tools"]] for row in rows]
    expected = softmax(np.array(logits) / temperature, axis=1)
    assert np.array(shares) == pytest.approx(expected, abs=1e-5)
    answers = [max(row, key=lambda one: one["score"])["label"] for row in told]
    assert [row["prediction"] for row in rows] == answers


def test_the_record_tells_the_bins_of_the_metric_and_the_errors(run):
    directory, _ = run
    record = read_record(directory)
    assert len(record.reliability) == 5
    gaps = [one.rows * abs(one.confidence - one.accuracy) for one in record.reliability if one.rows]
    expected = record.scores["expected_calibration_error"].value
    assert sum(gaps) / 60 == pytest.approx(expected)
    losses = read(directory / "highest_loss.jsonl")
    assert len(losses) == 50
    assert record.errors["loss"]["highest"] == losses[0]["loss"] == max(r["loss"] for r in losses)
    test = read(directory.parent / "data" / "test.jsonl")
    assert losses[0]["text"] == test[losses[0]["id"]]["text"]
    wrong = [
        row
        for row in read(directory / "predictions.jsonl")
        if row["reference"] != row["prediction"]
    ]
    pairs = read(directory / "confused_pairs.jsonl")
    assert sum(pair["count"] for pair in pairs) == len(wrong)
    suspected = read(directory / "suspected_label_errors.jsonl")
    assert record.errors["suspected_label_errors"] == len(suspected) > 0
    assert {row["id"] for row in suspected} <= {row["id"] for row in wrong}


def test_evaluate_uses_the_temperature_too(run, plain, tmp_path):
    directory, config = run
    [again] = evaluate(config, tmp_path / "again", [str(directory)])
    record = read_record(directory)
    assert {key: one.value for key, one in again.scores.items()} == {
        key: one.value for key, one in record.scores.items()
    }
    assert again.reliability == record.reliability
    assert again.errors == record.errors
    assert again.warnings == record.warnings
    [raw] = evaluate(config, tmp_path / "raw", [str(plain)])
    assert raw.scores["accuracy"].value == record.scores["accuracy"].value
    calibrated, before = (
        record_.scores["expected_calibration_error"].value for record_ in (record, raw)
    )
    assert calibrated < before
    assert "temperature" not in raw.model


def test_scores_of_the_rows_that_were_fitted_on_are_told_to_flatter(run, plain, tmp_path):
    directory, config = run
    [record] = evaluate(on_validation(config), tmp_path / "fitted", [str(directory)])
    assert [one for one in record.warnings if "these very rows" in one] == [
        "what the model's configuration holds of thresholds or a temperature was chosen on these "
        "very rows, so the scores flatter; score other rows"
    ]
    [raw] = evaluate(on_validation(config), tmp_path / "raw", [str(plain)])
    assert not [one for one in raw.warnings if "these very rows" in one]
    scaled, before = (read(tmp_path / one / "predictions.jsonl") for one in ("fitted", "raw"))
    assert log_loss(scaled) < log_loss(before)
    assert not (tmp_path / "raw" / "highest_loss.jsonl").exists()


def test_a_trained_model_is_calibrated(run, plain, tmp_path, nlpbench):
    _, config = run
    file = tmp_path / "config.yaml"
    file.write_text(dump(config.resolved()))
    done = nlpbench(
        "calibrate", file, "task.temperature_scaling=false", "task.tune_thresholds=f1",
        "--model", plain, "--output-dir", tmp_path / "tuned",
    )  # fmt: skip
    saved = json.loads((tmp_path / "tuned" / "config.json").read_text())
    [(label, threshold)] = saved["nlpbench_thresholds"].items()
    assert label == "tools"
    assert done.stdout == f"thresholds:\n  tools: {threshold}\n"
    assert "f1 on the validation rows goes from" in done.stderr
    assert done.stderr.endswith(f"wrote {tmp_path / 'tuned'}\n")
    weights = [(place / "model.safetensors").read_bytes() for place in (plain, tmp_path / "tuned")]
    assert weights[0] == weights[1]
    config = on_validation(config)
    [before] = evaluate(config, tmp_path / "before", [str(plain)])
    [after] = evaluate(config, tmp_path / "after", [str(tmp_path / "tuned")])
    assert after.scores["f1"].value >= before.scores["f1"].value
    rows = read(tmp_path / "after" / "predictions.jsonl")
    given = [row["probabilities"]["tools"] >= threshold for row in rows]
    assert [row["prediction"] == "tools" for row in rows] == given
    best = max(
        f1_score([row["reference"] == "tools" for row in rows],
                 [row["probabilities"]["tools"] >= cut["probabilities"]["tools"] for row in rows])
        for cut in rows
    )  # fmt: skip
    assert after.scores["f1"].value == pytest.approx(best)


def test_what_cannot_be_calibrated(run, tmp_path):
    directory, config = run
    nothing = loads(dump(values(directory.parent / "data")))
    with pytest.raises(UserError) as caught:
        calibrate(nothing, tmp_path / "out", str(directory))
    assert str(caught.value) == (
        "the config has text-classification choose nothing on validation rows; for "
        "text-classification write task.temperature_scaling: true, or task.tune_thresholds: f1"
    )
    with pytest.raises(UserError) as caught:
        calibrate(config, directory, str(directory))
    assert str(caught.value) == f"{directory} is there already; name a new one with --output-dir"
    assert not (tmp_path / "out").exists()


def test_training_anew_forgets_what_was_fitted(run, tmp_path):
    from nlpbench import models
    from nlpbench.runs.preparation import prepare

    directory, config = run
    section = config.model.model_validate(str(directory / "model"))
    prepared = prepare(config.model_copy(update={"model": section}))
    model = prepared.loaded.model
    assert [getattr(model.config, key) for key in ENTRIES] == [None, None]
    models.save(model, prepared.tokenizer, tmp_path / "anew")
    assert not [
        key
        for key in json.loads((tmp_path / "anew" / "config.json").read_text())
        if "nlpbench" in key
    ]


def test_rows_that_tell_nothing_are_told_in_the_record(tmp_path):
    folder = tmp_path / "data"
    for split, count in (("train", 32), ("validation", 6), ("test", 6)):
        rows = [{"text": f"pear {number}", "label": "fruit"} for number in range(count)]
        rows[:4] = [{"text": "saw", "label": "tools"}] * 4 if split == "train" else rows[:4]
        write_jsonl(folder / f"{split}.jsonl", rows)
    told = values(folder, tune_thresholds="f1")
    told["training"]["num_train_epochs"] = 1
    [record] = finetune(loads(dump(told)), tmp_path / "run")
    assert record.model["thresholds"] == {"tools": 0.5}
    [warning] = [one for one in record.warnings if one.startswith("tune_thresholds")]
    assert warning == (
        "tune_thresholds: the validation rows do not tell the threshold of 1 of 1 labels, which "
        "stays 0.5 (tools: no row has it)"
    )


def test_the_configuration_of_adapters_is_that_of_their_base(tmp_path):
    (tmp_path / "adapters").mkdir()
    (tmp_path / "adapters" / "adapter_config.json").write_text("{}")
    base = {"name": "some", "revision": None, "weights": None, "config": {"model_type": "bert"}}
    (tmp_path / "adapters" / "base.json").write_text(json.dumps(base))
    (tmp_path / "copy").mkdir()
    copy_with({"nlpbench_temperature": 2.0}, tmp_path / "adapters", tmp_path / "copy")
    found = json.loads((tmp_path / "copy" / "base.json").read_text())
    assert found == {**base, "config": {"model_type": "bert", "nlpbench_temperature": 2.0}}


def test_validation_rows_are_read_where_something_is_chosen_on_them(run):
    _, config = run
    assert config.training.eval_strategy == "no"
    assert config.needed_splits == ["train", "validation", "test"]
    plain = config.task.model_copy(update={"temperature_scaling": False})
    assert config.model_copy(update={"task": plain}).needed_splits == ["train", "test"]
