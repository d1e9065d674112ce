"""Exact match."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from nlpbench.evaluation.metrics import Answer
from nlpbench.evaluation.per_example import PerExampleMetric
from nlpbench.evaluation.text_checks import check_texts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


class ExactMatch(PerExampleMetric):
    """The share of texts that equal one of their references.

    White space at both ends does not count. `ignore_punctuation` drops every character of
    Unicode's category P and the ASCII symbols, and counts a run of white space as one space.
    squad-exact-match has the rules of SQuAD instead. Scores are in 0..1.

    ```yaml
    metrics:
      - exact-match
      - {name: exact-match, lowercase: true}
      - {name: exact-match, lowercase: true, ignore_punctuation: true}
    ```
    """

    answers: ClassVar[tuple[Answer, ...]] = ("texts",)

    lowercase: bool = Field(False, description="compare in lower case")
    ignore_punctuation: bool = Field(False, description="compare without punctuation")

    def score_keys(self) -> list[str]:
        return [self.key]

    def per_example(self, prediction: Any, reference: Any) -> Sequence[float]:
        wanted = {self._compared(text) for text in reference}
        return [float(self._compared(prediction) in wanted)]

    def check(self, predictions: Array, references: Array) -> list[str]:
        return check_texts(predictions, references)

    def signature(self, labels: Sequence[str] = (), answer: Answer = "labels") -> str:
        case = "lower" if self.lowercase else "mixed"
        punctuation = "ignored" if self.ignore_punctuation else "kept"
        return f"strip:yes|case:{case}|punctuation:{punctuation}|references:any|scale:0-1"

    def _compared(self, text: str) -> str:
        if self.lowercase:
            text = text.lower()
        if self.ignore_punctuation:
            text = " ".join("".join(c for c in text if not _is_punctuation(c)).split())
        return text.strip()


@cache
def _is_punctuation(character: str) -> bool:
    import string
    import unicodedata

    return character in string.punctuation or unicodedata.category(character).startswith("P")
