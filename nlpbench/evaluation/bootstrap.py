"""Confidence intervals by resampling the examples, or the clusters that they come in."""

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
    n: int,
    resamples: int,
    seed: int,
    cells: int = CELLS,
    clusters: NDArray[np.int64] | None = None,
) -> Iterator[NDArray[np.int64]]:
    """How often each of n examples is drawn, in blocks of rows (b, n) that add up to `resamples`.

    Every row is n draws with replacement; of c clusters it is c draws of clusters, each with all
    its examples (Davison and Hinkley 1997, "Bootstrap Methods and their Application", section
    3.8; Field and Welsh 2007, "Bootstrapping clustered data"). The rows follow from n, the
    clusters and the seed alone, so two models that answered the same examples get the same
    resamples, whatever the block size.

    Args:
        clusters: (n,) the number of each example's cluster, from 0 without a gap.
    """
    import numpy as np

    generator = np.random.Generator(np.random.PCG64(seed))
    units = n if clusters is None else _count(clusters)
    rows = max(1, cells // max(1, n))
    for start in range(0, resamples, rows):
        block = np.empty((min(rows, resamples - start), n), dtype=np.int64)
        for row in block:
            drawn = np.bincount(generator.integers(0, units, size=units), minlength=units)
            row[:] = drawn if clusters is None else drawn[clusters]
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
    clusters: NDArray[np.int64] | None = None,
) -> dict[str, Interval]:
    """The percentile bootstrap interval of each of the metric's scores.

    Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13. With fewer than two
    examples, or two clusters, the interval is unknown.

    Args:
        clusters: (n,) as `draw_counts` takes them.
    """
    drawn = resampled(
        metric, predictions, references, labels, resamples=resamples, seed=seed, clusters=clusters
    )
    if not drawn:
        keys = metric.compute(predictions, references, labels)
        return dict.fromkeys(keys, Interval(None, None))
    return {key: percentiles(scores, confidence) for key, scores in drawn.items()}


def resampled(
    metric: Metric,
    predictions: Array,
    references: Array,
    labels: Sequence[str],
    *,
    resamples: int,
    seed: int,
    clusters: NDArray[np.int64] | None = None,
) -> dict[str, NDArray[np.float64]]:
    """The scores of all resamples by key, (B,); nothing where resamples tell nothing.

    That is with fewer than two examples or clusters, or a metric that has no interval.
    """
    import numpy as np

    n = len(references)
    units = n if clusters is None else _count(clusters)
    if units < 2 or resamples < 1 or not metric.has_interval:
        return {}
    drawn: dict[str, list[Array]] = {}
    score = metric.resampler(predictions, references, labels)
    for counts in draw_counts(n, resamples, seed, clusters=clusters):
        for key, scores in score(counts).items():
            drawn.setdefault(key, []).append(scores)
    return {key: np.concatenate(parts) for key, parts in drawn.items()}


def percentiles(scores: NDArray[np.float64], confidence: float) -> Interval:
    """The bounds between which that share of the defined scores lies.

    Resamples in which a score is undefined (NaN) are left out; with fewer than half defined the
    interval is unknown.
    """
    import numpy as np

    defined = scores[~np.isnan(scores)]
    if 2 * len(defined) < len(scores):
        return Interval(None, None)
    tail = (1 - confidence) / 2
    with np.errstate(invalid="ignore"):  # between infinite scores
        low, high = (float(bound) for bound in np.quantile(defined, [tail, 1 - tail]))
    return Interval(low, high) if math.isfinite(low + high) else Interval(None, None)


def _count(clusters: NDArray[np.int64]) -> int:
    return int(clusters.max()) + 1 if len(clusters) else 0
