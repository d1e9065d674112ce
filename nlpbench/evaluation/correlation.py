"""Correlation coefficients of many resamples at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]


def pearson_resamples(
    left: Array, right: Array, counts: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Pearson's r of each resample, (B,), and where to trust it.

    The moments are taken about the mean of all examples. Where a resample varies little compared to
    its distance from that mean, digits cancel: such a resample must be computed by itself.
    """
    import numpy as np

    from nlpbench.evaluation.resampling import sizes, weighted_sums

    x, y = _standardised(left), _standardised(right)
    with np.errstate(all="ignore"):
        sums = weighted_sums(counts, np.stack([x, y, x * x, y * y, x * y], axis=1))
        mean_x, mean_y, mean_xx, mean_yy, mean_xy = sums.T / sizes(counts)
        variance_x, variance_y = mean_xx - mean_x**2, mean_yy - mean_y**2
        trusted = (variance_x > 1e-4 * mean_xx) & (variance_y > 1e-4 * mean_yy)
        r = (mean_xy - mean_x * mean_y) / np.sqrt(variance_x * variance_y)
    return np.clip(r, -1.0, 1.0), trusted


def spearman_resamples(left: Array, right: Array, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Spearman's rho of each resample, (B,): Pearson's r of mid-ranks; NaN if one is constant."""
    import numpy as np

    from nlpbench.evaluation.ranking import Order, doubled_ranks
    from nlpbench.evaluation.resampling import blocks

    orders = Order.of(left), Order.of(right)
    parts = []
    for block in blocks(counts):
        drawn = block.astype(np.int32)
        # The mean of the doubled mid-ranks 1..m is m + 1: whole numbers, so a constant gives 0.
        mean = drawn.sum(axis=1, keepdims=True) + 1
        x, y = (doubled_ranks(order, drawn) - mean for order in orders)
        weighted_x, weighted_y = x * drawn, y * drawn
        covariance = np.einsum("bi,bi->b", weighted_x, y)
        variance_x = np.einsum("bi,bi->b", weighted_x, x)
        variance_y = np.einsum("bi,bi->b", weighted_y, y)
        with np.errstate(all="ignore"):
            parts.append(covariance / np.sqrt(variance_x) / np.sqrt(variance_y))
    return np.clip(np.concatenate(parts), -1.0, 1.0) if parts else np.empty(0)


def _standardised(values: Array) -> NDArray[np.float64]:
    """Centred and brought to a largest magnitude of 1."""
    import numpy as np

    centred = np.asarray(values, dtype=np.float64) - np.mean(values, dtype=np.float64)
    scale = np.abs(centred).max()
    scaled: NDArray[np.float64] = centred / scale if scale > 0 else centred
    return scaled
