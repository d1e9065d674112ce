"""Scores that are plain means of a value of each example."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nlpbench.evaluation.metrics import Resampler
from nlpbench.evaluation.statistics_metric import StatisticsMetric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]


class PerExampleMetric(StatisticsMetric):
    """A mean over the examples, for each of C keys; an example whose value is NaN is left out."""

    @abstractmethod
    def score_keys(self) -> list[str]:
        """(C,) the keys, the headline first; they follow from the options alone."""

    @abstractmethod
    def per_example(self, prediction: Any, reference: Any) -> Sequence[float]:
        """(C,) the values of one example; NaN where it has none."""

    def gives(self, key: str) -> bool:
        return key in (self.key, *self.score_keys())

    def compute(
        self, predictions: Array, references: Array, labels: Sequence[str] = ()
    ) -> dict[str, float]:
        import numpy as np

        columns = zip(self.score_keys(), self._table(predictions, references).T, strict=True)
        return {key: _mean(column[~np.isnan(column)].tolist()) for key, column in columns}

    def resampler(
        self, predictions: Array, references: Array, labels: Sequence[str] = ()
    ) -> Resampler:
        import numpy as np

        from nlpbench.evaluation.resampling import weighted_sums
        from nlpbench.evaluation.undefined import quotient

        table = self._table(predictions, references)
        defined = ~np.isnan(table)
        values = np.where(defined, table, 0.0)

        def resample(counts: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
            sizes = weighted_sums(counts, defined)
            means = quotient(weighted_sums(counts, values), sizes)
            return {key: means[:, column] for column, key in enumerate(self.score_keys())}

        return resample

    def _table(self, predictions: Array, references: Array) -> NDArray[np.float64]:
        """The values of all examples, (n, C)."""
        import numpy as np

        pairs = zip(predictions, references, strict=True)
        table = np.array([self.per_example(*pair) for pair in pairs], dtype=np.float64)
        return table.reshape(len(references), len(self.score_keys()))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan
