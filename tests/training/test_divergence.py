"""A step that is not finite is named, with its rows; on a GPU without a wait at every step."""

from __future__ import annotations

import math

import pytest
import torch

from nlpbench.config.errors import RunError
from nlpbench.training.divergence import Divergence


def watched(values, at_once, steps_remembered=5):
    divergence = Divergence(lambda row: f"row-{row}", steps_remembered, at_once)
    for step, value in enumerate(values, 1):
        divergence.remember(step, [step * 10, step * 10 + 1])
        divergence.watch("loss", torch.tensor(value), step, 0.01)
    divergence.check_watched(0.01)


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_the_first_bad_step_is_named(at_once, bad):
    with pytest.raises(RunError) as caught:
        watched([1.0, 2.0, bad, 3.0, math.nan], at_once)
    found = bad if at_once else math.nan
    assert str(caught.value).startswith(
        f"the loss became {found} at step 3 (learning rate 0.01, rows with the ids row-30, row-31):"
    )


@pytest.mark.parametrize("at_once", [True, False])
def test_finite_steps_pass(at_once):
    watched([1.0, 1e30, -5.0], at_once)


def test_later_ones_wait_for_the_log():
    divergence = Divergence(str, 5, at_once=False)
    divergence.watch("loss", torch.tensor(math.nan), 1, 0.01)
    divergence.watch("gradient norm", torch.tensor(1.0), 1, 0.01)
    with pytest.raises(RunError, match="the loss became nan at step 1"):
        divergence.check_watched(0.01)


def test_rows_of_long_ago_are_not_kept():
    with pytest.raises(RunError, match=r"at step 1 \(learning rate 0.01\): the training"):
        watched([math.nan] + [1.0] * 9, at_once=False)


def test_many_rows_are_shortened():
    divergence = Divergence(str, 1, at_once=True)
    divergence.remember(1, list(range(32)))
    with pytest.raises(RunError, match=r"the ids 0, 1, 2, 3, 4, 5, 6, 7, … 32 in all\)"):
        divergence.check("loss", math.inf, 1, 0.01)
