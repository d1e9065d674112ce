"""Pearson's correlation coefficient."""

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


class Pearson(Metric):
    """Pearson's r: how well a straight line relates predictions to references, from -1 to 1.

    The covariance over the product of the standard deviations (Pearson 1895, "Notes on regression
    and inheritance in the case of two parents"); undefined where one side is constant. Arithmetic:
    `scipy.stats.pearsonr`.

    ```yaml
    metrics: [pearson]
    ```
    """

    answers: ClassVar[tuple[Answer, ...]] = ("values",)

    def compute(
        self, predictions: Array, references: Array, labels: Sequence[str] = ()
    ) -> dict[str, float]:
        import numpy as np
        from scipy.stats import pearsonr

        from nlpbench.evaluation.undefined import is_defined, quiet

        if not is_defined(predictions, references, at_least=2):
            return {self.key: math.nan}
        predictions, references = predictions.astype(np.float64), references.astype(np.float64)
        with quiet():
            return {self.key: float(pearsonr(predictions, references).statistic)}

    def resample(
        self,
        predictions: Array,
        references: Array,
        counts: NDArray[np.int64],
        labels: Sequence[str] = (),
    ) -> dict[str, NDArray[np.float64]]:
        import numpy as np

        from nlpbench.evaluation.correlation import pearson_resamples
        from nlpbench.evaluation.undefined import finite_or_zero, nan_where_drawn

        if len(references) < 2:
            return {self.key: np.full(len(counts), np.nan)}
        scores, trusted = pearson_resamples(
            finite_or_zero(predictions), finite_or_zero(references), counts
        )
        if not trusted.all():
            by_itself = super().resample(predictions, references, counts[~trusted], labels)
            scores[~trusted] = by_itself[self.key]
        return {self.key: nan_where_drawn(scores, counts, predictions, references)}

    def signature(self, labels: Sequence[str] = (), answer: Answer = "labels") -> str:
        return f"scipy:{version('scipy')}"
