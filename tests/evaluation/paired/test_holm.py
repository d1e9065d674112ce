"""Holm's correction against statsmodels, and its properties."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpbench.evaluation.paired.holm import holm

several = st.lists(st.floats(0, 1), max_size=8)


def test_of_three_the_smallest_counts_thrice():
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
@settings(deadline=None, max_examples=30, database=None, derandomize=True)
def test_agrees_with_statsmodels(p_values):
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    _, expected, _, _ = multitest.multipletests(p_values, method="holm")
    assert holm(p_values) == pytest.approx(expected.tolist())


@given(several)
@settings(deadline=None, max_examples=100, database=None, derandomize=True)
def test_keeps_the_order_and_never_finds_more(p_values):
    adjusted = holm(p_values)
    for before, after in zip(p_values, adjusted, strict=True):
        assert before <= after <= 1
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    ranked = [adjusted[place] for place in order]
    assert ranked == sorted(ranked)


@given(several, st.integers(0, 8))
@settings(deadline=None, max_examples=50, database=None, derandomize=True)
def test_what_is_not_tested_does_not_count(p_values, place):
    with_gap = [*p_values[:place], None, *p_values[place:]]
    adjusted = holm(with_gap)
    assert adjusted[min(place, len(p_values))] is None
    assert [value for value in adjusted if value is not None] == holm(p_values)


def test_a_single_test_is_left_as_it_is():
    assert holm([0.04]) == [0.04]
    assert holm([]) == []
