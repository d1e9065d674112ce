"""How far a score lies apart between groups of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nlpbench.results.record import Gap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


def gap(names: Sequence[str], values: Array, resampled: Array | None, confidence: float) -> Gap:
    """The largest value less the smallest, with an interval; of several scores the largest gap.

    The largest of several differences lies above 0 by chance alone, and a percentile interval of it
    nearly always leaves out 0. So `low` is the gap less the largest difference that chance makes
    between groups, over all pairs at once, and 0 at least (Tukey's range test, with the bootstrap
    for its distribution; Davison and Hinkley 1997, "Bootstrap Methods and their Application").
    `high` is the percentile.

    Args:
        names: (G,) of the groups.
        values: (S, G) of S scores, NaN where one is undefined; it then leaves the group out.
        resampled: (B, S, G), each group resampled by itself; None where there is no interval.

    Returns:
        None as value where a score has fewer than two groups.
    """
    import numpy as np

    known = np.isfinite(values)
    if not len(values) or (known.sum(axis=1) < 2).any():
        return Gap(value=None)
    spans = _span(values, known)
    widest = int(spans.argmax())
    low, high = _interval(values, known, resampled, confidence)
    groups = np.flatnonzero(known[widest])
    of_widest = values[widest, groups]
    return Gap(
        value=float(spans[widest]),
        low=low,
        high=high,
        highest=names[groups[of_widest.argmax()]],
        lowest=names[groups[of_widest.argmin()]],
    )


def _interval(
    values: Array, known: Array, resampled: Array | None, confidence: float
) -> tuple[float | None, float | None]:
    import numpy as np

    if resampled is None:
        return None, None
    defined = (np.isfinite(resampled) | ~known).all(axis=(1, 2))
    if 2 * defined.sum() < len(resampled):
        return None, None
    drawn = resampled[defined]
    observed = float(_span(values, known).max())
    chance = np.quantile(_span(drawn - values, known).max(axis=1), confidence)
    above = np.quantile(_span(drawn, known).max(axis=1), (1 + confidence) / 2)
    return max(0.0, observed - float(chance)), max(observed, float(above))


def _span(values: Array, known: Array) -> Array:
    """Largest less smallest of the known groups: (…, S, G) to (…, S)."""
    import numpy as np

    highest = np.where(known, values, -np.inf).max(axis=-1)
    return np.asarray(highest - np.where(known, values, np.inf).min(axis=-1))
