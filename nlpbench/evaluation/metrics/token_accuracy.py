"""Token accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from nlpbench.evaluation.metrics import Answer, Resampler
from nlpbench.evaluation.statistics_metric import StatisticsMetric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]


class TokenAccuracy(StatisticsMetric):
    """The share of words that bear the right tag.

    Over the words of all sentences together, those outside of entities included: where most words
    are, it says little of the entities, and entity-f1 says more. It is seqeval's accuracy. Scores
    are in 0..1, and undefined without a word.

    ```yaml
    metrics: [token-accuracy]
    ```
    """

    answers: ClassVar[tuple[Answer, ...]] = ("tags",)

    def compute(
        self, predictions: Array, references: Array, labels: Sequence[str] = ()
    ) -> dict[str, float]:
        import numpy as np

        once = np.ones((1, len(references)), dtype=np.int64)
        return {self.key: float(self.resample(predictions, references, once)[self.key][0])}

    def resampler(
        self, predictions: Array, references: Array, labels: Sequence[str] = ()
    ) -> Resampler:
        import numpy as np

        from nlpbench.evaluation.resampling import weighted_sums
        from nlpbench.evaluation.undefined import quotient

        per_sentence = [
            (sum(map(str.__eq__, guessed, true)), len(true))
            for guessed, true in zip(predictions, references, strict=True)
        ]
        found = np.array(per_sentence, dtype=np.float64).reshape(-1, 2)

        def resample(counts: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
            sums = weighted_sums(counts, found)
            return {self.key: quotient(sums[:, 0], sums[:, 1])}

        return resample

    def check(self, predictions: Array, references: Array) -> list[str]:
        from nlpbench.evaluation.entities import check_words

        check_words(self.name, predictions, references)
        return []

    def signature(self, labels: Sequence[str] = (), answer: Answer = "labels") -> str:
        return "unit:word|outside:counted"
