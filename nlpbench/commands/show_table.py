"""Prints the table of records to stdout, no wider than the terminal, or than COLUMNS says."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from nlpbench.results.record import Record
    from nlpbench.results.row import Failed
    from nlpbench.runs.evaluate import Outcome


def show_table(
    named: Sequence[tuple[str, Record | Failed]],
    form: str = "table",
    columns: Sequence[str] | None = None,
    sort: str | None = None,
    significant_best: Collection[tuple[int, str]] = (),
) -> None:
    from nlpbench.results.render import render
    from nlpbench.results.table import build

    table = build(named, columns, sort, significant_best)
    typer.echo(render(table, form, None if columns else terminal_width()), nl=False)
    if form in ("csv", "json"):  # which have no place for notes
        for note in table.notes:
            typer.echo(f"({note})", err=True)


def show_outcomes(outcomes: Sequence[Outcome]) -> None:
    """The table of an evaluation, a row a cell; a cell that failed has one too."""
    show_table([(outcome.cell.model, outcome.row) for outcome in outcomes])


def terminal_width() -> int | None:
    """Columns to keep to; None where the table goes elsewhere and nobody said how many."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS"):
        return shutil.get_terminal_size().columns
    return None
