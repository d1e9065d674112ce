"""Rates by group against hand counts and fairlearn, and their gaps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sliced_rows import LABELS, answered, rows_of

from nlpbench.config.sections import EvaluationSection
from nlpbench.evaluation import slices
from nlpbench.evaluation.fairness import FalsePositiveRate, SelectionRate, TruePositiveRate
from nlpbench.evaluation.metrics.accuracy import Accuracy
from nlpbench.evaluation.slices import SliceScores

SELECTION, TRUE, FALSE = "selection_rate", "true_positive_rate", "false_positive_rate"


def judged(references, answers, groups, labels=LABELS, resamples=200, **slicing) -> SliceScores:
    one = answered(references, answers, labels=labels)
    section = EvaluationSection.model_validate(
        {"slices": [{"column": "group", "fairness": True, **slicing}], "resamples": resamples}
    )
    rows = rows_of({"group": list(groups)}, one.references, labels)
    return slices.score(section, [Accuracy()] * (one.answer == "labels"), one, {}, rows, None)


def rates(found: SliceScores, name: str) -> dict[str, float | None]:
    return {key: score.value for key, score in found.slices[name].scores.items()}


def test_rates_are_those_of_a_count_by_hand():
    """Of a: 2 of 4 positives found, 1 of 2 negatives mistaken. Of b: 3 of 3, and none of 1."""
    references = [1, 1, 1, 1, 0, 0, 1, 1, 1, 0]
    answers = [1, 1, 0, 0, 1, 0, 1, 1, 1, 0]
    found = judged(references, answers, "aaaaaabbbb")
    assert rates(found, "group=a") == {
        "accuracy": 0.5, SELECTION: 0.5, TRUE: 0.5, FALSE: 0.5,
    }  # fmt: skip
    assert rates(found, "group=b") == {
        "accuracy": 1, SELECTION: 0.75, TRUE: 1, FALSE: 0,
    }  # fmt: skip
    gaps = found.gaps["group"]
    assert {key: gap.value for key, gap in gaps.items()} == {
        "accuracy": 0.5, SELECTION: 0.25, TRUE: 0.5, FALSE: 0.5, "equalized_odds_difference": 0.5,
    }  # fmt: skip
    assert (gaps[TRUE].highest, gaps[TRUE].lowest) == ("group=b", "group=a")
    assert (gaps[FALSE].highest, gaps[FALSE].lowest) == ("group=a", "group=b")
    score = found.slices["group=a"].scores[FALSE]
    assert not score.higher_is_better
    assert score.signature == "positive:positive"
    assert 0 <= score.low < 0.5 < score.high <= 1


@pytest.mark.parametrize("seed", range(3))
def test_gaps_are_those_of_fairlearn(seed):
    fairlearn = pytest.importorskip("fairlearn.metrics")
    random = np.random.default_rng(seed)
    # Both classes in every group: fairlearn takes a rate of nothing for 0, and here it is none.
    groups = [*"aabbcc", *random.choice([*"abc"], 30).tolist()]
    held = [*[0, 1] * 3, *random.integers(0, 2, 30).tolist()]
    given = random.integers(0, 2, 36).tolist()
    found = judged(held, given, groups, resamples=100)
    frame = fairlearn.MetricFrame(
        metrics={
            SELECTION: fairlearn.selection_rate,
            TRUE: fairlearn.true_positive_rate,
            FALSE: fairlearn.false_positive_rate,
        },
        y_true=held,
        y_pred=given,
        sensitive_features=groups,
    )
    gaps = found.gaps["group"]
    for key, difference in frame.difference(method="between_groups").items():
        assert gaps[key].value == pytest.approx(difference)
        for group, value in frame.by_group[key].items():
            assert found.slices[f"group={group}"].scores[key].value == pytest.approx(value)
    assert gaps["equalized_odds_difference"].value == pytest.approx(
        fairlearn.equalized_odds_difference(held, given, sensitive_features=groups)
    )


@given(st.data())
def test_rates_follow_from_counts(data):
    n = data.draw(st.integers(1, 30))
    held, said = (
        np.array(data.draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))) for _ in "ab"
    )
    for rate, value in (
        (SelectionRate, [said[i] for i in range(n)]),
        (TruePositiveRate, [said[i] for i in range(n) if held[i]]),
        (FalsePositiveRate, [said[i] for i in range(n) if not held[i]]),
    ):
        metric = rate(label="positive", only_one=True)
        expected = sum(value) / len(value) if value else math.nan
        assert metric.compute(said, held, LABELS) == {
            metric.rate: pytest.approx(expected, nan_ok=True)
        }
        counts = np.stack([np.ones(n, dtype=int), np.zeros(n, dtype=int), 2 * held])
        once, never, of_positives = metric.resample(said, held, counts, LABELS)[metric.rate]
        assert once == pytest.approx(expected, nan_ok=True)
        assert math.isnan(never)
        of_held = [said[i] for i in range(n) if held[i]]
        share = sum(of_held) / len(of_held) if of_held else math.nan
        wanted = math.nan if rate is FalsePositiveRate else share
        assert of_positives == pytest.approx(wanted, nan_ok=True)


def test_a_group_without_positives_has_no_true_positive_rate_and_no_part_in_its_gap():
    found = judged([0, 0, 1, 0, 1, 0], [0, 1, 1, 0, 0, 0], "aabbcc")
    assert rates(found, "group=a")[TRUE] is None
    assert found.slices["group=a"].notes == {TRUE: "every reference is negative"}
    gap = found.gaps["group"][TRUE]
    assert (gap.value, gap.highest, gap.lowest) == (1, "group=b", "group=c")
    assert found.gaps["group"][FALSE].highest == "group=a"


def test_a_gap_that_only_one_group_is_left_for_is_none():
    found = judged([0, 0, 1, 0], [0, 1, 1, 0], "aabb")
    assert found.gaps["group"][TRUE].value is None
    assert found.gaps["group"]["equalized_odds_difference"].value is None
    assert found.gaps["group"][FALSE].value == 0.5


def test_the_positive_label_may_be_told():
    found = judged([0, 1, 0], [0, 1, 1], "aaa", positive_label="negative")
    assert rates(found, "group=a") == {
        "accuracy": pytest.approx(2 / 3), SELECTION: pytest.approx(1 / 3), TRUE: 0.5, FALSE: 0,
    }  # fmt: skip


def test_of_more_labels_each_is_judged_against_the_others():
    found = judged([0, 1, 2, 2], [0, 2, 2, 1], "aabb", labels=["x", "y", "z"])
    values = rates(found, "group=b")
    assert [key for key in values if key != "accuracy"] == [
        f"{rate}[{label}]" for label in "xyz" for rate in (TRUE, FALSE, SELECTION)
    ]
    assert values["true_positive_rate[z]"] == 0.5
    assert values["false_positive_rate[y]"] == 0.5
    assert values["true_positive_rate[x]"] is None
    assert "equalized_odds_difference[z]" in found.gaps["group"]


def test_label_sets_are_judged_label_by_label():
    references = np.array([[1, 0], [1, 1], [0, 1], [0, 0]])
    answers = np.array([[1, 1], [0, 1], [0, 1], [0, 0]])
    values = rates(judged(references, answers, "aaaa"), "group=a")
    assert values["true_positive_rate[negative]"] == 0.5
    assert values["false_positive_rate[positive]"] == 0.5


@pytest.mark.slow
@pytest.mark.parametrize("shares", [(0.8,) * 8, (0.8, 0.7), (0.85, 0.8, 0.75, 0.6)])
def test_the_interval_of_a_gap_covers_it(shares):
    """Also that of groups which do not differ, where a percentile interval never would."""
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(len(shares)), 150)
    truth = max(shares) - min(shares)
    covered = 0
    for _ in range(300):
        answers = (random.random(len(groups)) < np.array(shares)[groups]).astype(int)
        found = judged(np.ones_like(answers), answers, map(str, groups), resamples=300)
        gap = found.gaps["group"][TRUE]
        covered += gap.low <= truth <= gap.high
    assert covered / 300 >= 0.93
