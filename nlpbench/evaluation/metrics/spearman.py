"""Spearman's rank correlation coefficient."""

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


class Spearman(Metric):
    """Spearman's rho: how well the order of the predictions agrees with that of the references.

    Pearson's r of the ranks, equal values sharing their mean rank (Spearman 1904, "The proof and
    measurement of association between two things"); undefined where one side is constant.
    Arithmetic: `scipy.stats.spearmanr`.

    ```yaml
    metrics: [spearman]
    ```
    """

    answers: ClassVar[tuple[Answer, ...]] = ("values",)

    def compute(
        self, predictions: Array, references: Array, labels: Sequence[str] = ()
    ) -> dict[str, float]:
        from scipy.stats import spearmanr

        from nlpbench.evaluation.undefined import is_defined, quiet

        if not is_defined(predictions, references, at_least=2):
            return {self.key: math.nan}
        with quiet():
            return {self.key: float(spearmanr(predictions, references).statistic)}

    def resample(
        self,
        predictions: Array,
        references: Array,
        counts: NDArray[np.int64],
        labels: Sequence[str] = (),
    ) -> dict[str, NDArray[np.float64]]:
        import numpy as np

        from nlpbench.evaluation.correlation import spearman_resamples
        from nlpbench.evaluation.undefined import finite_or_zero, nan_where_drawn

        if len(references) < 2:
            return {self.key: np.full(len(counts), np.nan)}
        scores = spearman_resamples(finite_or_zero(predictions), finite_or_zero(references), counts)
        return {self.key: nan_where_drawn(scores, counts, predictions, references)}

    def signature(self, labels: Sequence[str] = (), answer: Answer = "labels") -> str:
        return f"ties:mean-rank|scipy:{version('scipy')}"
