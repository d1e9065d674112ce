"""What a run reports, what evaluating it again reports, and scikit-learn on its predictions agree."""

from __future__ import annotations

import json

import numpy as np
import pytest
from conftest import TINY_BERT, topic_rows, write_jsonl
from scipy import stats
from sklearn import metrics as sk

from nlpbench.config.errors import UserError
from nlpbench.config.load import load, loads
from nlpbench.config.yaml12 import dump
from nlpbench.results.record import read
from nlpbench.results.table import build
from nlpbench.runs.evaluate import evaluate
from nlpbench.runs.finetune import finetune

F1 = [{"name": "f1", "average": average} for average in ("macro", "micro", "weighted")]
TASKS = {
    "single": ({}, [*F1, "accuracy", "mcc", "balanced-accuracy"]),
    "multi": (
        {"problem_type": "multi_label_classification", "label_column": "labels"},
        [*F1, "accuracy"],
    ),
    "columns": (
        {"problem_type": "multi_label_classification", "label_columns": ["is_fruit", "is_long"]},
        [*F1, "accuracy"],
    ),
    "regression": (
        {"problem_type": "regression", "label_column": "length"},
        ["mse", "mae", "pearson", "spearman"],
    ),
}


def rows(count, offset=0):
    return [
        {
            **row,
            "labels": [row["label"], "long" if row["length"] > 5 else "short"],
            "is_fruit": int(row["label"] == "fruit"),
            "is_long": int(row["length"] > 5),
        }
        for row in topic_rows(count, offset)
    ]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for name, count, offset in (("train", 48, 0), ("validation", 15, 100), ("test", 40, 200)):
        write_jsonl(folder / f"{name}.jsonl", rows(count, offset))
    return folder


@pytest.fixture(scope="module", params=TASKS)
def run(request, data, tmp_path_factory):
    task, metrics = TASKS[request.param]
    config = {
        "seed": 1,
        "model": {"config": TINY_BERT, "tokenizer": {"train": {"vocab_size": 300}}},
        "data": {"source": str(data)},
        "task": {"name": "text-classification", "max_length": 32, **task},
        "training": {
            "num_train_epochs": 3,
            "learning_rate": 0.005,
            "effective_batch_size": 8,
            "precision": "fp32",
        },
        "evaluation": {"efficiency": False, "resamples": 100, "metrics": metrics},
    }
    directory = tmp_path_factory.mktemp("runs") / request.param
    [record] = finetune(loads(dump(config)), directory)
    return request.param, directory, record


def scores(record):
    return {key: score.value for key, score in record.scores.items()}


def lines(directory):
    text = (directory / "predictions.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def from_file(kind, directory):
    """The scores that scikit-learn and scipy find in predictions.jsonl."""
    rows = lines(directory)
    truth, said = [one["reference"] for one in rows], [one["prediction"] for one in rows]
    if kind == "regression":
        return {
            "mse": sk.mean_squared_error(truth, said),
            "mae": sk.mean_absolute_error(truth, said),
            "pearson": stats.pearsonr(truth, said).statistic,
            "spearman": stats.spearmanr(truth, said).statistic,
        }
    found = {}
    if kind != "single":
        classes = list(rows[0]["probabilities"])
        truth, said = (
            np.array([[label in one for label in classes] for one in side], dtype=int)
            for side in (truth, said)
        )
    else:
        found["mcc"] = sk.matthews_corrcoef(truth, said)
        found["balanced_accuracy"] = sk.balanced_accuracy_score(truth, said)
    found["accuracy"] = sk.accuracy_score(truth, said)
    for average in ("macro", "micro", "weighted"):
        found[f"f1_{average}"] = sk.f1_score(truth, said, average=average, zero_division=0)
    return found


def test_they_agree_to_the_last_digit(run, tmp_path):
    kind, directory, record = run
    [again] = evaluate(load(directory), tmp_path / "again", [str(directory)])
    expected = from_file(kind, directory)
    assert scores(record) == scores(read(directory)) == scores(again) == expected
    assert again.scores == record.scores  # intervals and signatures too
    assert (tmp_path / "again" / "predictions.jsonl").read_text() == (
        directory / "predictions.jsonl"
    ).read_text()


def test_other_batches_give_the_same_answers(run, tmp_path):
    kind, directory, _ = run
    for size in (1, 7):
        config = load(directory, [f"evaluation.batch_size={size}"])
        evaluate(config, tmp_path / str(size), [str(directory)])
        for mine, theirs in zip(lines(directory), lines(tmp_path / str(size)), strict=True):
            for key, value in mine.items():
                near = key == "probabilities" or (key == "prediction" and kind == "regression")
                assert theirs[key] == (pytest.approx(value, abs=1e-5) if near else value)


def test_predictions_hold_the_raw_references(run, data):
    kind, directory, _ = run
    raw = [json.loads(line) for line in (data / "test.jsonl").read_text().splitlines()]
    wanted = {
        "single": lambda row: row["label"],
        "multi": lambda row: sorted(row["labels"]),
        "columns": lambda row: [key for key in ("is_fruit", "is_long") if row[key]],
        "regression": lambda row: row["length"],
    }[kind]
    assert [line["reference"] for line in lines(directory)] == [wanted(row) for row in raw]


def test_several_models_in_one_table(run, tmp_path):
    kind, directory, record = run
    model = directory / "model"
    records = evaluate(load(directory), tmp_path / "both", [str(directory), str(model)])
    places = [tmp_path / "both" / kind, tmp_path / "both" / "model"]
    assert [read(place) for place in places] == records
    assert [one.model["name"] for one in records] == [str(directory), str(model)]
    assert all(one.scores == record.scores for one in records)
    table = build([(one.model["name"], one) for one in records])
    assert len(table.rows) == 2


def test_a_mistake_in_the_last_model_costs_nothing(run, tmp_path):
    _, directory, _ = run
    with pytest.raises(UserError, match="there is no model directory /none/such/model"):
        evaluate(load(directory), tmp_path / "out", [str(directory), "/none/such/model"])
    assert not (tmp_path / "out").exists()


def test_an_evaluation_that_was_broken_off_is_done_again(run, tmp_path):
    _, directory, record = run
    evaluate(load(directory), tmp_path / "out", [str(directory)])
    (tmp_path / "out" / "record.json").unlink()
    [again] = evaluate(load(directory), tmp_path / "out", [str(directory)])
    assert again.scores == record.scores
    [kept] = evaluate(load(directory), tmp_path / "out", [str(directory)])
    assert kept == again, "what is finished is read back"


def test_a_config_without_weights_names_no_model(run, tmp_path):
    _, directory, _ = run
    with pytest.raises(UserError) as caught:
        evaluate(load(directory), tmp_path / "out")
    assert str(caught.value) == ("model.config describes an untrained model; name one with --model")
