"""Mean average precision."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from nlpbench.evaluation.retrieval import RetrievalMetric


class Map(RetrievalMetric):
    """The precision at each relevant document, summed over all of a query's relevant ones (MAP).

    A relevant document that the first k do not hold adds 0: Voorhees and Harman 2005, "TREC:
    Experiment and Evaluation in Information Retrieval"; trec_eval's `map` and `map_cut`. The mean
    is over the queries with a relevant document. Key: `map`, or `map_at_K`.

    ```yaml
    metrics:
      - map
      - {name: map, k: 10}
    ```
    """

    k: int | None = Field(None, ge=1, description="how many documents count; null is all")

    def cutoffs(self) -> list[int | None]:
        return [self.k]

    def at(self, k: int | None, grades: Sequence[int], ideal: Sequence[int]) -> float:
        found, total = 0, 0.0
        for rank, grade in enumerate(grades[:k], start=1):
            if grade:
                found += 1
                total += found / rank
        return total / len(ideal)
