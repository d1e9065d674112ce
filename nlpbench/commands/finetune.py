"""`nlpbench finetune`: train, score, and show the row."""

from __future__ import annotations

from typing import Annotated

import typer

from nlpbench.commands import options


def finetune(
    config: options.Config,
    overrides: options.Overrides = None,
    output_dir: options.OutputDir = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an unfinished run of this config.")
    ] = False,
    limit: options.Limit = None,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Fine-tune a model, score it, and leave a run directory."""
    options.set_loudness(quiet, verbose)
    loaded = options.load(config, overrides, limit)
    place = options.output_dir(output_dir, loaded, config, resume)
    if dry_run:
        from nlpbench.runs.preflight import preflight

        typer.echo(preflight(loaded, place, resume))
        return

    from nlpbench.commands.show_table import show_table
    from nlpbench.runs.finetune import finetune as run

    records = run(loaded, place, resume)
    show_table([(record.name, record) for record in records])
    typer.echo(f"wrote {place}", err=True)
