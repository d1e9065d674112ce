"""McNemar's exact test of two systems whose answers are right or wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


def p_value(one: Array, other: Array) -> float:
    """The two-sided p-value of the hypothesis that both are right equally often.

    Only examples that one system has right and the other wrong tell anything: if the systems are
    equally good, either is the right one with probability 1/2, so that their number is binomial.
    McNemar 1947, "Note on the sampling error of the difference between correlated proportions or
    percentages"; Dietterich 1998, "Approximate statistical tests for comparing supervised
    classification learning algorithms".

    The exact test never rejects more often than its level says. It rejects less often, as counts
    come in whole numbers: at 0.05, of two equally good systems that differ in a quarter of 500
    examples, 4 % are rejected. 1 if no example tells anything.

    Args:
        one: (n,) 1 where the first system is right, 0 where it is wrong.
        other: (n,) the same of the second.
    """
    from scipy.special import bdtr

    wins = int(((one == 1) & (other == 0)).sum())
    losses = int(((one == 0) & (other == 1)).sum())
    # Of half a coin's throws: the binomial distribution is symmetric, so both tails weigh the same.
    return min(1.0, 2 * float(bdtr(min(wins, losses), wins + losses, 0.5)))
