"""`nlpbench calibrate`: fit a temperature or thresholds to a model that is trained already."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nlpbench.commands import options


def calibrate(
    config: options.Config,
    overrides: options.Overrides = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="A run, model directory, hub id or pkg://package/folder."
        ),
    ] = None,
    output_dir: Annotated[
        Path | None,
        typer.Option(
            "--output-dir", "-o", help="Of the copied model (runs/NAME-calibrated unless told)."
        ),
    ] = None,
    limit: options.Limit = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Copy a model with what the task chooses on the validation rows.

    That is, with task.temperature_scaling=true the temperature, and with task.tune_thresholds=f1
    the thresholds of a text classification. Weights stay as they are.
    """
    from nlpbench.commands.evaluate import own_models
    from nlpbench.config.errors import UserError

    options.set_loudness(quiet, verbose)
    loaded = options.load(config, overrides, limit)
    named = [model] if model else own_models(config)
    if len(named) != 1:
        found = f"{config} has {len(named)}" if named else "none is told"
        raise UserError(f"one model is calibrated at a time, and {found}; name it with --model")
    place = options.output_dir(
        output_dir, loaded.model_copy(update={"output_dir": None}), config, suffix="-calibrated"
    )

    from nlpbench.config.yaml12 import dump
    from nlpbench.runs.calibrate import calibrate as run

    settings = run(loaded, place, named[0])
    typer.echo(
        dump({key: value for key, value in settings.items() if key != "settled_on"}).rstrip()
    )
    typer.echo(f"wrote {place}", err=True)
