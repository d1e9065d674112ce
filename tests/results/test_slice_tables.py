"""The tables of slices, from records alone."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from fixed_records import make_record, score

from nlpbench.config.errors import UserError
from nlpbench.results.record import Gap, Record, SliceRecord
from nlpbench.results.slices import render_slices

ACCURACY, AUC = "accuracy", "roc_auc"
RATE = "positive:yes"


def part(of: str, rows: int, accuracy: float | None, auc: float | None, **more: Any) -> SliceRecord:
    bounds = [None, None] if accuracy is None else [accuracy - 0.1, accuracy + 0.1]
    scores = {ACCURACY: score(accuracy, *bounds), AUC: score(auc)}
    return SliceRecord(of=of, rows=rows, scores=scores, **more)


def sliced(**changes: Any) -> Record:
    values = {
        "scores": {ACCURACY: score(0.8, 0.75, 0.85), AUC: score(0.9)},
        "slices": {
            "language=de": part("language", 100, 0.9, 0.95),
            "language=en": part("language", 80, 0.7, 0.85),
            "language=fr": part(
                "language", 0, None, None, notes={ACCURACY: "no rows", AUC: "no rows"}
            ),
            "label=no": part("label", 90, 0.8, None, notes={AUC: "every reference is no"}),
            "label=yes": part("label", 90, 0.8, None, notes={AUC: "every reference is yes"}),
        },
        "gaps": {
            "language": {
                ACCURACY: Gap(
                    value=0.2, low=0.05, high=0.35, highest="language=de", lowest="language=en"
                ),
                AUC: Gap(value=0.1, highest="language=de", lowest="language=en"),
            },
            "label": {ACCURACY: Gap(value=0.0, low=0, high=0.1), AUC: Gap(value=None)},
        },
    }
    return make_record(**{**values, **changes})


def judged() -> Record:
    def rates(true: float, false: float) -> SliceRecord:
        scores = {
            ACCURACY: score(0.8),
            "true_positive_rate": score(true, signature=RATE),
            "false_positive_rate": score(false, signature=RATE, higher_is_better=False),
        }
        return SliceRecord(of="group", rows=90, scores=scores)

    return sliced(
        slices={"group=a": rates(0.9, 0.2), "group=b": rates(0.6, 0.1)},
        gaps={
            "group": {
                ACCURACY: Gap(value=0.0),
                "true_positive_rate": Gap(value=0.3, low=0.1, high=0.5),
                "equalized_odds_difference": Gap(value=0.3, low=0.1, high=0.5),
            }
        },
    )


def test_a_table_for_each_slicing_with_all_rows_first_and_the_gap_last():
    text = render_slices([("run", sliced())])
    assert text == (
        "slices by language\n"
        "slice        rows                 accuracy  roc_auc\n"
        "───────────  ────  ───────────────────────  ───────\n"
        "(all rows)    180  0.8000 [0.7500, 0.8500]   0.9000\n"
        "language=de   100  0.9000 [0.8000, 1.0000]   0.9500\n"
        "language=en    80  0.7000 [0.6000, 0.8000]   0.8500\n"
        "language=fr     0                    empty    empty\n"
        "(gap)              0.2000 [0.0500, 0.3500]   0.1000\n"
        "(worst by accuracy: language=en)\n"
        "\n"
        "slices by label\n"
        "slice       rows                 accuracy    roc_auc\n"
        "──────────  ────  ───────────────────────  ─────────\n"
        "(all rows)   180  0.8000 [0.7500, 0.8500]     0.9000\n"
        "label=no      90  0.8000 [0.7000, 0.9000]  undefined\n"
        "label=yes     90  0.8000 [0.7000, 0.9000]  undefined\n"
        "(gap)             0.0000 [0.0000, 0.1000]          -\n"
        "(roc_auc undefined for label=no: every reference is no)\n"
        "(roc_auc undefined for label=yes: every reference is yes)\n"
        "(95 % intervals: percentile bootstrap over examples, 1000 resamples)\n"
    )


def test_a_lower_score_may_be_the_better_one():
    record = sliced()
    slices = {
        name: one.model_copy(update={"scores": {"mse": score(1.0, higher_is_better=False)}})
        for name, one in record.slices.items()
    }
    gap = Gap(value=1.0, highest="language=fr", lowest="language=de")
    record = sliced(
        scores={"mse": score(1.0, higher_is_better=False)},
        slices=slices,
        gaps={"language": {"mse": gap}},
    )
    assert "(worst by mse: language=fr)" in render_slices([("run", record)])


def test_rates_have_a_table_of_their_own():
    text = render_slices([("run", judged())])
    slices, rates = text.split("\nrates by group\n")
    assert "true_positive_rate" not in slices
    columns = ["slice", "rows", "true_positive_rate", "false_positive_rate"]
    assert rates.splitlines()[0].split() == columns
    assert "(all rows)" not in rates
    assert "(positive label: yes)" in rates
    assert "(equalized_odds_difference: 0.3000 [0.1000, 0.5000])" in rates
    assert "(lower is better: false_positive_rate)" in rates


def test_runs_stand_side_by_side():
    text = render_slices([("one", sliced()), ("two", sliced())], columns=[ACCURACY])
    lines = [line.split()[:2] for line in text.splitlines() if line.startswith("language=de")]
    assert lines == [["language=de", "one"], ["language=de", "two"]]
    assert "(worst by accuracy of one: language=en)" in text
    assert "roc_auc" not in text


def test_runs_without_slices_are_left_out():
    both = [("plain", make_record()), ("run", sliced())]
    assert render_slices(both) == render_slices(both[1:])


def test_the_rows_stay_where_scores_must_go_for_width():
    text = render_slices([("run", sliced())], width=50)
    assert all(len(line) <= 50 for line in text.splitlines())
    assert "slice        rows                 accuracy\n" in text
    assert "(left out for width: roc_auc; nlpbench results\n --slices --columns chooses)" in text


def test_markdown_is_a_table_under_each_heading():
    text = render_slices([("run", sliced())], "markdown")
    assert text.startswith("**slices by language**\n\n| slice | rows | accuracy | roc_auc |\n")
    assert "| language=fr | 0 | empty | empty |" in text
    assert "- worst by accuracy: language=en\n" in text


@pytest.mark.parametrize("form", ["csv", "json"])
def test_programs_get_the_slices_alone(form):
    text = render_slices([("run", sliced())], form)
    rows = json.loads(text) if form == "json" else list(csv.DictReader(io.StringIO(text)))
    assert [row["slice"] for row in rows] == [
        "language=de", "language=en", "language=fr", "label=no", "label=yes",
    ]  # fmt: skip
    assert [row["slicing"] for row in rows] == ["language"] * 3 + ["label"] * 2
    assert float(rows[0]["accuracy_high"]) == 1.0
    assert not rows[2]["accuracy"]  # neither 0 nor a word
    assert int(rows[2]["rows"]) == 0


@pytest.mark.parametrize("form", ["latex", "html"])
def test_other_forms_hold_every_slice(form):
    text = render_slices([("run", sliced())], form)
    assert text.count("label=yes") == 1
    assert text.count("empty") == 2


def test_slices_of_one_reason_are_told_together():
    slices = {
        f"label={number}": part("label", 9, 0.5, None, notes={AUC: "there is one row"})
        for number in range(7)
    }
    text = render_slices([("run", sliced(slices=slices, gaps={}))])
    assert (
        "(roc_auc undefined for label=0, label=1, label=2, label=3, label=4 and 2 more: there is "
        "one row)"
    ) in text


def test_a_score_that_no_slice_has_is_told():
    with pytest.raises(UserError, match=r"no slice has the score acuracy .*did you mean accuracy"):
        render_slices([("run", sliced())], columns=["acuracy"])


def test_runs_without_any_slices_are_told():
    with pytest.raises(UserError, match=r"no run has slices; name some under evaluation\.slices"):
        render_slices([("run", make_record())])


def test_records_come_back_with_their_slices():
    record = sliced()
    assert Record.model_validate_json(record.to_json()) == record
