"""What narrower arithmetic may have changed is told by how far it moves a sample."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from nlpbench.evaluation import near_ties
from nlpbench.tasks._margins import between_classes, from_edges


@given(st.integers(1, 200))
def test_a_sample_is_rows_of_the_order_each_once(count):
    order = np.random.default_rng(0).permutation(count)
    sample = near_ties.sample(order)
    assert len(set(sample.tolist())) == len(sample) == min(near_ties.SAMPLE, count)
    assert set(sample.tolist()) <= set(order.tolist())
    assert order[0] in sample  # the longest
    assert count < 2 or order[-1] in sample


LOGITS = arrays.arrays(np.float64, (20, 3), elements=st.floats(-5, 5))


@given(LOGITS, arrays.arrays(np.float64, (20, 3), elements=st.floats(-0.1, 0.1)))
def test_an_answer_out_of_reach_does_not_change(logits, moved):
    """If no row moves by more than the sample did, whatever the safety factor."""
    reach = near_ties.reach(logits + moved, logits) / near_ties.SAFETY
    clear = between_classes(logits + moved) > reach
    assert ((logits + moved).argmax(1) == logits.argmax(1))[clear].all()


@given(LOGITS, arrays.arrays(np.float64, (20, 3), elements=st.floats(-0.1, 0.1)))
def test_a_label_out_of_reach_of_its_edge_is_given_or_not_as_before(logits, moved):
    reach = near_ties.reach(logits + moved, logits)
    edges = np.array([0.0, 1.0, -2.0])
    clear = from_edges(logits + moved, edges) > reach
    assert ((logits + moved >= edges) == (logits >= edges))[clear].all()


def test_choices_that_a_row_does_not_have_are_left_out():
    some = [np.array([1.0, -np.inf]), np.array([1.0, 2.0])]
    other = [np.array([1.25, -np.inf]), np.array([1.0, 2.125])]
    assert near_ties.reach(some, other) == pytest.approx(near_ties.SAFETY * 2 * 0.25)
    assert between_classes(np.array([[1.0, -np.inf], [3.0, 1.0]])).tolist() == [np.inf, 2.0]


def test_most():
    assert near_ties.most(np.array([0.1, 0.1, 5.0]), 1.0)
    assert not near_ties.most(np.array([0.1, 5.0]), 1.0)
