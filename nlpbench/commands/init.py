"""`nlpbench init`: a commented config to begin with, or a workflow for CI."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

TEMPLATES = Path(__file__).parent / "templates"
WORKFLOW = "ci"  # in place of a task


def init(
    task: Annotated[str, typer.Argument(metavar="TASK", help="As in nlpbench list tasks; or ci.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write; stdout unless told.")
    ] = None,
) -> None:
    """Write a commented config for a task; with ci, a GitHub Actions workflow with a gate."""
    from nlpbench.config.errors import UserError
    from nlpbench.config.problems import suggest
    from nlpbench.results.files import write_text

    templates = {file.stem: file for file in sorted(TEMPLATES.glob("*.y*ml"))}
    task = task.replace("_", "-")
    if task not in templates:
        raise UserError(f"no template for the task {task}  {suggest(task, templates)}")
    text = templates[task].read_text(encoding="utf-8")
    if output is None:
        typer.echo(text, nl=False)
        return
    if output.exists():
        raise UserError(f"{output} exists; nothing is overwritten")
    write_text(output, text)
    advice = "" if task == WORKFLOW else f"; check it with: nlpbench check {output}"
    typer.echo(f"wrote {output}{advice}", err=True)
