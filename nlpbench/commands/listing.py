"""`nlpbench list`: the tasks, metrics, methods and samples there are."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class What(StrEnum):
    tasks = "tasks"
    metrics = "metrics"
    methods = "methods"
    samples = "samples"


def list_components(
    what: Annotated[What, typer.Argument(help="What to list.")],
) -> None:
    """List tasks, metrics, compression methods or embedded samples."""
    if what is What.samples:
        from nlpbench.data.files import sample_names, sample_summary

        rows = [(name, sample_summary(name)) for name in sample_names()]
    else:
        from nlpbench.config import registry

        kind = what.value.removesuffix("s")
        rows = [(name, registry.load(kind, name).summary()) for name in registry.names(kind)]
    if not rows:
        typer.echo(f"no {what.value} are installed", err=True)
    width = max((len(name) for name, _ in rows), default=0)
    for name, summary in rows:
        typer.echo(f"{name:<{width}}  {summary}")
