"""The arithmetic of SQuAD: how answers are normalised and compared (Rajpurkar et al. 2016, 2018)."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show
from nlpbench.evaluation.metrics import Answer
from nlpbench.evaluation.per_example import PerExampleMetric
from nlpbench.tasks.spans.answer_text import normalise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


class SquadMetric(PerExampleMetric):
    """The best score over the right answers of a question; a mean over questions.

    A question without a right answer is answered rightly by the empty text. So is one whose
    answers hold nothing but articles and punctuation: by the rules of version 2.0 such answers do
    not count, and that is where those of version 1.1 differ.
    """

    answers: ClassVar[tuple[Answer, ...]] = ("spans", "texts")

    answerability: bool = Field(
        False, description="score questions with and without an answer apart too: [HasAns], [NoAns]"
    )

    @staticmethod
    @abstractmethod
    def score(prediction: str, answer: str) -> float:
        """The agreement of two normalised answers, 0..1."""

    def score_keys(self) -> list[str]:
        if not self.answerability:
            return [self.key]
        return [self.key, f"{self.key}[HasAns]", f"{self.key}[NoAns]"]

    def per_example(self, prediction: Any, reference: Any) -> Sequence[float]:
        right = [answer for answer in map(normalise, reference) if answer] or [""]
        guess = normalise(prediction)
        best = max(self.score(guess, answer) for answer in right)
        if not self.answerability:
            return [best]
        return [best, best, math.nan] if reference else [best, math.nan, best]

    def check(self, predictions: Array, references: Array) -> list[str]:
        if len(predictions) != len(references):
            raise UserError(
                f"{self.name}: {len(predictions)} predictions for {len(references)} questions; "
                "give one prediction for every question"
            )
        for row, (guess, right) in enumerate(zip(predictions, references, strict=True), start=1):
            if not isinstance(guess, str):
                raise UserError(
                    f"{self.name}: row {row}: the prediction must be a text, empty where there is "
                    f"no answer (got {show(guess)})"
                )
            if not isinstance(right, list) or not all(isinstance(text, str) for text in right):
                raise UserError(
                    f"{self.name}: row {row}: the right answers must be a list of texts, empty "
                    f"where there is none (got {show(right)})"
                )
        return []

    def signature(self, labels: Sequence[str] = (), answer: Answer = "labels") -> str:
        return "normalisation:squad-v2|answers:best|scale:0-1"
