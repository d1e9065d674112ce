"""Area under the ROC curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from nlpbench.evaluation.metrics import Answer
from nlpbench.evaluation.one_vs_rest import OneVsRestMetric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]


class RocAuc(OneVsRestMetric):
    """The area under the ROC curve: how often a positive example is ranked above a negative one.

    Ties count half (Hanley and McNeil 1982, "The meaning and use of the area under a receiver
    operating characteristic curve"). With two labels it is that of the second; with more, and with
    label sets, the mean over labels against the rest (one-vs-rest, macro). A label that no
    reference or every reference holds is left out; with none left the score is undefined.
    Arithmetic: scikit-learn's user guide, section "Receiver operating characteristic (ROC)".

    ```yaml
    metrics: [roc-auc]
    ```
    """

    @staticmethod
    def score(truth: Array, scores: Array) -> float:
        from sklearn.metrics import roc_auc_score

        return float(roc_auc_score(truth, scores)) if 0 < truth.sum() < len(truth) else math.nan

    @staticmethod
    def score_resamples(
        scores: Array, truth: Array, counts: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        from nlpbench.evaluation.ranking import roc_auc_resamples

        return roc_auc_resamples(scores, truth, counts)

    def signature(self, labels: Sequence[str] = (), answer: Answer = "labels") -> str:
        average = (
            f"average:binary|positive:{labels[1]}"
            if len(labels) == 2 and answer == "labels"
            else "average:macro|multi_class:one-vs-rest"
        )
        return f"{average}|classes:both-in-references|scikit-learn:{version('scikit-learn')}"
