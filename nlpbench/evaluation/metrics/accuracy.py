"""Accuracy."""

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


class Accuracy(Metric):
    """The share of examples that are answered right.

    With label sets an example is right if its whole set is (subset accuracy). Arithmetic:
    scikit-learn's user guide, section "Accuracy score".

    ```yaml
    metrics: [accuracy]
    ```
    """

    answers: ClassVar[tuple[Answer, ...]] = ("labels", "label-sets")

    def compute(
        self, predictions: Array, references: Array, labels: Sequence[str] = ()
    ) -> dict[str, float]:
        import numpy as np
        from sklearn.metrics import accuracy_score

        from nlpbench.evaluation.undefined import quiet

        if not len(references):
            return {self.key: math.nan}
        if references.ndim == 2 and references.shape[1] == 1:  # to sklearn, one column is no set
            predictions, references = np.ravel(predictions), np.ravel(references)
        with quiet():
            return {self.key: float(accuracy_score(references, predictions))}

    def resample(
        self,
        predictions: Array,
        references: Array,
        counts: NDArray[np.int64],
        labels: Sequence[str] = (),
    ) -> dict[str, NDArray[np.float64]]:
        from nlpbench.evaluation.resampling import weighted_mean

        right = predictions == references
        if right.ndim == 2:
            right = right.all(axis=1)
        return {self.key: weighted_mean(counts, right)}

    def signature(self, labels: Sequence[str] = (), answer: Answer = "labels") -> str:
        match = "match:whole-set|" if answer == "label-sets" else ""
        return f"{match}scikit-learn:{version('scikit-learn')}"
