"""A comparison on the screen, in a pull request and for a program."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from rich.cells import cell_len

from nlpbench.config.errors import UserError
from nlpbench.results.comparison import Change, Compared, Comparison, RowsCompared, ScoreComparison
from nlpbench.results.render_comparison import FORMATS, render

LONG = "organisation/a-model-with-a-very-long-name-of-its-own"


def compared(run: str, **changes: Any) -> Compared:
    values: dict[str, Any] = {
        "run": run,
        "score": 0.9174,
        "deviation": None,
        "difference": 0.01261,
        "low": -0.001147,
        "high": 0.024083,
        "p_value": 0.0401,
        "corrected_p_value": 0.0802,
        "verdict": "unclear",
    }
    return Compared(**(values | changes))


def of_score(runs: list[Compared], **changes: Any) -> ScoreComparison:
    values: dict[str, Any] = {
        "key": "accuracy",
        "signature": "scikit-learn:1",
        "higher_is_better": True,
        "over": "rows",
        "test": "exact McNemar test",
        "baseline": 0.90479,
        "baseline_deviation": None,
        "runs": runs,
    }
    return ScoreComparison(**(values | changes))


def changes(count: int = 25, reference: Any = "yes", before: Any = "yes", after: Any = "no"):
    return [Change(number, reference, before, after, -1.0) for number in range(count)]


def comparison(*runs: str, **changed: Any) -> Comparison:
    named = list(runs or ("large",))
    values: dict[str, Any] = {
        "baseline": "small",
        "runs": named,
        "task": "text-classification",
        "split": "test",
        "rows": 872,
        "fingerprint": "sha256:aa",
        "seeds": [],
        "confidence": 0.95,
        "resamples": 1000,
        "seed": 12345,
        "scores": [of_score([compared(run) for run in named])],
        "by_row": [RowsCompared(run, "right or wrong", 31, 20, 821, changes()) for run in named],
        "notes": ["p: two-sided", "a note " * 20 + "that is long"],
    }
    return Comparison(**(values | changed))


def test_a_table_tells_scores_difference_p_value_and_verdict():
    lines = render(comparison(), "table").splitlines()
    assert lines[:7] == [
        "large against small: text-classification, 872 rows of test",
        "",
        "accuracy (higher is better; over rows: exact McNemar test)",
        "run     score  difference                      p  verdict",
        "─────  ──────  ─────────────────────────  ──────  ────────",
        "small  0.9048                                     baseline",
        "large  0.9174  +0.0126 [-0.0011, 0.0241]  0.0802  unclear",
    ]
    assert lines[8:12] == [
        "rows, against small",
        "run    wins  losses  ties  judged by",
        "─────  ────  ──────  ────  ──────────────",
        "large    31      20   821  right or wrong",
    ]
    assert lines[13:17] == [
        "the 20 of 25 examples that changed most, small to large",
        "id  change  reference  small  large",
        "──  ──────  ─────────  ─────  ─────",
        "0       -1  yes        yes    no",
    ]
    assert "(p: two-sided)" in lines


@pytest.mark.parametrize("width", [60, 80, 132])
@pytest.mark.parametrize(
    "found",
    [
        comparison(),
        comparison(LONG, "b"),
        comparison(LONG, f"{LONG}-2", baseline=f"{LONG}-base"),
        comparison(LONG, "日本語の名前を持つとても長いモデルの実行ディレクトリです"),
        comparison(
            LONG,
            by_row=[
                RowsCompared(
                    LONG, "rougeL", 1, 2, 3, changes(25, ["a " * 90], "b " * 90, "图书馆" * 60)
                )
            ],
        ),
    ],
)
def test_a_table_fits_the_terminal(found, width):
    lines = render(found, "table", width).splitlines()
    assert max(map(cell_len, lines)) <= width
    columns = [line.split("  ")[0] for line in lines[3 : 3 + len(found.runs) + 3]]
    assert len(set(columns)) == len(columns)  # names stay apart


def test_seeds_have_deviations_and_means():
    run = compared(
        "large",
        deviation=0.0042,
        p_value=None,
        corrected_p_value=None,
        low=None,
        high=None,
        verdict="not tested",
    )
    scores = of_score([run], over="seeds", test="no test, 2 seeds", baseline_deviation=0.0031)
    text = render(comparison(scores=[scores], seeds=[1, 2]), "table")
    assert "872 rows of test, seeds 1, 2" in text
    assert "small  0.9048 ± 0.0031" in text
    assert "large  0.9174 ± 0.0042     +0.0126  -  not tested" in text or "not tested" in text


@pytest.mark.parametrize(
    ("baseline", "score", "difference", "expected"),
    [
        (27.4312, 28.8, 1.3688, ("27.431", "28.800", "+1.369")),
        (1234.5, 1200.25, -34.25, ("1234.5", "1200.2", "-34.2")),
        (0.0, 0.0, 0.0, ("0.0000", "0.0000", "0.0000")),
        (0.0000123, 0.0000151, 0.0000028, ("1.23e-05", "1.51e-05", "+2.80e-06")),
        (math.inf, 12.5, -math.inf, ("inf", "12.500", "-inf")),
        (None, None, None, ("-", "-", "-")),
        (0.5, 0.49999, -0.00001, ("0.5000", "0.5000", "0.0000")),
    ],
)
def test_numbers_show_as_many_places_as_the_scores_need(baseline, score, difference, expected):
    run = compared("large", score=score, difference=difference, low=None, high=None)
    text = render(comparison(scores=[of_score([run], baseline=baseline)], by_row=[]), "table")
    first, second = text.splitlines()[5:7]
    assert first.split()[1] == expected[0]
    assert tuple(second.split()[1:3]) == expected[1:]


def test_tiny_p_values_are_not_zero():
    run = compared("large", corrected_p_value=1e-12, verdict="better")
    assert "<0.0001  better" in render(comparison(scores=[of_score([run])]), "table")


def test_markdown_is_a_pull_request_comment():
    text = render(comparison(notes=["a | b"]), "markdown")
    assert "| large | 0.9174 | +0.0126 [-0.0011, 0.0241] | 0.0802 | unclear |\n" in text
    assert "|---|---:|---|---:|---|\n" in text
    assert (
        "<details><summary>the 20 of 25 examples that changed most, small to large</summary>\n\n| id |"
        in text
    )
    assert text.count("| -1 |") == 20
    assert text.endswith("</details>\n\n- a \\| b\n")


def test_markdown_keeps_what_examples_hold_from_acting():
    rows = RowsCompared(
        "large", "bleu", 1, 0, 0, changes(1, ["<b>|*x*\nnew line"], "y" * 500, "`_z_`")
    )
    text = render(comparison(by_row=[rows]), "markdown")
    assert "| &lt;b>\\|\\*x\\* new line | " in text
    assert "\\`\\_z\\_\\`" in text
    assert "y" * 199 + "…" in text


def test_json_tells_all_figures_and_the_twenty_examples():
    found = comparison(scores=[of_score([compared("large", score=math.inf, low=math.nan)])])
    values = json.loads(render(found, "json"))
    [score] = values["scores"]
    assert values["schema_version"] == 1
    assert score["runs"][0]["corrected_p_value"] == 0.0802
    assert (score["runs"][0]["score"], score["runs"][0]["low"]) == ("inf", None)
    [rows] = values["by_row"]
    assert (rows["changed_rows"], len(rows["changes"])) == (25, 20)
    assert rows["changes"][0] == {
        "id": 0,
        "reference": "yes",
        "baseline": "yes",
        "prediction": "no",
        "change": -1.0,
    }


def test_all_examples_are_written(tmp_path):
    comparison("large", "larger").write_examples(tmp_path / "changed.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "changed.jsonl").read_text().splitlines()]
    assert len(rows) == 50
    assert [row["run"] for row in rows[24:26]] == ["large", "larger"]
    with pytest.raises(UserError, match="cannot write"):
        comparison().write_examples(tmp_path / "nowhere" / "changed.jsonl")


def test_values_are_told_as_in_the_predictions():
    rows = RowsCompared("large", "x", 1, 0, 0, [Change("a", {"d1": 1}, [], "", 0.123456)])
    for form in FORMATS:
        assert render(comparison(by_row=[rows]), form)
    text = render(comparison(by_row=[rows]), "table")
    assert 'a   +0.123  {"d1": 1}  []     ""' in text


def test_runs_without_changes_have_no_examples():
    rows = RowsCompared("large", "right or wrong", 0, 0, 872, [])
    for form in ("table", "markdown"):
        assert "changed most" not in render(replace(comparison(), by_row=[rows]), form)
