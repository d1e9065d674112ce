"""Which values of a table are the best, and better than the second by a paired test."""

from __future__ import annotations

import json
import logging
import random
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import write_jsonl

from nlpbench.config.load import loads
from nlpbench.results.finished_run import FinishedRun
from nlpbench.results.record import RECORD, Record, Score, SplitRecord
from nlpbench.runs.significance import significant_best

ROWS = 200
CONFIG = """
model: m
data: d.csv
task: text-classification
evaluation: {metrics: [accuracy, mcc], resamples: 200}
"""


def make_run(
    place: Path,
    right: float,
    accuracy: float | None = None,
    fingerprint: str = "aaaa",
    **changes: object,
) -> FinishedRun:
    """A run that answers a share of the rows right, and says so in its record."""
    chance = random.Random(f"{place.name} {right}")
    rows = []
    for number in range(ROWS):
        truth = ("no", "yes")[number % 2]
        wrong = ("yes", "no")[number % 2]
        answer = truth if chance.random() < right else wrong
        rows.append({"id": number, "reference": truth, "prediction": answer})
    share = sum(row["reference"] == row["prediction"] for row in rows) / ROWS

    def score(value: float) -> Score:
        return Score(value=value, signature="s", higher_is_better=True)

    values = {
        "command": "evaluate",
        "name": place.name,
        "model": {"name": place.name},
        "task": "text-classification",
        "labels": ["no", "yes"],
        "split": "test",
        "seed": 42,
        "scores": {
            "accuracy": score(share if accuracy is None else accuracy),
            "mcc": score(2 * share - 1),
        },
        "efficiency": {},
        "interval": {},
        "data": {"test": SplitRecord(rows=ROWS, fingerprint=fingerprint)},
        "config": loads(CONFIG).resolved(),
        **changes,
    }
    record = Record(**values)
    write_jsonl(place / "predictions.jsonl", rows)
    (place / RECORD).write_text(record.to_json(), encoding="utf-8")
    return FinishedRun(place.name, place / RECORD, record)


@pytest.fixture
def run(tmp_path):
    return lambda name, *arguments, **changes: make_run(tmp_path / name, *arguments, **changes)


@pytest.fixture
def warnings(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("nlpbench"), "propagate", True)
    return lambda: [one.getMessage() for one in caplog.records]


def test_the_best_of_three(run):
    runs = [run("poor", 0.6), run("good", 0.95), run("fair", 0.7)]
    assert significant_best(runs) == {(1, "accuracy"), (1, "mcc")}


def test_a_lead_that_chance_explains_is_none(run):
    runs = [run("one", 0.80), run("other", 0.81), run("poor", 0.5)]
    assert significant_best(runs) == set()


def test_each_data_set_has_its_own_best(run):
    runs = [
        run("a", 0.6),
        run("b", 0.95),
        run("c", 0.97, fingerprint="bbbb"),
        run("d", 0.6, fingerprint="bbbb"),
    ]
    assert {number for number, _ in significant_best(runs)} == {1, 2}
    assert significant_best([runs[0], runs[2]]) == set()  # nothing to compare with


def test_less_is_better_where_the_score_says_so(run):
    runs = [run("a", 0.9), run("b", 0.5)]
    turned = {"accuracy": Score(value=0.1, signature="s", higher_is_better=False)}
    records = [
        each.record.model_copy(
            update={"scores": {"accuracy": turned["accuracy"].model_copy(update={"value": value})}}
        )
        for each, value in zip(runs, (0.1, 0.5), strict=True)
    ]
    again = [FinishedRun(r.name, r.file, record) for r, record in zip(runs, records, strict=True)]
    assert significant_best(again) == {(0, "accuracy")}


@pytest.mark.parametrize(
    "changes",
    [
        {"scores": {"accuracy": Score(value=0.5, signature="other", higher_is_better=True)}},
        {"scores": {"accuracy": Score(value=None, signature="s", higher_is_better=True)}},
        {"split": "validation", "data": {"validation": SplitRecord(rows=ROWS, fingerprint="aaaa")}},
        {"labels": ["no", "maybe"]},
    ],
    ids=["another metric", "undefined", "another split", "other labels"],
)
def test_what_does_not_compare(run, changes):
    assert significant_best([run("a", 0.95), run("b", 0.5, **changes)]) == set()


def test_seeds_of_one_config_are_no_rivals(run):
    config = loads(CONFIG).resolved()
    runs = [
        run(name, right, command="finetune", seed=seed, config={**config, "seed": seed})
        for name, right, seed in (("one", 0.6, 1), ("two", 0.95, 2))
    ]
    assert significant_best(runs) == set()


def test_a_pair_without_predictions_is_told_once(run, warnings, tmp_path):
    runs = [run("a", 0.95), run("b", 0.5)]
    (tmp_path / "b" / "predictions.jsonl").unlink()
    assert significant_best(runs) == set()
    [warning] = warnings()
    assert warning.startswith("no test of a and b: ")
    assert "predictions.jsonl" in warning


SHOWN = """
import contextlib, io, json, sys, time
from nlpbench.commands import main

out = io.StringIO()
with contextlib.redirect_stdout(out):
    try:
        main.main()
    except SystemExit as end:
        code = end.code or 0
heavy = {"torch", "transformers", "datasets"} & set(sys.modules)
json.dump([code, out.getvalue(), sorted(heavy)], sys.stdout)
"""


@pytest.mark.parametrize("form", ["table", "markdown", "latex", "html"])
def test_the_table_of_finished_runs_needs_no_torch(run, tmp_path, form):
    for name, right in (("poor", 0.6), ("good", 0.95)):
        run(name, right)
    done = subprocess.run(
        [sys.executable, "-c", SHOWN, "results", str(tmp_path), "--format", form],
        capture_output=True,
        text=True,
        timeout=120,
    )
    code, text, heavy = json.loads(done.stdout)
    assert (code, heavy, done.stderr) == (0, [], "")
    told = "better than the second at p < 0.05 (paired test)"
    assert (told in text.replace("&lt;", "<")) == (form != "table")
    bold = {"markdown": "**0.9", "latex": r"\textbf{0.9", "html": "<strong>0.9"}
    assert form == "table" or bold[form] in text
