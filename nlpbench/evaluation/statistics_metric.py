"""Metrics whose scores follow from statistics of each example, which are found once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nlpbench.evaluation.metrics import Metric, Resampler

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]


class StatisticsMetric(Metric):
    """A metric that resamples by `resampler`: costly statistics first, then cheap sums of them."""

    @abstractmethod
    def resampler(
        self, predictions: Array, references: Array, labels: Sequence[str] = ()
    ) -> Resampler: ...

    def resample(
        self,
        predictions: Array,
        references: Array,
        counts: NDArray[np.int64],
        labels: Sequence[str] = (),
    ) -> dict[str, NDArray[np.float64]]:
        return self.resampler(predictions, references, labels)(counts)
