"""What stands in a table: the keys of its columns, and a cell with all that is told of a value."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, TypeGuard

from nlpbench.config.costs import COSTS

FACTS: Final = ("run", "model", "data", "task", "split", "rows", "seed")
OF_SLICES: Final = ("worst_slice", "slice_gap")
OTHERS: Final = (
    "device",
    "threads",
    "train_seconds",
    "padded_share",
    "truncated_share",
    "finished",
)
AVERAGED: Final = ("slice_gap", *COSTS, "train_seconds", "padded_share", "truncated_share")


@dataclass(frozen=True)
class Cell:
    """A value with its interval or, in a row over seeds, its sample standard deviation.

    Attributes:
        of: the name of what the value is of, such as the worst slice.
        best: whether it is the best of its column, and a test confirms it.
        mark: refers to a note, such as †.
        instead: what people read where there is no value.
    """

    value: Any = None
    low: float | None = None
    high: float | None = None
    deviation: float | None = None
    of: str | None = None
    best: bool = False
    mark: str = ""
    instead: str = "-"


Row = dict[str, Cell]


def is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_infinite(value: Any) -> TypeGuard[float]:
    return isinstance(value, float) and math.isinf(value)
