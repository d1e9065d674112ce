"""Columns inside columns: translation.en of {"translation": {"en": …, "de": …}}."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datasets


def names_of(rows: datasets.Dataset) -> list[str]:
    """The columns, each followed by those inside it."""
    names: list[str] = []
    for name, feature in rows.features.items():
        inside = type(rows.features)({name: feature}).flatten()
        names += [name, *(each for each in inside if each != name)]
    return names


def reach(rows: datasets.Dataset, names: Sequence[str]) -> datasets.Dataset:
    """The rows with a column of its own for each of these names that lies inside another column.

    What is nested stays as it is. Nothing is copied: rows on the disk stay there.
    """
    import datasets

    inside = set(names) - set(rows.column_names)
    wanted = [name for name in names_of(rows) if name in inside]
    if not wanted:
        return rows
    outer = [
        name for name in rows.column_names if any(each.startswith(f"{name}.") for each in wanted)
    ]
    if rows.num_rows == 0:  # which concatenate_datasets would leave as they are
        return rows.flatten()
    inner = rows.select_columns(outer).flatten().select_columns(wanted)
    return datasets.concatenate_datasets([rows, inner], axis=1)
