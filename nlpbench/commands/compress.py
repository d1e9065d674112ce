"""`nlpbench compress`: make a fine-tuned model smaller or faster, and prove it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nlpbench.commands import options
from nlpbench.commands.evaluate import own_models


def compress(
    config: options.Config,
    overrides: options.Overrides = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="The model to compress, in place of the config's: a run, …"
        ),
    ] = None,
    output_dir: options.OutputDir = None,
    limit: options.Limit = None,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Compress a fine-tuned model; a run directory as CONFIG compresses the model of that run.

    Each step is saved, loaded in a fresh process, compared, scored and measured. A chain that was
    broken off goes on when it is started again. Exit code 1 says that a goal is missed.
    """
    options.set_loudness(quiet, verbose)
    from nlpbench.runs.compress import check, compress, next_directory, with_model

    own = own_models(config)
    loaded = with_model(options.load(config, overrides, limit), model or (own[0] if own else None))
    if dry_run:
        check(loaded)
        typer.echo("config, model and methods fit together")
        return
    base = options.directory_named_after(config, "-compress")
    given = output_dir or (Path(loaded.output_dir) if loaded.output_dir else None)
    place = given or next_directory(base, loaded)
    from nlpbench.commands.show_gate import show_gate
    from nlpbench.commands.show_table import terminal_width
    from nlpbench.results.compression_table import build
    from nlpbench.results.render import render
    from nlpbench.runs.compression_goal import hold_to_goal

    records = compress(loaded, place)
    typer.echo(render(build(records), "table", terminal_width()), nl=False)
    typer.echo(f"wrote {place}", err=True)
    if loaded.goal and (code := show_gate(hold_to_goal(loaded.goal, place))):
        raise typer.Exit(code)
