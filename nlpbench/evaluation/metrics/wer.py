"""Word error rate."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from nlpbench.evaluation.edit_rate import EditRate
from nlpbench.evaluation.text_checks import check_spaceless

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


class Wer(EditRate):
    """Words substituted, deleted and inserted per word of the references.

    The Levenshtein distance in words over the references' words, summed over the corpus: 0.05 is
    5 edits in 100 words, and more than 1 is possible. Words are what white space parts. Of several
    references a text counts against the one with the lowest rate. Distances: rapidfuzz.

    ```yaml
    metrics:
      - wer
      - {name: wer, lowercase: true, remove_punctuation: true}
    ```
    """

    @staticmethod
    def units(text: str) -> Sequence[str]:
        return text.split()

    def check(self, predictions: Array, references: Array) -> list[str]:
        return super().check(predictions, references) + check_spaceless(
            chain.from_iterable(references), "and wer counts words", "take cer"
        )
