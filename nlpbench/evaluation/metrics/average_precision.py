"""Average precision."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from pydantic import Field

from nlpbench.evaluation.metrics import Answer
from nlpbench.evaluation.one_vs_rest import OneVsRestMetric
from nlpbench.evaluation.positive import positive_class

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]


class AveragePrecision(OneVsRestMetric):
    """Average precision: the precision at every threshold, weighted by the recall it adds.

    The sum of (R_n - R_(n-1)) P_n, without interpolation: a summary of the precision-recall curve
    that, unlike ROC AUC, tells how rare positives are found. With two labels it is that of
    `positive_label`; with more, and with label sets, the mean over labels against the rest (macro).
    A label that no reference holds is left out; with none left the score is undefined. Arithmetic:
    scikit-learn's user guide, section "Precision, recall and F-measures".

    ```yaml
    metrics:
      - average-precision
      - {name: average-precision, positive_label: spam}
    ```
    """

    positive_label: str | None = Field(
        None, description="of two labels the one to find; the second one unless told"
    )

    @staticmethod
    def score(truth: Array, scores: Array) -> float:
        from sklearn.metrics import average_precision_score

        return float(average_precision_score(truth, scores)) if truth.any() else math.nan

    @staticmethod
    def score_resamples(
        scores: Array, truth: Array, counts: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        from nlpbench.evaluation.ranking import average_precision_resamples

        return average_precision_resamples(scores, truth, counts)

    def positive(self, labels: Sequence[str], binary: bool) -> int:
        return positive_class(self.name, self.positive_label, labels, binary)

    def signature(self, labels: Sequence[str] = (), answer: Answer = "labels") -> str:
        binary = len(labels) == 2 and answer == "labels"
        positive = self.positive(labels, binary)
        average = (
            f"average:binary|positive:{labels[positive]}"
            if binary
            else "average:macro|multi_class:one-vs-rest"
        )
        return f"{average}|classes:in-references|scikit-learn:{version('scikit-learn')}"
