"""Mean reciprocal rank."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from nlpbench.evaluation.retrieval import RetrievalMetric


class Mrr(RetrievalMetric):
    """One over the rank of the first relevant document, 0 if the first k hold none (MRR@k).

    Voorhees 1999, "The TREC-8 Question Answering Track Report"; trec_eval's `recip_rank`. The mean
    is over the queries with a relevant document.

    ```yaml
    metrics:
      - mrr
      - {name: mrr, k: null}
    ```
    """

    k: int | None = Field(10, ge=1, description="how many documents count; null is all")

    def cutoffs(self) -> list[int | None]:
        return [self.k]

    def at(self, k: int | None, grades: Sequence[int], ideal: Sequence[int]) -> float:
        return next((1 / rank for rank, grade in enumerate(grades[:k], start=1) if grade), 0.0)
