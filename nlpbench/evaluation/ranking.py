"""Rank arithmetic on many resamples at once: one sort, then cumulative sums of the counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlpbench.evaluation.resampling import blocks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]


@dataclass(frozen=True)
class Order:
    """Examples in ascending order of a value; equal values form one group."""

    index: Array
    """(n,) the example at each place."""
    first: Array
    """(n,) for each place, the first place of its group."""
    last: Array
    """(n,) for each place, the last place of its group."""

    @classmethod
    def of(cls, values: Array) -> Order:
        import numpy as np

        index = np.argsort(values, kind="stable")
        ascending = values[index]
        starts = np.flatnonzero(np.r_[True, ascending[1:] != ascending[:-1]])
        sizes = np.diff(np.r_[starts, len(values)])
        return cls(index, np.repeat(starts, sizes), np.repeat(starts + sizes - 1, sizes))


def roc_auc_resamples(
    scores: Array, truth: Array, counts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Area under the ROC curve of each resample, (B,): the Mann-Whitney U over its maximum.

    NaN where a resample has no positive or no negative example.

    Args:
        scores: (n,) higher means rather positive.
        truth: (n,) bool.
    """
    import numpy as np

    def area(drawn: Array, positive: Array, first: Array, last: Array) -> Array:
        start, end = first[positive], last[positive]
        weight = drawn.take(positive, axis=1)
        through = np.cumsum(drawn, axis=1, dtype=drawn.dtype)
        below = through.take(start, axis=1) - drawn.take(start, axis=1)
        doubled_ranks = below + through.take(end, axis=1) + 1  # mid-ranks, twice
        positives = weight.sum(axis=1, dtype=np.float64)
        negatives = through[:, -1] - positives
        rank_sum = _dot(weight, doubled_ranks) / 2
        wins = rank_sum - positives * (positives + 1) / 2
        return np.asarray(wins / (positives * negatives))

    return _per_resample(area, scores, truth, counts)


def average_precision_resamples(
    scores: Array, truth: Array, counts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Average precision of each resample, (B,); NaN where there is no positive example.

    Every drawn positive adds the precision among the examples that score at least as high.

    Args:
        scores: (n,) higher means rather positive.
        truth: (n,) bool.
    """
    import numpy as np

    def average(drawn: Array, positive: Array, first: Array, last: Array) -> Array:
        del last
        start = first[positive]
        weight = drawn.take(positive, axis=1)
        through = np.cumsum(drawn, axis=1, dtype=drawn.dtype)
        below = through.take(start, axis=1) - drawn.take(start, axis=1)
        positives_through = np.cumsum(weight, axis=1, dtype=drawn.dtype)
        positives = weight.sum(axis=1, dtype=np.float64)[:, None]  # (b, 1)
        leader = np.searchsorted(start, start)  # the first positive of each group
        positives_below = positives_through.take(leader, axis=1) - weight.take(leader, axis=1)
        retrieved = np.maximum(through[:, -1:] - below, 1)  # 1 only where nothing is drawn
        precision = (positives - positives_below) / retrieved
        return np.asarray(_dot(weight, precision) / positives[:, 0])

    return _per_resample(average, scores, truth, counts)


def doubled_ranks(order: Order, drawn: Array) -> NDArray[np.float64]:
    """Twice the mid-rank of each example within each resample: whole numbers, (B, n)."""
    import numpy as np

    ascending = drawn.take(order.index, axis=1)
    through = np.cumsum(ascending, axis=1, dtype=drawn.dtype)
    below = through.take(order.first, axis=1) - ascending.take(order.first, axis=1)
    ranks = below + through.take(order.last, axis=1) + 1
    places = np.argsort(order.index)
    return np.asarray(ranks.take(places, axis=1), dtype=np.float64)


def _per_resample(
    score: Callable[[Array, Array, Array, Array], Array],
    scores: Array,
    truth: Array,
    counts: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Applies `score` to the counts in ascending order of the scores, a block at a time."""
    import numpy as np

    result = np.full(len(counts), np.nan)
    if not len(scores):
        return result
    order = Order.of(scores)
    positive = np.flatnonzero(truth[order.index])
    start = 0
    for block in blocks(counts):
        drawn = block.astype(np.int32).take(order.index, axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            part = score(drawn, positive, order.first, order.last)
        result[start : start + len(block)] = part
        start += len(block)
    return result


def _dot(left: Array, right: Array) -> NDArray[np.float64]:
    """Row-wise dot products in double precision."""
    import numpy as np

    product: NDArray[np.float64] = np.einsum("bi,bi->b", left, right, dtype=np.float64)
    return product
