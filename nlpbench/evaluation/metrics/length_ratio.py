"""Length ratio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nlpbench.evaluation.corpus_score import CorpusScore
from nlpbench.evaluation.metrics import Answer
from nlpbench.evaluation.text_checks import reference_count

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]


class LengthRatio(CorpusScore):
    """How long the predictions are for their references: 1 is as long, below 1 is shorter.

    Total length of the predictions over that of the references, of each text's references the one
    nearest in length and the shorter of two as near, as BLEU's brevity penalty takes it (Papineni
    et al. 2002). `length_ratio` counts words, which white space parts, `length_ratio_characters`
    counts characters without the white space and suits scripts without spaces. Neither more nor
    less is better: look at it beside a score.

    ```yaml
    metrics: [length-ratio]
    ```
    """

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key, f"{self.key}_characters")

    def statistics(
        self, predictions: Sequence[str], references: Sequence[Sequence[str]]
    ) -> NDArray[np.float64]:
        import numpy as np

        found = np.empty((len(predictions), 4))
        for row, prediction, texts in zip(found, predictions, references, strict=True):
            words, characters = _lengths(prediction)
            against = [_lengths(text) for text in texts]
            row[:] = (
                words,
                _nearest(words, [length for length, _ in against]),
                characters,
                _nearest(characters, [length for _, length in against]),
            )
        return found

    def scores(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        import numpy as np

        lengths, against = sums[:, 0::2], sums[:, 1::2]
        return np.divide(lengths, against, out=np.full_like(lengths, np.nan), where=against > 0)

    def signature(self, labels: Sequence[str] = (), answer: Answer = "labels") -> str:
        return "words:white-space|characters:no-space|reference:nearest"

    def signature_for(
        self, references: Array, labels: Sequence[str] = (), answer: Answer = "labels"
    ) -> str:
        return f"nrefs:{reference_count(references)}|{self.signature(labels, answer)}"


def _lengths(text: str) -> tuple[int, int]:
    """The length in words and in characters that are no white space."""
    words = text.split()
    return len(words), sum(map(len, words))


def _nearest(length: int, against: Sequence[int]) -> int:
    return min(against, key=lambda other: (abs(other - length), other))
