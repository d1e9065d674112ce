"""Matthews correlation coefficient."""

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


class Mcc(Metric):
    """The correlation of predicted with true classes: 1 is perfect, 0 is chance.

    Matthews 1975, "Comparison of the predicted and observed secondary structure of T4 phage
    lysozyme". With K classes it is Gorodkin's R_K (2004, "Comparing two K-category assignments by a
    K-category correlation coefficient"); GLUE reports CoLA with it. As in scikit-learn (user guide,
    section "Matthews correlation coefficient") it is 0 where all predictions, or all references,
    are of one class.

    ```yaml
    metrics: [mcc]
    ```
    """

    answers: ClassVar[tuple[Answer, ...]] = ("labels",)

    def compute(
        self, predictions: Array, references: Array, labels: Sequence[str] = ()
    ) -> dict[str, float]:
        from sklearn.metrics import matthews_corrcoef

        from nlpbench.evaluation.undefined import quiet

        if not len(references):
            return {self.key: math.nan}
        with quiet():
            return {self.key: float(matthews_corrcoef(references, predictions))}

    def resample(
        self,
        predictions: Array,
        references: Array,
        counts: NDArray[np.int64],
        labels: Sequence[str] = (),
    ) -> dict[str, NDArray[np.float64]]:
        import numpy as np

        from nlpbench.evaluation.confusion import class_count, class_sums
        from nlpbench.evaluation.resampling import sizes
        from nlpbench.evaluation.undefined import nan_where_nothing_drawn

        if not len(references):
            return {self.key: np.full(len(counts), np.nan)}
        sums = class_sums(
            predictions, references, counts, class_count(predictions, references, len(labels))
        )
        n = sizes(counts)
        covariance = n * sums.hits.sum(axis=1) - (sums.predicted * sums.actual).sum(axis=1)
        spread = (n**2 - (sums.predicted**2).sum(axis=1)) * (n**2 - (sums.actual**2).sum(axis=1))
        scores = np.divide(covariance, np.sqrt(spread), out=np.zeros(len(counts)), where=spread > 0)
        return {self.key: nan_where_nothing_drawn(scores, counts)}

    def signature(self, labels: Sequence[str] = (), answer: Answer = "labels") -> str:
        return f"one-class:0|scikit-learn:{version('scikit-learn')}"
