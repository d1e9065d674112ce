"""Mean squared error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nlpbench.evaluation.mean_error import MeanErrorMetric

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


class Mse(MeanErrorMetric):
    """The mean of the squared differences from the references.

    Arithmetic: scikit-learn's user guide, section "Mean squared error".

    ```yaml
    metrics: [mse]
    ```
    """

    @staticmethod
    def score(references: Array, predictions: Array) -> float:
        from sklearn.metrics import mean_squared_error

        return mean_squared_error(references, predictions)  # type: ignore[no-any-return]

    @staticmethod
    def errors(differences: Array) -> Array:
        return differences**2
