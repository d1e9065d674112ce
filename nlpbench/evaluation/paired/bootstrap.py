"""The paired bootstrap: both systems are scored on the same examples of each resample."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from nlpbench.evaluation.bootstrap import Interval, percentiles

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nlpbench.evaluation.paired.pair import Pair


def drawn_differences(pair: Pair, resamples: int, seed: int) -> dict[str, NDArray[np.float64]]:
    """The difference of each resample, by key (B,); nothing where resamples tell nothing.

    With clusters, those are drawn, with all their examples.
    """
    import numpy as np

    one, other = (pair.resampled(side, resamples, seed) for side in (pair.ones, pair.others))
    with np.errstate(invalid="ignore"):  # between infinite scores
        return {key: one[key] - other[key] for key in pair.scores if key in one}


def interval(drawn: NDArray[np.float64] | None, confidence: float) -> Interval:
    """The percentile interval of the difference; unknown where `drawn_differences` has none."""
    return Interval(None, None) if drawn is None else percentiles(drawn, confidence)


def p_value(drawn: NDArray[np.float64] | None, observed: float) -> float | None:
    """The two-sided p-value of the hypothesis that the systems do not differ.

    The differences of the resamples, moved so that their mean is 0, stand for those that chance
    alone makes: Noreen 1989, "Computer-Intensive Methods for Testing Hypotheses", with one added
    to both counts. Koehn 2004, "Statistical significance tests for machine translation
    evaluation", counts how often the better system wins, which is a one-sided test. sacrebleu's
    `--paired-bs` takes magnitudes before it moves them: its p-value is half of this one or less
    where it is small, and at 0.05 it rejects 11 % of equal systems.
    """
    import numpy as np

    if drawn is None or not math.isfinite(observed):
        return None
    defined = drawn[np.isfinite(drawn)]
    if 2 * len(defined) < len(drawn):
        return None
    by_chance = np.abs(defined - defined.mean())
    at_least = int((by_chance >= abs(observed) * (1 - 1e-9)).sum())
    return (at_least + 1) / (len(defined) + 1)
