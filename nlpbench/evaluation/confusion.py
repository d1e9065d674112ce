"""Per-class sums of the confusion matrix, for many resamples at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]


@dataclass(frozen=True)
class ClassSums:
    """How many examples of a resample are of each class: three arrays of (B, K)."""

    hits: NDArray[np.float64]
    """Both predicted and of that class: the diagonal."""
    predicted: NDArray[np.float64]
    actual: NDArray[np.float64]

    def over_classes(self) -> ClassSums:
        """The sums over all classes: three arrays of (B,)."""
        return ClassSums(self.hits.sum(axis=1), self.predicted.sum(axis=1), self.actual.sum(axis=1))


def class_sums(
    predictions: Array, references: Array, counts: NDArray[np.int64], classes: int
) -> ClassSums:
    """Sums over class ids (n,) or over indicators (n, K)."""
    import numpy as np

    predicted = _indicators(predictions, classes)
    actual = _indicators(references, classes)
    hits = predicted.multiply(actual).tocsr()
    flat = np.ascontiguousarray(counts.T, dtype=np.float64)  # (n, B)
    return ClassSums(
        hits=(hits.T @ flat).T, predicted=(predicted.T @ flat).T, actual=(actual.T @ flat).T
    )


def class_count(predictions: Array, references: Array, declared: int) -> int:
    """K: the declared labels, or what the answers show where none are."""
    if references.ndim == 2:
        return int(references.shape[1])
    seen = max(
        (int(array.max()) + 1 for array in (predictions, references) if len(array)), default=0
    )
    return max(declared, seen)


def _indicators(answers: Array, classes: int) -> Any:
    """A sparse matrix (n, K) with a one for each class of each example."""
    import numpy as np
    from scipy.sparse import csr_array

    if answers.ndim == 2:
        return csr_array(answers, dtype=np.float64)
    rows = np.arange(len(answers))
    ones = np.ones(len(answers))
    return csr_array((ones, (rows, answers)), shape=(len(answers), classes))
