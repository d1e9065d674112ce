"""`nlpbench evaluate`: score one or more fine-tuned models in one table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nlpbench.commands import options


def evaluate(
    config: options.Config,
    overrides: options.Overrides = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            help="A run, model directory, hub id or pkg://package/folder; may be repeated.",
        ),
    ] = None,
    output_dir: options.OutputDir = None,
    limit: options.Limit = None,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Score fine-tuned models; a run directory as CONFIG scores the model of that run."""
    options.set_loudness(quiet, verbose)
    loaded = options.load(config, overrides, limit)
    models = model or own_models(config)
    place = options.output_dir(
        output_dir, loaded.model_copy(update={"output_dir": None}), config, suffix="-evaluate"
    )
    if dry_run:
        from nlpbench.runs.preflight import preflight_evaluation

        typer.echo(preflight_evaluation(loaded, models))
        return

    from nlpbench.commands.show_table import show_table
    from nlpbench.runs.evaluate import evaluate as run

    records = run(loaded, place, models)
    names = [record.model["name"] for record in records]
    show_table(list(zip(names, records, strict=True)))
    typer.echo(f"wrote {place}", err=True)


def own_models(config: Path) -> list[str]:
    """The runs in a run directory: itself, or one for each of its seeds; none in a file."""
    if not config.is_dir():
        return []
    seeds = sorted(path for path in config.glob("seed-*") if (path / "model").is_dir())
    return [str(path) for path in seeds or [config]]
