"""Mean absolute error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nlpbench.evaluation.mean_error import MeanErrorMetric

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


class Mae(MeanErrorMetric):
    """The mean of the absolute differences from the references.

    Arithmetic: scikit-learn's user guide, section "Mean absolute error".

    ```yaml
    metrics: [mae]
    ```
    """

    @staticmethod
    def score(references: Array, predictions: Array) -> float:
        from sklearn.metrics import mean_absolute_error

        return mean_absolute_error(references, predictions)  # type: ignore[no-any-return]

    @staticmethod
    def errors(differences: Array) -> Array:
        import numpy as np

        return np.abs(differences)
