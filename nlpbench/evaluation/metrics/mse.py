"""Mean squared error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, ClassVar

from nlpbench.evaluation.metrics import Answer, Metric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]


class Mse(Metric):
    """The mean of the squared differences from the references.

    Arithmetic: scikit-learn's user guide, section "Mean squared error".

    ```yaml
    metrics: [mse]
    ```
    """

    answers: ClassVar[tuple[Answer, ...]] = ("values",)
    higher_is_better: ClassVar[bool] = False

    def compute(
        self, predictions: Array, references: Array, labels: Sequence[str] = ()
    ) -> dict[str, float]:
        import numpy as np
        from sklearn.metrics import mean_squared_error

        from nlpbench.evaluation.undefined import is_defined, quiet

        if not is_defined(predictions, references):
            return {self.key: math.nan}
        predictions, references = predictions.astype(np.float64), references.astype(np.float64)
        with quiet():
            return {self.key: float(mean_squared_error(references, predictions))}

    def resample(
        self,
        predictions: Array,
        references: Array,
        counts: NDArray[np.int64],
        labels: Sequence[str] = (),
    ) -> dict[str, NDArray[np.float64]]:
        import numpy as np

        from nlpbench.evaluation.resampling import weighted_mean
        from nlpbench.evaluation.undefined import quiet

        predictions, references = predictions.astype(np.float64), references.astype(np.float64)
        with quiet():
            errors = (predictions - references) ** 2
        return {self.key: weighted_mean(counts, errors)}

    def signature(self, labels: Sequence[str] = (), answer: Answer = "labels") -> str:
        return f"scikit-learn:{version('scikit-learn')}"
