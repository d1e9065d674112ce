"""Prints the table of records to stdout, as wide as the terminal."""

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

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    typer.echo(render(build(named, columns, sort), form, None if columns else width), nl=False)
