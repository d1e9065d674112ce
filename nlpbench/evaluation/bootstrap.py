"""Confidence intervals by resampling the examples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlpbench.evaluation.metrics import Metric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]

CELLS = 4_000_000
"""How many counts are held at a time: 32 MB, and a few times that in the metric."""


@dataclass(frozen=True)
class Interval:
    """The bounds of a score; None where it cannot be told."""

    low: float | None
    high: float | None


def draw_counts(
    n: int, resamples: int, seed: int, cells: int = CELLS
) -> Iterator[NDArray[np.int64]]:
    """How often each of n examples is drawn, in blocks of rows (b, n) that add up to `resamples`.

    Every row is n draws with replacement. The rows follow from n and the seed alone, so two models
    that answered the same examples get the same resamples, whatever the block size.
    """
    import numpy as np

    generator = np.random.Generator(np.random.PCG64(seed))
    rows = max(1, cells // max(1, n))
    for start in range(0, resamples, rows):
        block = np.empty((min(rows, resamples - start), n), dtype=np.int64)
        for row in block:
            row[:] = np.bincount(generator.integers(0, n, size=n), minlength=n)
        yield block


def intervals(
    metric: Metric,
    predictions: Array,
    references: Array,
    labels: Sequence[str],
    *,
    confidence: float,
    resamples: int,
    seed: int,
) -> dict[str, Interval]:
    """The percentile bootstrap interval of each of the metric's scores.

    Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13. Resamples in which a
    score is undefined are left out; with fewer than half defined, or fewer than two examples, the
    interval is unknown.
    """
    import numpy as np

    n = len(references)
    if n < 2 or resamples < 1 or not metric.has_interval:
        keys = metric.compute(predictions, references, labels)
        return dict.fromkeys(keys, Interval(None, None))
    drawn: dict[str, list[Array]] = {}
    for counts in draw_counts(n, resamples, seed):
        for key, scores in metric.resample(predictions, references, counts, labels).items():
            drawn.setdefault(key, []).append(scores)
    return {key: _percentiles(np.concatenate(parts), confidence) for key, parts in drawn.items()}


def _percentiles(scores: NDArray[np.float64], confidence: float) -> Interval:
    import numpy as np

    defined = scores[~np.isnan(scores)]
    if 2 * len(defined) < len(scores):
        return Interval(None, None)
    tail = (1 - confidence) / 2
    with np.errstate(invalid="ignore"):  # between infinite scores
        low, high = (float(bound) for bound in np.quantile(defined, [tail, 1 - tail]))
    return Interval(low, high) if math.isfinite(low + high) else Interval(None, None)
