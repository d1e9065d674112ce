"""Altered texts go the way of all rows, and drops are told with their intervals."""

from __future__ import annotations

import json

import numpy as np
import pytest
from conftest import topic_rows, write_jsonl
from tiny_models import CONFIGURATIONS
from typer.testing import CliRunner

from nlpbench.commands.main import app
from nlpbench.config.component import ComponentField
from nlpbench.config.errors import UserError
from nlpbench.config.load import load, loads
from nlpbench.config.sections import EvaluationSection
from nlpbench.config.yaml12 import dump
from nlpbench.evaluation.answered import Answered
from nlpbench.evaluation.bootstrap import draw_counts
from nlpbench.evaluation.robustness import altered, measure, with_columns
from nlpbench.results.record import Drop, PerturbedRecord, Score
from nlpbench.results.record import read as read_record
from nlpbench.results.render import render
from nlpbench.results.robustness import build
from nlpbench.runs.evaluate import evaluate
from nlpbench.runs.finetune import finetune
from nlpbench.tasks import Predictions, objects


def dataset(columns, **features):
    from datasets import Dataset, Features, Value

    kinds = {name: Value("string") for name in columns} | features
    return Dataset.from_dict(columns, Features(kinds))


def perturbation(name, **options):
    return ComponentField("perturbation").build({"name": name, **options})


def metric(name, **options):
    return ComponentField("metric").build({"name": name, **options})


def section(*perturbations, resamples=200):
    return EvaluationSection(perturbations=list(perturbations), resamples=resamples)


# Rows


def test_rows_keep_their_order_their_columns_and_their_kinds():
    from datasets import ClassLabel, List, Value

    rows = dataset(
        {
            "a": ["One", "Two", "Three", "Four"],
            "label": [0, 1, 0, 1],
            "words": [["X"], [], ["Y", "Z"], ["V"]],
        },
        label=ClassLabel(names=["no", "yes"]),
        words=List(Value("string")),
    ).select([3, 1, 0])
    found = with_columns(rows, {"a": altered(rows, "a", perturbation("case"))})
    assert found["a"] == ["four", "two", "one"]
    assert found["label"] == [1, 1, 0]
    assert list(found["words"]) == [["V"], [], ["X"]]
    assert found.features == rows.features
    assert found.column_names == rows.column_names
    assert rows["a"] == ["Four", "Two", "One"]


def test_what_becomes_of_a_row_does_not_depend_on_the_others():
    texts = [f"a sentence of some length with the number {number}" for number in range(50)]
    rows = dataset({"a": texts})
    all_at_once = altered(rows, "a", perturbation("typos", rate=0.2))
    backwards = altered(rows.select(range(49, -1, -1)), "a", perturbation("typos", rate=0.2))
    assert all_at_once == backwards[::-1]
    assert altered(rows.select([7]), "a", perturbation("typos", rate=0.2)) == [all_at_once[7]]
    assert all_at_once != texts


def test_words_keep_their_number():
    from datasets import List, Value

    sentences = [["Angela", "Merkel", "lives", "in", "Berlin", "."], [], ["?"]]
    rows = dataset({"tokens": sentences}, tokens=List(Value("string")))
    for name in ("typos", "case", "punctuation"):
        found = altered(rows, "tokens", perturbation(name, rate=1.0))
        assert [len(words) for words in found] == [6, 0, 1]
        assert all(word for words in found for word in words)


# Drops


def told(rows):
    """What a model that reads the length of a text says of rows."""
    return Predictions(np.array([float(len(text)) for text in rows["a"]]))


def of_lengths(count=60):
    texts = [f"some words of a text , number {number} !" for number in range(count)]
    rows = dataset({"a": texts})
    references = np.array(
        [len(text) + (number % 5 - 2) for number, text in enumerate(texts)], float
    )
    return rows, Answered("values", [], list(range(count)), references, told(rows))


def test_a_drop_is_how_much_worse_a_score_is_whichever_way_is_better():
    rows, answered = of_lengths()
    metrics = [metric("mae"), metric("pearson")]
    found = measure(section(perturbation("punctuation")), metrics, answered, rows, ["a"], told)
    record = found.records["punctuation"]
    assert (record.rows, record.changed) == (60, 60)
    assert record.options == {"name": "punctuation", "seed": 0, "rate": 1.0, "change": "remove"}
    plain = metrics[0].compute(answered.predictions.answers, answered.references)["mae"]
    assert record.scores["mae"].value > plain  # a larger error is worse
    assert record.drop["mae"].value == pytest.approx(record.scores["mae"].value - plain)
    assert 0 < record.drop["mae"].low <= record.drop["mae"].value <= record.drop["mae"].high
    before = metrics[1].compute(answered.predictions.answers, answered.references)["pearson"]
    after = record.scores["pearson"].value
    assert record.drop["pearson"].value == pytest.approx(before - after)


