"""A score that is undefined is NaN: it neither warns nor raises."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]


@contextmanager
def quiet() -> Iterator[None]:
    """Silences the warnings of numpy, scipy and scikit-learn: NaN in the table says it."""
    import numpy as np

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def is_defined(*arrays: Array, at_least: int = 1) -> bool:
    """Whether there are enough examples, and every number of theirs is finite."""
    import numpy as np

    return all(len(array) >= at_least and bool(np.isfinite(array).all()) for array in arrays)


def finite_or_zero(array: Array) -> NDArray[np.float64]:
    """The numbers with 0 for those that are not finite, which `nan_where_drawn` then marks."""
    import numpy as np

    return np.nan_to_num(np.asarray(array, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)


def quotient(numerator: Array, denominator: Array) -> NDArray[np.float64]:
    """Numerator by denominator, NaN where the denominator is 0."""
    import numpy as np

    undefined = np.full(np.broadcast_shapes(numerator.shape, denominator.shape), np.nan)
    result: NDArray[np.float64] = np.divide(
        numerator, denominator, out=undefined, where=denominator != 0
    )
    return result


def nan_where_nothing_drawn(
    scores: NDArray[np.float64], counts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The scores (B,) or (B, C), NaN for each resample without an example."""
    import numpy as np

    empty = ~counts.any(axis=1)
    return np.where(empty.reshape(-1, *[1] * (scores.ndim - 1)), np.nan, scores)


def nan_where_drawn(
    scores: NDArray[np.float64], counts: NDArray[np.int64], *arrays: Array
) -> NDArray[np.float64]:
    """The scores (B,), NaN for each resample with an example that holds NaN or infinity."""
    import numpy as np

    spoiled = np.zeros(counts.shape[1], dtype=bool)
    for array in arrays:
        spoiled |= ~np.isfinite(array).all(axis=tuple(range(1, array.ndim)))
    if not spoiled.any():
        return scores
    return np.where(counts[:, spoiled].any(axis=1), np.nan, scores)
