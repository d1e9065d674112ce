"""How far an answer is from being another one, in the unit of the logits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def between_classes(logits: NDArray[Any]) -> NDArray[np.float64]:
    """(n,) the likeliest of K classes against the next one.

    Args:
        logits: (n, K); minus infinity for a class that a row does not have.
    """
    import numpy as np

    if logits.shape[1] < 2:
        return np.full(len(logits), np.inf)
    second, first = np.partition(logits.astype(np.float64), -2, axis=1)[:, -2:].T
    return np.asarray(first - second)


def from_edges(logits: NDArray[Any], edges: NDArray[Any] | float) -> NDArray[np.float64]:
    """(n,) the nearest of K logits to the edge from which on its label is given.

    Args:
        logits: (n, K)
        edges: (K,), or one for all.
    """
    import numpy as np

    return np.asarray(np.abs(logits.astype(np.float64) - edges).min(axis=1))