def test_the_interval_of_a_drop_is_that_of_the_same_resamples():
    rows, answered = of_lengths()
    [mae] = metrics = [metric("mae")]
    chosen = section(perturbation("punctuation", rate=0.5))
    found = measure(chosen, metrics, answered, rows, ["a"], told)
    other = told(with_columns(rows, {"a": altered(rows, "a", chosen.perturbations[0])}))
    counts = np.concatenate(list(draw_counts(60, 200, chosen.bootstrap_seed)))
    one, two = (
        mae.resample(side.answers, answered.references, counts)["mae"]
        for side in (answered.predictions, other)
    )
    low, high = np.quantile(two - one, [0.025, 0.975])
    drop = found.records["punctuation[rate=0.5]"].drop["mae"]
    assert (drop.low, drop.high) == pytest.approx((low, high))


def test_texts_that_stay_as_they_are_drop_nothing():
    rows, answered = of_lengths()
    found = measure(section(perturbation("case")), [metric("mae")], answered, rows, ["a"], told)
    record = found.records["case"]
    assert record.changed == 0
    assert record.drop["mae"] == Drop(value=0.0, low=0.0, high=0.0)
    assert found.tables == {"robustness.jsonl": []}


def test_without_perturbations_nothing_is_predicted():
    rows, answered = of_lengths()

    def never(_):
        raise AssertionError

    found = measure(EvaluationSection(), [metric("mae")], answered, rows, ["a"], never)
    assert (found.records, found.tables) == ({}, {})


def test_only_altered_rows_are_told_with_what_they_became():
    rows = dataset({"a": ["Up", "down", "UP"], "b": ["x", "y", "z"]})
    predictions = Predictions(objects(["one", "two", "three"]))
    references = objects([["one"], ["two"], ["four"]])
    answered = Answered("texts", [], [7, 8, 9], references, predictions)

    def again(other):
        assert (other["a"], other["b"]) == (["up", "down", "up"], ["x", "y", "z"])
        return Predictions(objects(["four", "two", "three"]))

    metrics = [metric("exact-match")]
    found = measure(section(perturbation("case")), metrics, answered, rows, ["a", "b"], again)
    assert found.tables["robustness.jsonl"] == [
        {
            "perturbation": "case",
            "example": 0,
            "input": {"a": "up", "b": "x"},
            "prediction": "four",
        },
        {
            "perturbation": "case",
            "example": 2,
            "input": {"a": "up", "b": "z"},
            "prediction": "three",
        },
    ]
    assert found.records["case"].drop["exact_match"].value == pytest.approx(1 / 3)


# The table


def score_of(value, **more):
    return Score(value=value, signature="s", higher_is_better=True, **more)


def record_with(run, **labels):
    robustness = {
        label: PerturbedRecord(
            rows=10,
            changed=7,
            options={},
            scores={"f1": score_of(value, low=value - 0.1, high=value + 0.1)},
            drop={"f1": Drop(value=0.9 - value, low=0.0, high=0.2)},
        )
        for label, value in labels.items()
    }
    return run.model_copy(update={"robustness": robustness})


@pytest.fixture
def bare():
    from nlpbench.results.record import Record

    return Record(
        command="evaluate",
        name="r",
        model={},
        task="t",
        labels=[],
        split="test",
        seed=1,
        scores={"f1": score_of(0.9)},
        efficiency={},
        interval={},
        data={"test": {"rows": 10, "fingerprint": "f"}},
    )


def test_the_table_has_a_row_a_perturbation(bare):
    named = [("one", record_with(bare, typos=0.8)), ("two", record_with(bare, typos=0.7, case=0.9))]
    lines = render(build(named), "table").splitlines()
    assert lines[0].split() == ["run", "perturbation", "changed", "f1", "f1", "drop"]
    assert lines[2].split()[:5] == ["one", "typos", "7", "of", "10"]
    assert lines[2].split()[5:] == [
        "0.8000",
        "[0.7000,",
        "0.9000]",
        "0.1000",
        "[0.0000,",
        "0.2000]",
    ]
    assert [line.split()[1] for line in lines[2:5]] == ["typos", "typos", "case"]
    alone = render(build(named[:1]), "table").splitlines()
    assert alone[0].split() == ["perturbation", "changed", "f1", "f1", "drop"]
    narrow = render(build(named), "table", 60)
    assert all(len(line) <= 60 for line in narrow.splitlines())
    assert "perturbation" in narrow.splitlines()[0]
    assert "f1 drop" in narrow.splitlines()[0]


def test_a_table_of_nothing_is_told(bare):
    with pytest.raises(UserError, match="no record has scores of altered texts"):
        build([("one", bare)])
    with pytest.raises(UserError, match="no record has the score f2 of altered texts  allowed: f1"):
        build([("one", record_with(bare, typos=0.8))], ["f2"])


