"""Slips of the fingers."""

from __future__ import annotations

from functools import cache
from random import Random
from typing import Literal

from pydantic import Field

from nlpbench.evaluation.graphemes import graphemes, is_letter
from nlpbench.evaluation.perturbations import Perturbation

Kind = Literal["neighbour", "swap", "drop", "double"]
ROWS = (("qwertyuiop", 0.0), ("asdfghjkl", 0.25), ("zxcvbnm", 0.75))  # and how far they are shifted
NEAR = 1.3  # keys


class Typos(Perturbation):
    """Letters hit beside their key, swapped, dropped and doubled.

    The rate is the share of letters at which one is drawn; which one, at random among those that
    can be: only letters of a QWERTY keyboard have neighbours, the first letter of a word is not
    dropped, and none is swapped out of its word. Belinkov and Bisk 2018, "Synthetic and Natural
    Noise Both Break Neural Machine Translation".

    ```yaml
    perturbations:
      - typos
      - {name: typos, rate: 0.1, kinds: [swap, drop]}
    ```
    """

    rate: float = Field(0.05, gt=0, le=1, description="share of letters at which a typo is made")
    kinds: list[Kind] = Field(
        ["neighbour", "swap", "drop", "double"], min_length=1, description="of typos"
    )

    def alter(self, text: str, random: Random) -> str:
        clusters = graphemes(text)
        found: list[str] = []
        place = 0
        while place < len(clusters):
            cluster = clusters[place]
            after = clusters[place + 1] if place + 1 < len(clusters) else ""
            place += 1
            draws = random.random(), random.random(), random.random()
            if not is_letter(cluster) or draws[0] >= self.rate:
                found.append(cluster)
                continue
            possible = self._possible(cluster, after, bool(found) and is_letter(found[-1]))
            kind = possible[int(draws[1] * len(possible))] if possible else None
            if kind == "swap":
                found += [after, cluster]
                place += 1
            elif kind == "neighbour":
                found.append(_beside(cluster, draws[2]))
            elif kind != "drop":
                found += [cluster] * (2 if kind == "double" else 1)
        return "".join(found)

    def _possible(self, cluster: str, after: str, inside: bool) -> list[Kind]:
        can: dict[Kind, bool] = {
            "neighbour": cluster.lower() in _neighbours(),
            "swap": is_letter(after) and after != cluster,
            "drop": inside,
            "double": True,
        }
        return [kind for kind in self.kinds if can[kind]]


def _beside(letter: str, draw: float) -> str:
    near = _neighbours()[letter.lower()]
    found = near[int(draw * len(near))]
    return found.upper() if letter.isupper() else found


@cache
def _neighbours() -> dict[str, str]:
    """The letters beside each letter of a QWERTY keyboard."""
    places = {
        letter: (column + shift, row)
        for row, (letters, shift) in enumerate(ROWS)
        for column, letter in enumerate(letters)
    }
    return {
        letter: "".join(
            other
            for other, (x, y) in places.items()
            if other != letter and (x - column) ** 2 + (y - row) ** 2 <= NEAR**2
        )
        for letter, (column, row) in places.items()
    }
