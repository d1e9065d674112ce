"""Normalised discounted cumulative gain."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pydantic import Field

from nlpbench.evaluation.metrics import Answer
from nlpbench.evaluation.retrieval import RetrievalMetric


class Ndcg(RetrievalMetric):
    """How near the first k documents come to the best ranking, by grades (nDCG@k).

    The sum over ranks of grade / log2(rank + 1), divided by that of the ideal ranking: Järvelin
    and Kekäläinen 2002, "Cumulated Gain-Based Evaluation of IR Techniques", with linear gains as
    trec_eval's `ndcg_cut`. The mean is over the queries with a relevant document.

    ```yaml
    metrics:
      - ndcg
      - {name: ndcg, k: 100}
      - {name: ndcg, k: null}
    ```
    """

    k: int | None = Field(10, ge=1, description="how many documents count; null is all")

    def cutoffs(self) -> list[int | None]:
        return [self.k]

    def at(self, k: int | None, grades: Sequence[int], ideal: Sequence[int]) -> float:
        return _gain(grades[:k]) / _gain(ideal[:k])

    def signature(self, labels: Sequence[str] = (), answer: Answer = "labels") -> str:
        return f"{super().signature(labels, answer)}|gain:linear|discount:log2"


def _gain(grades: Sequence[int]) -> float:
    return math.fsum(grade / math.log2(rank + 1) for rank, grade in enumerate(grades, start=1))
