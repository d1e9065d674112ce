"""Answers that narrower arithmetic may have changed: which they are, by how much it is off.

Rounding to bf16 moves a logit by about a hundredth. Most answers are clear by far more; the few that
are not are worth computing again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Index = NDArray[np.int64]

SAMPLE = 16  # rows that are computed in both precisions
SAFETY = 3.0  # times what two values of the sample moved by, at most


def sample(order: Index) -> Index:
    """Rows from all over an order, such as that by length."""
    import numpy as np

    places = np.linspace(0, len(order) - 1, min(SAMPLE, len(order))).round().astype(np.int64)
    return order[np.unique(places)]


def reach(narrow: Sequence[NDArray[Any]], exact: Sequence[NDArray[Any]]) -> float:
    """The margin below which an answer is in doubt.

    Args:
        narrow: of every row of the sample, its values in the narrower precision.
        exact: in fp32.
    """
    import numpy as np

    moved = 0.0
    for one, other in zip(narrow, exact, strict=True):
        # Choices that a row does not have are minus infinity in both.
        finite = np.isfinite(one) & np.isfinite(other)
        moved = max(moved, float(np.abs(one[finite] - other[finite]).max(initial=0.0)))
    # Two values that move towards each other close a margin twice as wide.
    return SAFETY * 2 * moved


def most(distances: NDArray[np.float64], reach: float) -> bool:
    """Whether more than half of the answers are in doubt."""
    return 2 * int((distances < reach).sum()) > len(distances)
