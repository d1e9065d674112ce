"""White space too much, too little, or of another kind."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from nlpbench.evaluation.perturbations import Perturbation

if TYPE_CHECKING:
    from collections.abc import Callable

# White space between two words; what a mark stands on, as an accent on a space does, is none.
GAP = r"(?<=\S)\s+(?=[^\s\p{M}\u200d])"


class Whitespace(Perturbation):
    """White space between words doubled, removed, or made a tab.

    The rate is the share of the gaps between words.

    ```yaml
    perturbations:
      - whitespace
      - {name: whitespace, change: remove, rate: 0.05}
    ```
    """

    alters_words: ClassVar[bool] = False

    rate: float = Field(0.1, gt=0, le=1, description="share of gaps between words")
    change: Literal["double", "remove", "tab"] = Field("double", description="what is done")

    def alter(self, text: str, random: Random) -> str:
        import regex

        made: dict[str, Callable[[str], str]] = {
            "double": lambda gap: gap * 2,
            "remove": lambda _: "",
            "tab": lambda _: "\t",
        }

        def altered(gap: Any) -> str:
            found: str = gap[0]
            return made[self.change](found) if random.random() < self.rate else found

        return regex.sub(GAP, altered, text)  # type: ignore[no-any-return]
