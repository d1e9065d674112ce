"""Prints the table of records to stdout; in a terminal, no wider than that."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from nlpbench.results.record import Record


def show_table(
    named: Sequence[tuple[str, Record]],
    form: str = "table",
    columns: Sequence[str] | None = None,
    sort: str | None = None,
) -> None:
    from nlpbench.results.render import render
    from nlpbench.results.table import build

    table = build(named, columns, sort)
    narrow = sys.stdout.isatty() and not columns
    typer.echo(
        render(table, form, shutil.get_terminal_size().columns if narrow else None), nl=False
    )
    if form in ("csv", "json"):  # which have no place for notes
        for note in table.notes:
            typer.echo(f"({note})", err=True)
