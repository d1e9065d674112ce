"""What MSE and MAE share: a mean over examples of how far the prediction is off."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, ClassVar

from nlpbench.evaluation.metrics import Answer, Metric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]


class MeanErrorMetric(Metric):
    """The mean of an error per example, in the unit of the values or its square."""

    answers: ClassVar[tuple[Answer, ...]] = ("values",)
    higher_is_better: ClassVar[bool] = False

    @staticmethod
    @abstractmethod
    def score(references: Array, predictions: Array) -> float:
        """scikit-learn's function."""

    @staticmethod
    @abstractmethod
    def errors(differences: Array) -> Array:
        """The error of each example, (n,), from prediction minus reference."""

    def compute(
        self, predictions: Array, references: Array, labels: Sequence[str] = ()
    ) -> dict[str, float]:
        import numpy as np

        from nlpbench.evaluation.undefined import is_defined, quiet

        if not is_defined(predictions, references):
            return {self.key: math.nan}
        predictions, references = predictions.astype(np.float64), references.astype(np.float64)
        with quiet():
            return {self.key: float(self.score(references, predictions))}

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

        with quiet():
            errors = self.errors(predictions.astype(np.float64) - references.astype(np.float64))
        return {self.key: weighted_mean(counts, errors)}

    def signature(self, labels: Sequence[str] = (), answer: Answer = "labels") -> str:
        return f"scikit-learn:{version('scikit-learn')}"
