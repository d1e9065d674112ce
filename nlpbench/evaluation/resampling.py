"""Sums over the examples of many resamples at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def blocks(counts: NDArray[Any], cells: int = 1 << 19) -> Iterator[NDArray[Any]]:
    """The counts (B, n) in blocks of rows that stay in the processor's cache."""
    rows = max(1, cells // max(1, counts.shape[1]))
    for start in range(0, len(counts), rows):
        yield counts[start : start + rows]


def weighted_sums(counts: NDArray[Any], values: NDArray[Any]) -> NDArray[np.float64]:
    """Sums of the examples' values (n, C) over each resample: (B, C)."""
    import numpy as np

    values = np.ascontiguousarray(values, dtype=np.float64)
    parts = [block.astype(np.float64) @ values for block in blocks(counts)]
    return np.concatenate(parts) if parts else np.empty((0, *values.shape[1:]))


def sizes(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """How many examples each resample draws, those drawn twice counted twice: (B,)."""
    import numpy as np

    return np.asarray(counts.sum(axis=1), dtype=np.float64)


def weighted_mean(counts: NDArray[np.int64], values: NDArray[Any]) -> NDArray[np.float64]:
    """Mean of the examples' values (n,) over each resample: (B,).

    NaN where nothing is drawn, or a value that is not finite.
    """
    from nlpbench.evaluation.undefined import finite_or_zero, nan_where_drawn, quotient

    sums = weighted_sums(counts, finite_or_zero(values))
    return nan_where_drawn(quotient(sums, sizes(counts)), counts, values)
