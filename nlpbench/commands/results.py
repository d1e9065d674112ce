"""`nlpbench results`: tabulate run directories."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
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
    html = "html"


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
    slices: Annotated[
        bool, typer.Option("--slices", help="The scores of slices, in place of those of runs.")
    ] = False,
    robustness: Annotated[
        bool, typer.Option("--robustness", help="The scores of altered texts instead.")
    ] = False,
) -> None:
    """Tabulate finished runs.

    In markdown, latex and html the best value of a score is bold where a paired test on the stored
    predictions says that it is better than the second best.
    """
    from nlpbench.commands.show_table import show_table
    from nlpbench.results.finished_run import FinishedRun
    from nlpbench.results.record import RECORD, find
    from nlpbench.results.render import WITH_BOLD

    found = find(directories)
    names = short_names([path for path, _ in found])
    runs = [
        FinishedRun(name, path / RECORD, record)
        for name, (path, record) in zip(names, found, strict=True)
    ]
    chosen = [key.strip() for key in columns.split(",") if key.strip()] if columns else None
    if slices or robustness:
        from nlpbench.commands.show_robustness import show_robustness
        from nlpbench.commands.show_slices import show_slices
        from nlpbench.config.errors import UserError

        if slices and robustness:
            raise UserError("--slices and --robustness are two tables; ask for them one by one")
        if sort is not None:
            raise UserError("--sort is for the table of runs; this one keeps its order")
        if robustness:
            show_robustness([(run.name, run.record) for run in runs], format.value, chosen)
            return
        show_slices([(run.name, run.record) for run in runs], format.value, chosen)
        return
    best: Collection[tuple[int, str]] = ()
    if format.value in WITH_BOLD:
        from nlpbench.runs.significance import significant_best

        best = significant_best(runs)
    show_table([(run.name, run.record) for run in runs], format.value, chosen, sort, best)


def short_names(paths: Sequence[Path]) -> list[str]:
    """What tells paths apart: each without the directories that all are in."""
    full = [path.resolve() for path in paths]
    shared = Path(os.path.commonpath([path.parent for path in full]))
    return [path.relative_to(shared).as_posix() for path in full]
