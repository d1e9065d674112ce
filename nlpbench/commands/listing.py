"""`nlpbench list`: the tasks, metrics, methods, perturbations and samples there are."""

from __future__ import annotations

from typing import Annotated

import typer

KINDS = ("tasks", "metrics", "methods", "perturbations", "samples")


def list_components(
    what: Annotated[str, typer.Argument(metavar="|".join(KINDS), help="What to list.")],
) -> None:
    """List tasks, metrics, compression methods, perturbations or embedded samples."""
    from nlpbench.config.errors import UserError
    from nlpbench.config.problems import suggest

    if what not in KINDS:
        raise UserError(f"there is no list of {what}  {suggest(what, KINDS)}")
    if what == "samples":
        from nlpbench.data.files import sample_names, sample_summary

        rows = [(name, sample_summary(name)) for name in sample_names()]
    else:
        from nlpbench.config import registry

        kind = what.removesuffix("s")
        rows = [(name, registry.load(kind, name).summary()) for name in registry.names(kind)]
    if not rows:
        typer.echo(f"no {what} are installed", err=True)
    width = max((len(name) for name, _ in rows), default=0)
    for name, summary in rows:
        typer.echo(f"{name:<{width}}  {summary}")
