"""McNemar's exact test against scipy's binomial test and statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from noisy_texts import as_array
from scipy.stats import binomtest
from two_systems import answered, labelled

from nlpbench.config.errors import UserError
from nlpbench.evaluation.metrics.accuracy import Accuracy
from nlpbench.evaluation.metrics.exact_match import ExactMatch
from nlpbench.evaluation.metrics.f1 import F1
from nlpbench.evaluation.metrics.squad_exact_match import SquadExactMatch
from nlpbench.evaluation.paired import compare, differences
from nlpbench.evaluation.paired.mcnemar import p_value

SURE = {"confidence": 0.95, "resamples": 100, "seed": 3}
counts = st.integers(0, 60)


def rows(both: int, wins: int, losses: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    one = np.repeat([1, 1, 0, 0], [both, wins, losses, neither])
    other = np.repeat([1, 0, 1, 0], [both, wins, losses, neither])
    return one, other


@given(counts, counts, counts, counts)
@settings(deadline=None, max_examples=100, database=None, derandomize=True)
def test_is_the_two_sided_binomial_test_of_the_rows_that_tell(both, wins, losses, neither):
    expected = binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    assert p_value(*rows(both, wins, losses, neither)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("wins", "losses"), [(0, 0), (5, 0), (12, 3), (3, 12), (40, 41), (700, 620)]
)
def test_agrees_with_statsmodels(wins, losses):
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    expected = tables.mcnemar([[30, wins], [losses, 7]], exact=True).pvalue
    found = p_value(*rows(30, wins, losses, 7))
    assert found == pytest.approx(1.0 if np.isnan(expected) else expected, rel=1e-12)


@pytest.mark.parametrize("metric", [Accuracy(), ExactMatch(), SquadExactMatch()], ids=str)
def test_metrics_of_right_and_wrong_are_tested_by_it(metric):
    right = np.array([1] * 14 + [0] * 6)
    other = np.array([1] * 4 + [0] * 16)
    if isinstance(metric, Accuracy):
        sides = [labelled(np.ones(20, int), flags) for flags in (right, other)]
    else:
        references = as_array([["yes"]] * 20)
        kind = metric.answers[-1]
        texts = [as_array(["yes" if flag else "no" for flag in flags]) for flags in (right, other)]
        sides = [answered(kind, references, each) for each in texts]
    [(key, found)] = differences(metric, sides[:1], sides[1:], **SURE).items()
    assert key == metric.key
    assert found.test == "mcnemar"
    assert found.p_value == pytest.approx(binomtest(0, 10).pvalue)
    assert (found.one, found.other, found.value) == pytest.approx((0.7, 0.2, 0.5))


def test_label_sets_are_right_as_a_whole():
    references = np.ones((8, 2), dtype=int)
    wrong = references.copy()
    wrong[:5, 1] = 0
    sides = [answered("label-sets", references, each, ["a", "b"]) for each in (references, wrong)]
    found = compare(Accuracy(), "accuracy", *sides, **SURE)
    assert found.p_value == pytest.approx(binomtest(0, 5).pvalue)


def test_questions_of_one_kind_are_tested_among_themselves():
    references = as_array([["a"]] * 6 + [[]] * 4)
    one = as_array(["a"] * 6 + [""] * 4)
    other = as_array(["b"] * 6 + ["b"] * 1 + [""] * 3)
    sides = [answered("spans", references, each) for each in (one, other)]
    found = differences(SquadExactMatch(answerability=True), sides[:1], sides[1:], **SURE)
    tests = {
        key: binomtest(0, losses).pvalue
        for key, losses in {
            "squad_exact_match": 7,
            "squad_exact_match[HasAns]": 6,
            "squad_exact_match[NoAns]": 1,
        }.items()
    }
    assert {key: each.p_value for key, each in found.items()} == pytest.approx(tests)


def test_is_not_made_where_rows_belong_together():
    references, predictions = np.zeros(8, int), np.array([0, 0, 0, 0, 1, 1, 1, 1])
    alone = labelled(references, predictions)
    together = labelled(references, predictions, clusters="aabbccdd")
    right = labelled(references, references, clusters="aabbccdd")
    assert (
        compare(Accuracy(), "accuracy", alone, labelled(references, references), **SURE).test
        == "mcnemar"
    )
    assert compare(Accuracy(), "accuracy", together, right, **SURE).test == "randomisation"
    with pytest.raises(UserError, match="right or wrong one by one, which accuracy does not"):
        compare(Accuracy(), "accuracy", together, right, **SURE, test="mcnemar")


def test_is_refused_for_a_metric_that_is_no_share_of_right_rows():
    one = labelled([0, 1], [0, 1])
    with pytest.raises(UserError, match="which f1 does not say of them"):
        compare(F1(), "f1", one, one, **SURE, test="mcnemar")
