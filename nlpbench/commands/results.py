"""`nlpbench results`: tabulate run directories."""

from __future__ import annotations

import os
from collections.abc import Sequence
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
        list[Path], typer.Argument(metavar="DIR", help="Directories with runs, at any depth.")
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
    from nlpbench.commands.show_table import show_table
    from nlpbench.results.record import find

    found = find(directories)
    names = short_names([path for path, _ in found])
    records = [record for _, record in found]
    chosen = [key.strip() for key in columns.split(",") if key.strip()] if columns else None
    show_table(list(zip(names, records, strict=True)), format.value, chosen, sort)


def short_names(paths: Sequence[Path]) -> list[str]:
    """What tells paths apart: each without the directories that all are in."""
    full = [path.resolve() for path in paths]
    shared = Path(os.path.commonpath([path.parent for path in full]))
    return [path.relative_to(shared).as_posix() for path in full]
