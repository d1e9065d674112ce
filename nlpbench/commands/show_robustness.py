"""Prints the scores of altered texts to stdout, if records have any."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from nlpbench.commands.show_table import terminal_width

if TYPE_CHECKING:
    from nlpbench.results.record import Record
    from nlpbench.runs.evaluate import Outcome


def show_robustness(
    named: Sequence[tuple[str, Record]], form: str = "table", columns: Sequence[str] | None = None
) -> None:
    """
    Raises:
        UserError: no record has scores of altered texts, or none such a score.
    """
    from nlpbench.results.render import render
    from nlpbench.results.robustness import build

    table = build(named, columns)
    typer.echo(render(table, form, None if columns else terminal_width()), nl=False)
    if form in ("csv", "json"):  # which have no place for notes
        for note in table.notes:
            typer.echo(f"({note})", err=True)


def show_robustness_below(named: Sequence[tuple[str, Record]]) -> None:
    """The scores of altered texts below the table of the same records; nothing without any."""
    if any(record.robustness for _, record in named):
        typer.echo()
        show_robustness(named)


def show_robustness_of(outcomes: Sequence[Outcome]) -> None:
    """The scores of altered texts below the table of an evaluation."""
    cells = [outcome.cell for outcome in outcomes]
    on_data = len({cell.data for cell in cells}) > 1
    show_robustness_below(
        [
            (f"{one.cell.model} on {one.cell.data}" if on_data else one.cell.model, one.record)
            for one in outcomes
            if one.record is not None
        ]
    )
