"""Marks too few or too many."""

from __future__ import annotations

import re
from random import Random
from typing import Literal

from pydantic import Field

from nlpbench.evaluation.graphemes import graphemes, is_mark
from nlpbench.evaluation.perturbations import Perturbation

MARKS = ",.;:!?"


class Punctuation(Perturbation):
    """Punctuation removed, or added after words.

    The rate is the share of marks that are removed, or of words that one is added to. Marks are
    the characters of Unicode's category P; one between two digits stays.

    ```yaml
    perturbations:
      - punctuation
      - {name: punctuation, change: add, rate: 0.1}
    ```
    """

    rate: float = Field(1.0, gt=0, le=1, description="share of marks removed, or of words")
    change: Literal["remove", "add"] = Field("remove", description="what is done")

    def alter(self, text: str, random: Random) -> str:
        if self.change == "add":
            return re.sub(r"\S+", lambda word: word[0] + self._added(random), text)
        clusters = ["", *graphemes(text), ""]
        return "".join(
            cluster
            for before, cluster, after in zip(clusters, clusters[1:], clusters[2:], strict=False)
            if not (
                is_mark(cluster)
                and random.random() < self.rate
                and not (before.isdigit() and after.isdigit())
            )
        )

    def _added(self, random: Random) -> str:
        draws = random.random(), random.random()
        return MARKS[int(draws[1] * len(MARKS))] if draws[0] < self.rate else ""
