"""Recall at k."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, field_validator

from nlpbench.config.problems import Invalid, Problem, show
from nlpbench.evaluation.retrieval import RetrievalMetric


class RecallAtK(RetrievalMetric):
    """The share of a query's relevant documents that the first k hold.

    Trec_eval's `recall`. A score for each k: `recall_at_10`. The mean is over the queries with a
    relevant document.

    ```yaml
    metrics:
      - recall-at-k
      - {name: recall-at-k, k: [1, 10, 100]}
    ```
    """

    k: list[Annotated[int, Field(ge=1)]] = Field(
        [10], min_length=1, description="how many documents count, one score for each number"
    )

    @field_validator("k")
    @classmethod
    def each_once(cls, k: list[int]) -> list[int]:
        if len(set(k)) < len(k):
            raise Invalid(Problem((), f"names a number twice (got {show(k)})"))
        return k

    @property
    def key(self) -> str:
        return "recall_at"

    @property
    def measure(self) -> str:
        return "recall"

    def cutoffs(self) -> list[int | None]:
        return [*self.k]

    def at(self, k: int | None, grades: Sequence[int], ideal: Sequence[int]) -> float:
        return sum(grade > 0 for grade in grades[:k]) / len(ideal)
