"""Other case."""

from __future__ import annotations

import re
from random import Random
from typing import Literal

from pydantic import Field

from nlpbench.evaluation.graphemes import graphemes, is_letter
from nlpbench.evaluation.perturbations import Perturbation


class Case(Perturbation):
    """Words in lower, upper, title or random case.

    The rate is the share of words, which are what stands between white space. Of a word in random
    case every letter is drawn by itself.

    ```yaml
    perturbations:
      - case
      - {name: case, to: upper, rate: 0.3}
    ```
    """

    rate: float = Field(1.0, gt=0, le=1, description="share of words that are altered")
    to: Literal["lower", "upper", "title", "random"] = Field("lower", description="the new case")

    def alter(self, text: str, random: Random) -> str:
        parts = re.split(r"(\s+)", text)
        for place in range(0, len(parts), 2):
            if parts[place] and random.random() < self.rate:
                parts[place] = self._word(parts[place], random)
        return "".join(parts)

    def _word(self, word: str, random: Random) -> str:
        if self.to == "lower":
            return word.lower()
        if self.to == "upper":
            return word.upper()
        clusters = graphemes(word)
        if self.to == "random":
            return "".join(
                cluster.upper() if random.random() < 0.5 else cluster.lower()
                for cluster in clusters
            )
        first = next((n for n, cluster in enumerate(clusters) if is_letter(cluster)), 0)
        rest = "".join(clusters[first + 1 :]).lower()
        return "".join(clusters[:first]) + clusters[first].title() + rest
