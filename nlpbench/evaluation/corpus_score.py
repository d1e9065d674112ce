"""Scores of a whole corpus of texts that follow from sums over its texts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from nlpbench.evaluation.metrics import Answer, Resampler
from nlpbench.evaluation.statistics_metric import StatisticsMetric
from nlpbench.evaluation.text_checks import check_texts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]


class CorpusScore(StatisticsMetric):
    """A score of C numbers that are counted in each text and summed over the corpus.

    A resample's score follows from the sums of the counts of its texts, so each text is looked at
    once, however many resamples there are.
    """

    answers: ClassVar[tuple[Answer, ...]] = ("texts",)

    @property
    @abstractmethod
    def keys(self) -> tuple[str, ...]:
        """The keys of the scores, the headline first."""

    @abstractmethod
    def statistics(
        self, predictions: Sequence[str], references: Sequence[Sequence[str]]
    ) -> NDArray[np.float64]:
        """The counts of each of n texts, (n, C); n is one at least."""

    @abstractmethod
    def scores(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """The scores of B corpora from their summed counts (B, C), a column a key; NaN for none."""

    def check(self, predictions: Array, references: Array) -> list[str]:
        return check_texts(predictions, references)

    def gives(self, key: str) -> bool:
        return key in (self.key, *self.keys)

    def compute(
        self, predictions: Array, references: Array, labels: Sequence[str] = ()
    ) -> dict[str, float]:
        import numpy as np

        if not len(references):
            return dict.fromkeys(self.keys, float("nan"))
        # One after the other, as sacrebleu sums: another order may round another way.
        sums = np.cumsum(statistics_of(self, predictions, references), axis=0)[-1:]
        return dict(zip(self.keys, self.scores(sums)[0].tolist(), strict=True))

    def resampler(
        self, predictions: Array, references: Array, labels: Sequence[str] = ()
    ) -> Resampler:
        import numpy as np

        from nlpbench.evaluation.resampling import weighted_sums

        found = statistics_of(self, predictions, references) if len(references) else None

        def resample(counts: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
            scores = np.full((len(counts), len(self.keys)), np.nan)
            drawn = counts.any(axis=1)
            if found is not None and drawn.any():
                scores[drawn] = self.scores(weighted_sums(counts, found)[drawn])
            return dict(zip(self.keys, scores.T, strict=True))

        return resample


def statistics_of(
    metric: CorpusScore, predictions: Array, references: Array
) -> NDArray[np.float64]:
    """The metric's counts of each text, (n, C), read-only; kept for the next resamples."""
    return _statistics(metric, tuple(predictions), tuple(map(tuple, references)))


@lru_cache(maxsize=8)
def _statistics(
    metric: CorpusScore, predictions: tuple[str, ...], references: tuple[tuple[str, ...], ...]
) -> NDArray[np.float64]:
    found = metric.statistics(predictions, references)
    found.flags.writeable = False
    return found
