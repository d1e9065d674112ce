"""Brier score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from nlpbench.evaluation.metrics import Answer, Metric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]


class Brier(Metric):
    """The mean squared distance of the probabilities from the truth.

    With two labels the square of the positive one's error, from 0 to 1; with more the sum of the
    squares over all labels, from 0 to 2 (Brier 1950, "Verification of forecasts expressed in terms
    of probability"). Arithmetic and scaling: scikit-learn's user guide, section "Brier score loss",
    `scale_by_half="auto"`.

    ```yaml
    metrics: [brier]
    ```
    """

    answers: ClassVar[tuple[Answer, ...]] = ("labels",)
    reads: ClassVar[Literal["answers", "probabilities"]] = "probabilities"
    higher_is_better: ClassVar[bool] = False

    def compute(
        self, predictions: Array, references: Array, labels: Sequence[str] = ()
    ) -> dict[str, float]:
        import numpy as np
        from sklearn.metrics import brier_score_loss

        from nlpbench.evaluation.undefined import is_defined, quiet

        classes = predictions.shape[1]
        if classes < 2 or not is_defined(predictions):
            return {self.key: math.nan}
        probabilities = np.clip(predictions.astype(np.float64), 0.0, 1.0)
        with quiet():
            score = brier_score_loss(references, probabilities, labels=np.arange(classes))
        return {self.key: float(score)}

    def resample(
        self,
        predictions: Array,
        references: Array,
        counts: NDArray[np.int64],
        labels: Sequence[str] = (),
    ) -> dict[str, NDArray[np.float64]]:
        import numpy as np

        from nlpbench.evaluation.resampling import weighted_mean

        classes = predictions.shape[1]
        if classes < 2:
            return {self.key: np.full(len(counts), np.nan)}
        truth = references[:, None] == np.arange(classes)
        finite = np.isfinite(predictions)
        probabilities = np.where(finite, np.clip(predictions.astype(np.float64), 0, 1), np.nan)
        squares = ((probabilities - truth) ** 2).sum(axis=1)
        return {self.key: weighted_mean(counts, squares / 2 if classes == 2 else squares)}

    def signature(self, labels: Sequence[str] = (), answer: Answer = "labels") -> str:
        scale = "0-1" if len(labels) == 2 else "0-2"
        return f"range:{scale}|scale_by_half:auto|scikit-learn:{version('scikit-learn')}"
