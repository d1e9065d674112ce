"""What ROC AUC and average precision share: each class against the rest, then the mean."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from nlpbench.evaluation.metrics import Answer, Metric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]


class OneVsRestMetric(Metric):
    """A score of probabilities against yes or no, averaged over classes with equal weight.

    Two labels of which each example has one are one question, that of the positive label. More
    labels, and label sets, are one question per label; those that the references leave undefined
    are left out of the mean, and with none left the score is NaN.
    """

    answers: ClassVar[tuple[Answer, ...]] = ("labels", "label-sets")
    reads: ClassVar[Literal["answers", "probabilities"]] = "probabilities"

    @staticmethod
    @abstractmethod
    def score(truth: Array, scores: Array) -> float:
        """The score of one question, truth (n,) bool and scores (n,); NaN where it is undefined."""

    @staticmethod
    @abstractmethod
    def score_resamples(
        scores: Array, truth: Array, counts: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """The same of each resample: (B,)."""

    def positive(self, labels: Sequence[str], binary: bool) -> int:
        """The class that is asked for where each example has one of two."""
        del labels, binary
        return 1

    def compute(
        self, predictions: Array, references: Array, labels: Sequence[str] = ()
    ) -> dict[str, float]:
        from nlpbench.evaluation.undefined import is_defined, quiet

        scores, truth = self._questions(predictions, references, labels)
        if not is_defined(scores):
            return {self.key: math.nan}
        with quiet():
            values = [
                self.score(truth[:, column], scores[:, column]) for column in range(scores.shape[1])
            ]
        defined = [value for value in values if not math.isnan(value)]
        return {self.key: math.fsum(defined) / len(defined) if defined else math.nan}

    def resample(
        self,
        predictions: Array,
        references: Array,
        counts: NDArray[np.int64],
        labels: Sequence[str] = (),
    ) -> dict[str, NDArray[np.float64]]:
        import numpy as np

        from nlpbench.evaluation.undefined import finite_or_zero, nan_where_drawn

        scores, truth = self._questions(predictions, references, labels)
        total, defined = np.zeros(len(counts)), np.zeros(len(counts))
        for column, values in enumerate(finite_or_zero(scores).T):
            part = self.score_resamples(values, truth[:, column], counts)
            total += np.nan_to_num(part)
            defined += ~np.isnan(part)
        means = np.divide(total, defined, out=np.full(len(counts), np.nan), where=defined > 0)
        return {self.key: nan_where_drawn(means, counts, scores)}

    def _questions(
        self, predictions: Array, references: Array, labels: Sequence[str]
    ) -> tuple[Array, Array]:
        """Scores (n, Q) in double precision and truth (n, Q), bool."""
        import numpy as np

        scores = np.asarray(predictions, dtype=np.float64)
        binary = references.ndim == 1 and scores.shape[1] == 2
        positive = self.positive(labels, binary)
        if references.ndim == 2:
            return scores, references.astype(bool)
        classes = [positive] if binary else list(range(scores.shape[1]))
        return scores[:, classes], references[:, None] == np.array(classes)
