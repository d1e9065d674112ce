"""What the metrics over rankings share: grades in rank order, queries that count, guards."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from nlpbench.config.errors import UserError
from nlpbench.evaluation.metrics import Answer
from nlpbench.evaluation.per_example import PerExampleMetric

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


class RetrievalMetric(PerExampleMetric):
    """A mean over the queries that have a relevant document, one graded above 0.

    The arithmetic is trec_eval's, with two choices of our own: the order of a ranking is taken as
    it is given, and a query without a relevant document is left out, where trec_eval counts 0.
    A query whose ranking is empty counts as 0, as with trec_eval's option `-c`.
    """

    answers: ClassVar[tuple[Answer, ...]] = ("rankings",)

    @abstractmethod
    def cutoffs(self) -> list[int | None]:
        """The k of each key; None is the whole ranking."""

    @abstractmethod
    def at(self, k: int | None, grades: Sequence[int], ideal: Sequence[int]) -> float:
        """The score of the first k documents.

        Args:
            grades: of the ranked documents, best rank first; 0 where not relevant or not judged.
            ideal: of all relevant documents, highest first; never empty.
        """

    @property
    def measure(self) -> str:
        """The name that stands before `_at_K`."""
        return self.key

    def score_keys(self) -> list[str]:
        return [self.measure if k is None else f"{self.measure}_at_{k}" for k in self.cutoffs()]

    def per_example(self, prediction: Any, reference: Any) -> Sequence[float]:
        cutoffs = self.cutoffs()
        ideal = sorted((grade for grade in reference.values() if grade > 0), reverse=True)
        if not ideal:
            return [math.nan] * len(cutoffs)
        grades = [max(0, reference.get(document, 0)) for document in prediction]
        return [self.at(k, grades, ideal) for k in cutoffs]

    def check(self, predictions: Array, references: Array) -> list[str]:
        if len(predictions) != len(references):
            raise UserError(
                f"{self.name}: {len(predictions)} rankings for {len(references)} queries; "
                "give one ranking for every query"
            )
        for row, ranking in enumerate(predictions, start=1):
            self._check_distinct(row, ranking)
        warnings = [*self._too_deep(predictions)]
        relevant = [_relevant(grades) for grades in references]
        without = sum(not documents for documents in relevant)
        if without:
            warnings.append(
                f"{without} of {len(references)} queries have no relevant document and are left out"
            )
        pairs = list(zip(predictions, relevant, strict=True))
        if any(relevant) and not any(wanted.intersection(ranking) for ranking, wanted in pairs):
            warnings.append(
                "no ranking holds a relevant document: see whether documents and judgements name "
                "them by the same ids"
            )
        return warnings

    def signature(self, labels: Sequence[str] = (), answer: Answer = "labels") -> str:
        depths = ",".join("all" if k is None else str(k) for k in self.cutoffs())
        return f"k:{depths}|relevant:grade>0|unjudged:not-relevant|without_relevant:left-out"

    def _check_distinct(self, row: int, ranking: Sequence[str]) -> None:
        if len(set(ranking)) == len(ranking):
            return
        twice = next(document for document in ranking if ranking.count(document) > 1)
        raise UserError(
            f"{self.name}: row {row}: the ranking holds the document {twice!r} twice; "
            "keep its best place"
        )

    def _too_deep(self, rankings: Array) -> list[str]:
        longest = max(map(len, rankings), default=0)
        return [
            f"the longest ranking holds {longest} documents, so {key} sees no more"
            for key, k in zip(self.score_keys(), self.cutoffs(), strict=True)
            if k is not None and k > longest
        ]


def _relevant(grades: Mapping[str, int]) -> set[str]:
    return {document for document, grade in grades.items() if grade > 0}
