"""Two methods compared over their seeds: whether they differ by more than seeds do."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

ENOUGH_SEEDS = 3


@dataclass(frozen=True)
class SeedDifference:
    """The mean difference over seeds; bounds and p-value None where no test is made.

    Attributes:
        one: the mean score of the first method; None where it is undefined for a seed.
        one_deviation: its sample standard deviation.
    """

    value: float | None
    low: float | None
    high: float | None
    p_value: float | None
    one: float | None
    other: float | None
    one_deviation: float | None
    other_deviation: float | None


def over_seeds(
    ones: Sequence[float], others: Sequence[float], *, confidence: float
) -> SeedDifference:
    """The paired t-test of scores over seeds, with its interval.

    It asks whether a method would win with new seeds, on these examples: training with other seeds
    moves scores by more than many a reported gain (Reimers and Gurevych 2017, "Reporting score
    distributions makes a difference"). The runs are paired by their seed. Tests without the
    normal distribution need six seeds and more to find anything at 0.05, which few can afford
    (Dror et al. 2018, "The hitchhiker's guide to testing statistical significance in NLP").
    There is no test with fewer than three seeds, nor where the difference is the same for all.

    Args:
        ones: (k,) the scores of the first method, by seed.
        others: (k,) those of the second, for the same seeds in the same order.
        confidence: level of the interval, such as 0.95.
    """
    gains = [one - other for one, other in zip(ones, others, strict=True)]
    mean = _mean(gains)
    low, high, p_value = (None, None, None) if mean is None else _t_test(gains, mean, confidence)
    return SeedDifference(
        value=mean,
        low=low,
        high=high,
        p_value=p_value,
        one=_mean(ones),
        other=_mean(others),
        one_deviation=_deviation(ones),
        other_deviation=_deviation(others),
    )


def _t_test(
    gains: Sequence[float], mean: float, confidence: float
) -> tuple[float | None, float | None, float | None]:
    """The bounds of the interval and the p-value."""
    spread = _deviation(gains)
    if len(gains) < ENOUGH_SEEDS or not spread:
        return None, None, None
    from scipy.special import stdtr, stdtrit

    freedom = len(gains) - 1
    error = spread / math.sqrt(len(gains))
    half = float(stdtrit(freedom, (1 + confidence) / 2)) * error
    return mean - half, mean + half, 2 * float(stdtr(freedom, -abs(mean) / error))


def _mean(scores: Sequence[float]) -> float | None:
    return statistics.fmean(scores) if all(map(math.isfinite, scores)) else None


def _deviation(scores: Sequence[float]) -> float | None:
    if len(scores) < 2 or not all(map(math.isfinite, scores)):
        return None
    return statistics.stdev(scores)
