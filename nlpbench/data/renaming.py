"""Gives columns other names, so that data sets which differ in them are read by one task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show, suggest
from nlpbench.data.nested import names_of, reach
from nlpbench.data.origin import Original


def renamed(original: Original, names: Mapping[str, str]) -> Original:
    """The rows with the columns of `names` under their new names; nothing is copied.

    Args:
        names: old to new; an old one may lie inside another column, such as translation.en.

    Raises:
        UserError: there is no such column, or another one has the new name already.
    """
    if not names:
        return original
    rows = reach(original.rows, list(names))
    for old, new in names.items():
        where = f"{original.place}: data.rename_columns"
        if old not in rows.column_names:
            found = names_of(original.rows)
            hint = suggest(old, found)
            advice = f" {hint}" if hint.startswith("did you mean") else ""
            raise UserError(f"{where}: no column {show(old)};{advice} columns: {', '.join(found)}")
        if new in rows.column_names and new not in names:
            raise UserError(
                f"{where}: {show(old)} cannot be called {show(new)}, which is a column already; "
                f"rename that one too, or set the task to read {show(old)}"
            )
    return replace(original, rows=rows.rename_columns(dict(names)))
