"""`nlpbench check`: everything that can be wrong before a run, told before it."""

from __future__ import annotations

from typing import Annotated

import typer

from nlpbench.commands import options


def check(
    config: options.Config,
    overrides: options.Overrides = None,
    data: Annotated[bool, typer.Option("--data", help="Also load the data and audit it.")] = False,
    model: Annotated[
        bool,
        typer.Option("--model", help="Also load tokenizer, model and two batches (and the data)."),
    ] = False,
    limit: options.Limit = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Check a config, and with --data and --model what it names."""
    options.set_loudness(quiet, verbose)
    cells = options.load_cells(config, overrides, limit)
    if data or model:
        from nlpbench.runs import preflight

        if len(cells) > 1:
            report = preflight.preflight_cells(cells)
        else:
            loaded = options.load(config, overrides, limit)
            report = preflight.check_model(loaded) if model else preflight.check_data(loaded)
        typer.echo(report)
    typer.echo(f"{config}: ok")
