"""Distinct-n."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from nlpbench.evaluation.metrics import Answer, Resampler
from nlpbench.evaluation.statistics_metric import StatisticsMetric
from nlpbench.evaluation.text_checks import check_spaceless, check_texts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]


class Distinct(StatisticsMetric):
    """How varied the predictions are: different n-grams of all of them per token or n-gram.

    Li et al. 2016, "A Diversity-Promoting Objective Function for Neural Conversation Models": the
    number of different n-grams over the number of tokens generated, as the paper divides, or over
    the number of n-grams, as many later papers do (`per: n-grams`); of the whole corpus, so that
    it falls as the corpus grows: compare it on the same examples only. The references are not
    looked at. A resample repeats texts and so has fewer different n-grams than as many new texts
    would have: the score has no interval. The keys are `distinct1`, `distinct2` and so on.

    ```yaml
    metrics:
      - distinct
      - {name: distinct, n: 1}
      - {name: distinct, n: 3, tokens: characters, per: n-grams}
    ```
    """

    answers: ClassVar[tuple[Answer, ...]] = ("texts",)
    has_interval: ClassVar[bool] = False

    n: int = Field(2, ge=1, le=20, description="length of the n-grams, in tokens")
    tokens: Literal["words", "characters"] = Field(
        "words", description="what is a token: what white space parts, or a character of those"
    )
    per: Literal["tokens", "n-grams"] = Field(
        "tokens", description="what the number of different n-grams is divided by"
    )

    def check(self, predictions: Array, references: Array) -> list[str]:
        warnings = check_texts(predictions, references)
        if self.tokens == "characters":
            return warnings
        return warnings + check_spaceless(
            predictions, "and distinct counts words", "set tokens: characters"
        )

    def gives(self, key: str) -> bool:
        return key.startswith("distinct")

    def compute(
        self, predictions: Array, references: Array, labels: Sequence[str] = ()
    ) -> dict[str, float]:
        key = f"{self.key}{self.n}"
        different: set[tuple[str, ...]] = set()
        total = 0
        for text in predictions:
            grams, size = self._count(text)
            different |= grams
            total += size
        return {key: len(different) / total if total else math.nan}

    def resampler(
        self, predictions: Array, references: Array, labels: Sequence[str] = ()
    ) -> Resampler:
        import numpy as np

        from nlpbench.evaluation.distinct_resamples import Held
        from nlpbench.evaluation.resampling import weighted_sums
        from nlpbench.evaluation.undefined import quotient

        counted = [self._count(text) for text in predictions]
        held = Held.by([grams for grams, _ in counted])
        sizes = np.array([size for _, size in counted], dtype=np.float64)

        def resample(counts: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
            scores = quotient(held.different(counts), weighted_sums(counts, sizes))
            return {f"{self.key}{self.n}": scores}

        return resample

    def signature(self, labels: Sequence[str] = (), answer: Answer = "labels") -> str:
        return f"n:{self.n}|tokens:{self.tokens}|per:{self.per}|level:corpus"

    def _count(self, text: str) -> tuple[set[tuple[str, ...]], int]:
        """The different n-grams of a text, and its number of tokens or of n-grams."""
        words = text.split()
        tokens = words if self.tokens == "words" else list("".join(words))
        grams = list(zip(*(tokens[start:] for start in range(self.n)), strict=False))
        return set(grams), len(tokens if self.per == "tokens" else grams)