# A run

SIZES = {"max_source_length": 24, "max_target_length": 24}
ALTERED = {
    "token-classification": ({"max_length": 32, "stride": 8}, "news-entities", "bert"),
    "question-answering": (
        {
            "max_length": 48,
            "doc_stride": 9,
            "max_question_length": 12,
            "version_2_with_negative": True,
        },
        "help-center-qa",
        "bert",
    ),
    "multiple-choice": ({"max_length": 32}, "how-to-steps", "bert"),
    "translation": (
        {"source_language": "en", "target_language": "fr", **SIZES},
        "product-phrases",
        "t5",
    ),
    "summarization": (
        {"source_column": "notes", "target_column": "summary", **SIZES},
        "meeting-notes",
        "t5",
    ),
    "text-generation": (
        {"prompt_column": "en", "completion_column": "fr", **SIZES},
        "product-phrases",
        "gpt2",
    ),
    "retrieval": (
        {"query_column": "query", "positive_column": "positive", "max_length": 32},
        "faq-pairs",
        "bert",
    ),
    "sentence-similarity": (
        {
            "text_column": "text",
            "text_pair_column": "intent",
            "label_column": "priority",
            "label_range": [1.0, 5.0],
            "max_length": 32,
        },
        "support-tickets",
        "bert",
    ),
}


def test_a_run_scores_altered_texts_as_it_scores_a_file_of_them(
    tiny_config, write_config, tmp_path
):
    tiny_config["evaluation"]["perturbations"] = ["typos", {"name": "case", "to": "upper"}]
    tiny_config["training"]["num_train_epochs"] = 6
    config = load(write_config(tiny_config))
    [record] = finetune(config, tmp_path / "run")
    typos, upper = record.robustness["typos"], record.robustness["case[to=upper]"]
    assert upper.changed == upper.rows == 18
    assert upper.scores == record.scores  # the tokenizer lowers all letters
    assert all(drop == Drop(value=0.0, low=0.0, high=0.0) for drop in upper.drop.values())
    assert 0 < typos.changed <= 18

    rows = [
        json.loads(line) for line in (tmp_path / "run/robustness.jsonl").read_text().splitlines()
    ]
    inputs = {row["id"]: row["input"]["text"] for row in rows if row["perturbation"] == "typos"}
    assert len(inputs) == typos.changed
    test = topic_rows(18, 200)
    changed = [{**row, "text": inputs.get(number, row["text"])} for number, row in enumerate(test)]
    other = {**tiny_config, "data": {"test": str(write_jsonl(tmp_path / "typos.jsonl", changed))}}
    other["evaluation"] = {**other["evaluation"], "perturbations": None}
    del other["evaluation"]["perturbations"]
    other["model"] = str(tmp_path / "run")
    [again] = evaluate(load(write_config(other, "other.yaml")), tmp_path / "again")
    assert again.scores == typos.scores
    for key, drop in typos.drop.items():
        assert drop.value == pytest.approx(record.scores[key].value - again.scores[key].value)

    assert read_record(tmp_path / "run").robustness == record.robustness
    shown = CliRunner().invoke(app, ["results", str(tmp_path / "run"), "--robustness"])
    assert [line.split()[0] for line in shown.stdout.splitlines()[2:4]] == [
        "typos",
        "case[to=upper]",
    ]
    both = ["results", str(tmp_path / "run"), "--robustness", "--slices"]
    assert "ask for them one by one" in str(CliRunner().invoke(app, both).exception)


@pytest.mark.slow
@pytest.mark.parametrize("name", ALTERED)
def test_every_task_with_texts_of_its_own_has_them_altered(name, tmp_path):
    task, sample, model_type = ALTERED[name]
    model = {"model_type": model_type, **CONFIGURATIONS[model_type]}
    config = {
        "seed": 1,
        "model": {"config": model, "tokenizer": {"train": {"vocab_size": 500}}},
        "data": {
            "source": f"sample:{sample}",
            "max_samples": {"train": 24, "validation": 4, "test": 6},
        },
        "task": {"name": name, **task},
        "training": {"max_steps": 2, "effective_batch_size": 4, "precision": "fp32"},
        "evaluation": {
            "efficiency": False,
            "resamples": 100,
            "perturbations": [{"name": "typos", "rate": 0.5}],
        },
    }
    [record] = finetune(loads(dump(config)), tmp_path / "run")
    found = record.robustness["typos[rate=0.5]"]
    assert found.rows == record.data["test"].rows
    assert found.changed > 0
    assert set(found.scores) == set(found.drop) == set(record.scores)
    told = (tmp_path / "run/robustness.jsonl").read_text().splitlines()
    assert len(told) == found.changed
