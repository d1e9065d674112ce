"""Where a row stood before files were joined and splits drawn: what error messages point at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import datasets


@dataclass(frozen=True)
class Part:
    """Consecutive rows of one file, or of one split of a data set, or what they were joined to."""

    place: str
    rows: int
    unit: str = "row"


@dataclass(frozen=True)
class Original:
    """A split as its source holds it, and what there is to say about it."""

    rows: datasets.Dataset
    parts: tuple[Part, ...]
    notes: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        first = self.parts[0].place
        more = len(self.parts) - 1
        return f"{first} and {more} more" if more else first


class Source(Protocol):
    """Something that holds some of the splits train, validation and test."""

    @property
    def name(self) -> str: ...

    def available(self) -> Sequence[str]: ...

    def read(self, split: str) -> Original: ...


def locate(parts: Sequence[Part], position: int) -> str:
    """`train.csv, row 17`: the row counted from 1, a header line not counted."""
    for part in parts:
        if position < part.rows:
            return f"{part.place}, {part.unit} {position + 1}"
        position -= part.rows
    raise IndexError(position)
