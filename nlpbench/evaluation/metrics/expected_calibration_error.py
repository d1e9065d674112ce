"""Expected calibration error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from nlpbench.evaluation.metrics import Answer, Metric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]


class ExpectedCalibrationError(Metric):
    """How far the confidence in the top label is from the share of examples where it is right.

    The sum over equal-width bins of confidence, (m-1)/M < c <= m/M, of |B_m| / n times
    |accuracy(B_m) - mean confidence(B_m)|: Guo et al. 2017, "On Calibration of Modern Neural
    Networks", equation 3, with their 15 bins unless told otherwise.

    ```yaml
    metrics:
      - expected-calibration-error
      - {name: expected-calibration-error, bins: 10}
    ```
    """

    answers: ClassVar[tuple[Answer, ...]] = ("labels",)
    reads: ClassVar[Literal["answers", "probabilities"]] = "probabilities"
    higher_is_better: ClassVar[bool] = False

    bins: int = Field(15, ge=1, le=1000, description="number of equal-width bins of confidence")

    def compute(
        self, predictions: Array, references: Array, labels: Sequence[str] = ()
    ) -> dict[str, float]:
        import numpy as np

        from nlpbench.evaluation.undefined import is_defined

        if not is_defined(predictions):
            return {self.key: math.nan}
        surplus, bin_of = self._surplus(predictions, references)
        per_bin = np.bincount(bin_of, weights=surplus, minlength=self.bins)
        return {self.key: float(np.abs(per_bin).sum() / len(references))}

    def resample(
        self,
        predictions: Array,
        references: Array,
        counts: NDArray[np.int64],
        labels: Sequence[str] = (),
    ) -> dict[str, NDArray[np.float64]]:
        import numpy as np

        from nlpbench.evaluation.resampling import sizes, weighted_sums
        from nlpbench.evaluation.undefined import finite_or_zero, nan_where_drawn, quotient

        if not len(references):
            return {self.key: np.full(len(counts), np.nan)}
        surplus, bin_of = self._surplus(finite_or_zero(predictions), references)
        per_example = surplus[:, None] * (bin_of[:, None] == np.arange(self.bins))  # (n, bins)
        gaps = np.abs(weighted_sums(counts, per_example)).sum(axis=1)
        scores = quotient(gaps, sizes(counts))
        return {self.key: nan_where_drawn(scores, counts, predictions)}

    def signature(self, labels: Sequence[str] = (), answer: Answer = "labels") -> str:
        return f"bins:{self.bins}|widths:equal|confidence:top-label|norm:l1"

    def _surplus(
        self, probabilities: Array, references: Array
    ) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Confidence less correctness of each example, and the bin of its confidence."""
        import numpy as np

        from nlpbench.evaluation.reliability import bin_numbers

        confidence = probabilities.max(axis=1).astype(np.float64)
        right = probabilities.argmax(axis=1) == references
        return confidence - right, bin_numbers(confidence, self.bins)
