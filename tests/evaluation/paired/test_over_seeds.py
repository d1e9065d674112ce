"""The paired test over seeds against scipy's, and where there is none."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from nlpbench.evaluation.paired.seeds import over_seeds

scores = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=10)


@given(scores, st.sampled_from([0.9, 0.95, 0.99]))
@settings(deadline=None, max_examples=100, database=None, derandomize=True)
def test_is_scipys_paired_t_test(pairs, confidence):
    gains = [one - other for one, other in pairs]
    assume(max(gains) - min(gains) > 1e-3)
    ones, others = zip(*pairs, strict=True)
    expected = ttest_rel(ones, others)
    bounds = expected.confidence_interval(confidence)
    found = over_seeds(ones, others, confidence=confidence)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-6)
    assert (found.low, found.high) == pytest.approx((bounds.low, bounds.high), abs=1e-9)
    assert found.value == pytest.approx(sum(gains) / len(gains), abs=1e-12)


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_than_three_seeds_are_not_tested(count):
    found = over_seeds([0.9, 0.8][:count], [0.7, 0.7][:count], confidence=0.95)
    assert found.value == pytest.approx([0.2, 0.15][count - 1])
    assert (found.low, found.high, found.p_value) == (None, None, None)


def test_seeds_that_change_nothing_are_not_tested():
    found = over_seeds([0.75, 0.75, 0.75], [0.5, 0.5, 0.5], confidence=0.95)
    assert (found.value, found.p_value) == (0.25, None)


def test_means_and_deviations_are_told():
    found = over_seeds([0.9, 0.8, 1.0], [0.5, 0.6, 0.4], confidence=0.95)
    assert (found.one, found.other) == pytest.approx((0.9, 0.5))
    assert (found.one_deviation, found.other_deviation) == pytest.approx((0.1, 0.1))


@pytest.mark.parametrize("odd", [math.nan, math.inf])
def test_a_seed_without_a_defined_score_leaves_nothing_to_test(odd):
    found = over_seeds([0.9, odd, 0.8], [0.5, 0.4, 0.6], confidence=0.95)
    assert (found.value, found.p_value, found.one, found.one_deviation) == (None, None, None, None)
    assert found.other == pytest.approx(0.5)
