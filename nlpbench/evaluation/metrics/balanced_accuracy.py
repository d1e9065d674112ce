"""Balanced accuracy."""

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


class BalancedAccuracy(Metric):
    """The mean over classes of the share of each class's examples that are answered right.

    Every class that the references hold has the same weight, however rare it is (Brodersen et al.
    2010, "The balanced accuracy and its posterior distribution"). Arithmetic: scikit-learn's user
    guide, section "Balanced accuracy score".

    ```yaml
    metrics: [balanced-accuracy]
    ```
    """

    answers: ClassVar[tuple[Answer, ...]] = ("labels",)

    def compute(
        self, predictions: Array, references: Array, labels: Sequence[str] = ()
    ) -> dict[str, float]:
        from sklearn.metrics import balanced_accuracy_score

        from nlpbench.evaluation.undefined import quiet

        if not len(references):
            return {self.key: math.nan}
        with quiet():
            return {self.key: float(balanced_accuracy_score(references, predictions))}

    def resample(
        self,
        predictions: Array,
        references: Array,
        counts: NDArray[np.int64],
        labels: Sequence[str] = (),
    ) -> dict[str, NDArray[np.float64]]:
        import numpy as np

        from nlpbench.evaluation.confusion import class_count, class_sums
        from nlpbench.evaluation.undefined import quotient

        if not len(references):
            return {self.key: np.full(len(counts), np.nan)}
        sums = class_sums(
            predictions, references, counts, class_count(predictions, references, len(labels))
        )
        recalls = sums.hits / np.maximum(sums.actual, 1)
        return {self.key: quotient(recalls.sum(axis=1), (sums.actual > 0).sum(axis=1))}

    def signature(self, labels: Sequence[str] = (), answer: Answer = "labels") -> str:
        return f"classes:in-references|adjusted:no|scikit-learn:{version('scikit-learn')}"
