"""`nlpbench results`: tabulate run directories."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    table = "table"
    markdown = "markdown"
    csv = "csv"
    json = "json"
    latex = "latex"


def results(
    directories: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Directories with runs, at any depth.")
    ],
    format: Annotated[Format, typer.Option(help="How the table is written.")] = Format.table,
    sort: Annotated[
        str | None, typer.Option(help="A column, best first; -COLUMN turns it round.")
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="Columns to show, separated by commas.")
    ] = None,
) -> None:
    """Tabulate finished runs."""
    import os

    from nlpbench.commands.show_table import show_table
    from nlpbench.results.record import find

    found = find(directories)
    paths = [str(path) for path, _ in found]
    shared = os.path.commonpath(paths) if len(paths) > 1 else str(Path(paths[0]).parent)
    named = [(os.path.relpath(path, shared), record) for path, record in found]
    chosen = [key.strip() for key in columns.split(",")] if columns else None
    show_table(named, format.value, chosen, sort)
