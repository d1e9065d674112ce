"""Prints the slices of records to stdout, if they have any."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from nlpbench.commands.show_table import terminal_width

if TYPE_CHECKING:
    from nlpbench.results.record import Record
    from nlpbench.runs.evaluate import Outcome


def show_slices(
    named: Sequence[tuple[str, Record]], form: str = "table", columns: Sequence[str] | None = None
) -> None:
    """
    Raises:
        UserError: no record has slices, or none has such a score.
    """
    from nlpbench.results.slices import render_slices

    text = render_slices(named, form, columns, None if columns else terminal_width())
    typer.echo(text, nl=False)


def show_slices_below(named: Sequence[tuple[str, Record]]) -> None:
    """The slices below the table of the same records; nothing where there are none."""
    if any(record.slices for _, record in named):
        typer.echo()
        show_slices(named)


def show_slices_of(outcomes: Sequence[Outcome]) -> None:
    """The slices below the table of an evaluation."""
    cells = [outcome.cell for outcome in outcomes]
    on_data = len({cell.data for cell in cells}) > 1
    show_slices_below(
        [
            (f"{one.cell.model} on {one.cell.data}" if on_data else one.cell.model, one.record)
            for one in outcomes
            if one.record is not None
        ]
    )
