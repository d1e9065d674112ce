"""Rows that come from one source, which the bootstrap draws together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show

if TYPE_CHECKING:
    import numpy as np
    from datasets import Dataset
    from numpy.typing import NDArray

FEW = 20
"""With fewer clusters intervals come out too narrow (Cameron, Gelbach and Miller 2008)."""
BATCH = 10_000  # rows
KEY = "evaluation.cluster_column"


def values(rows: Dataset, column: str, locate: Callable[[int], str]) -> list[Any]:
    """The cluster of each row: what the column holds, of class labels the name.

    Raises:
        UserError: a row without a value, or with one that is no text, number or truth.
    """
    names = getattr(rows.features[column], "names", None)
    found = []
    for number, value in enumerate(_column(rows, column)):
        if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
            raise UserError(
                f"{locate(number)}, column {show(column)}: no value; {KEY} needs one in every row, "
                "for a row of its own source another one than all others have"
            )
        if not isinstance(value, str | int | float):
            raise UserError(
                f"{locate(number)}, column {show(column)}: {show(value)} names no cluster; "
                f"{KEY} needs a column of texts or numbers"
            )
        if names is not None and isinstance(value, int) and 0 <= value < len(names):
            value = names[value]
        found.append(value)
    return found


def numbered(clusters: Sequence[Any]) -> NDArray[np.int64]:
    """(n,) the number of each row's cluster, from 0 in the order in which they come up."""
    import numpy as np

    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(value, len(numbers)) for value in clusters], dtype=np.int64)


def doubts(clusters: Sequence[Any] | None, of: str) -> list[str]:
    """What the number of clusters does to the intervals, a sentence at most.

    Args:
        of: what they are of, such as the column.
    """
    if clusters is None:
        return []
    count = len(set(clusters))
    if count < 2:
        one = show(clusters[0]) if count else "none"
        return [f"all rows are of one cluster of {of} ({one}), so that no score has an interval"]
    if count < FEW:
        return [
            f"the rows are of {count} clusters of {of} only: with fewer than {FEW} the intervals "
            "are too narrow"
        ]
    return []


def _column(rows: Dataset, column: str) -> Iterable[Any]:
    for batch in rows.select_columns([column]).with_format(None).iter(BATCH):
        yield from batch[column]
