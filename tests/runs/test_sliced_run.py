"""Slices from a config to the record, the predictions and the tables."""

from __future__ import annotations

import json

import pytest
from conftest import topic_rows, write_jsonl

from nlpbench.config.errors import UserError
from nlpbench.config.run_config import RunConfig
from nlpbench.results.record import read
from nlpbench.runs.evaluate import evaluate
from nlpbench.runs.finetune import finetune
from nlpbench.runs.preflight import check_data

SLICES = [
    {"column": "meta.language", "name": "language", "values": ["de", "en", "fr"]},
    "label",
    {"length": [8]},
    {"pattern": "apple", "name": "apples"},
    {"column": "domain", "fairness": True, "positive_label": "fruit"},
]


@pytest.fixture
def config(tiny_config, topics):
    """Only the test rows have the columns that slices are cut by."""
    rows = [
        {**row, "meta": {"language": ["de", "en"][number % 2]}, "domain": "ab"[number // 2 % 2]}
        for number, row in enumerate(topic_rows(24, 200))
    ]
    write_jsonl(topics / "test.jsonl", rows)
    tiny_config["evaluation"] |= {"slices": SLICES, "metrics": ["accuracy", "roc-auc"]}
    return tiny_config


def test_a_run_scores_its_slices_and_every_row_tells_them(config, tmp_path, nlpbench, write_config):
    [trained] = finetune(RunConfig.model_validate(config), tmp_path / "run")
    apples = sum("apple" in row["text"] for row in topic_rows(24, 200))
    assert {name: part.rows for name, part in trained.slices.items() if "length" not in name} == {
        "language=de": 12, "language=en": 12, "language=fr": 0,
        "label=birds": 8, "label=fruit": 8, "label=tools": 8,
        "apples": apples, "not apples": 24 - apples,
        "domain=a": 12, "domain=b": 12,
    }  # fmt: skip
    lengths = [trained.slices["length<=8"], trained.slices["length>8"]]
    assert sum(part.rows for part in lengths) == 24
    assert set(trained.gaps) == {"language", "label", "length", "apples", "domain"}
    assert "equalized_odds_difference" in trained.gaps["domain"]
    assert trained.slices["label=birds"].notes == {"roc_auc": "every reference is birds"}
    assert read(tmp_path / "run") == trained

    lines = (tmp_path / "run" / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    for name, part in trained.slices.items():
        mine = [row for row in rows if name in row["slices"]]
        assert len(mine) == part.rows
        if mine:
            right = sum(row["reference"] == row["prediction"] for row in mine)
            assert part.scores["accuracy"].value == pytest.approx(right / len(mine))

    [again] = evaluate(
        RunConfig.model_validate(config), tmp_path / "again", [str(tmp_path / "run")]
    )
    assert again.slices == trained.slices
    assert again.gaps == trained.gaps

    shown = nlpbench("results", "run", "--slices", "--columns", "accuracy").stdout
    assert shown.startswith("slices by language\n")
    assert "language=fr     0                    empty" in shown
    assert "worst slice" in nlpbench("results", "run").stdout
    error = nlpbench("results", "run", "--slices", "--sort", "accuracy", check=2).stderr
    assert "--sort is for the table of runs" in error


@pytest.mark.slow
def test_the_slices_stand_below_the_table(config, tmp_path, nlpbench, write_config):
    config["training"]["num_train_epochs"] = 1
    trained = nlpbench("finetune", write_config(config), "-o", "run").stdout
    table, *slices = trained.split("\n\n")
    assert table.startswith("run  ")
    assert [text.splitlines()[0] for text in slices] == [
        "slices by language", "slices by label", "slices by length", "slices by apples",
        "slices by domain", "rates by domain",
    ]  # fmt: skip
    scored = nlpbench("evaluate", "run", "-o", "again").stdout
    assert scored.split("\n\n")[1:] == slices


def test_a_column_that_is_not_there_is_told_before_a_model_is_trained(config):
    config["evaluation"]["slices"] = ["langage"]
    with pytest.raises(UserError, match=r'slices\[0\]: no column "langage"'):
        check_data(RunConfig.model_validate(config))


def test_slices_that_cannot_be_made_are_told_before_a_model_is_trained(config):
    config["evaluation"]["slices"] = [{"column": "domain", "fairness": True, "positive_label": "x"}]
    with pytest.raises(UserError, match=r"positive_label: is none of the labels"):
        check_data(RunConfig.model_validate(config))
