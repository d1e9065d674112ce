"""What word and character error rate share: edits per unit of the references."""

from __future__ import annotations

import unicodedata
from abc import abstractmethod
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from nlpbench.evaluation.corpus_score import CorpusScore
from nlpbench.evaluation.metrics import Answer
from nlpbench.evaluation.text_checks import reference_count

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]


class EditRate(CorpusScore):
    """Substitutions, deletions and insertions over the length of the references, of the corpus.

    0 at best, 1 where as many edits are needed as the references have units; more is possible. Of
    several references a text counts against the one with the lowest rate, the longest of those
    that tie. White space is collapsed first.
    """

    higher_is_better: ClassVar[bool] = False

    lowercase: bool = Field(False, description="ignore case")
    remove_punctuation: bool = Field(
        False, description="remove the characters of Unicode's punctuation categories"
    )

    @staticmethod
    @abstractmethod
    def units(text: str) -> Sequence[str]:
        """What is counted: the words or the characters of a text without doubled spaces."""

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key,)

    def statistics(
        self, predictions: Sequence[str], references: Sequence[Sequence[str]]
    ) -> NDArray[np.float64]:
        import numpy as np
        from rapidfuzz.distance import Levenshtein

        found = np.empty((len(predictions), 2))  # edits, units of the reference
        for row, prediction, texts in zip(found, predictions, references, strict=True):
            words = self._normalised(prediction)
            against = [self._normalised(text) for text in texts]
            row[:] = min(
                ((Levenshtein.distance(words, units), len(units)) for units in against),
                key=lambda pair: (pair[0] / pair[1] if pair[1] else pair[0], -pair[1]),
            )
        return found

    def scores(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        import numpy as np

        edits, units = sums[:, :1], sums[:, 1:]
        return np.divide(edits, units, out=np.full_like(edits, np.nan), where=units > 0)

    def signature(self, labels: Sequence[str] = (), answer: Answer = "labels") -> str:
        parts = [
            f"case:{'lc' if self.lowercase else 'mixed'}",
            f"punctuation:{'removed' if self.remove_punctuation else 'kept'}",
            "space:collapsed",
            "reference:lowest-rate",
            f"rapidfuzz:{version('rapidfuzz')}",
        ]
        return "|".join(parts)

    def signature_for(
        self, references: Array, labels: Sequence[str] = (), answer: Answer = "labels"
    ) -> str:
        return f"nrefs:{reference_count(references)}|{self.signature(labels, answer)}"

    def _normalised(self, text: str) -> Sequence[str]:
        if self.lowercase:
            text = text.lower()
        if self.remove_punctuation:
            text = "".join(c for c in text if not unicodedata.category(c).startswith("P"))
        return self.units(" ".join(text.split()))
