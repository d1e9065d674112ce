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
    processes: options.Processes = 1,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Fine-tune a model, score it, and leave a run directory."""
    from nlpbench.evaluation import processes as run_processes
    from nlpbench.runs import launch

    options.set_loudness(quiet, verbose)
    loaded = options.load(config, overrides, limit)
    launch.join(loaded)
    place = run_processes.from_first(lambda: options.output_dir(output_dir, loaded, config, resume))
    if processes > 1:
        launch.check(loaded, processes)
    if dry_run:
        from nlpbench.runs.preflight import preflight

        typer.echo(preflight(loaded, place, resume, processes))
        return
    if processes > 1:
        from nlpbench.results.run_directory import check_free

        if not loaded.seeds:
            check_free(place, loaded.resolved(), resume)
        flags = {"--resume": resume, "--quiet": quiet, "--verbose": verbose}
        launch.launch(
            [
                "finetune", str(config), *(overrides or ()), f"--output-dir={place}",
                *([f"--limit={limit}"] if limit else ()),
                *(flag for flag, on in flags.items() if on),
            ],
            processes,
        )  # fmt: skip
        return

    from nlpbench.commands.show_table import show_table
    from nlpbench.runs.finetune import finetune as run

    records = run(loaded, place, resume)
    run_processes.leave()
    if run_processes.is_first():
        show_table([(record.name, record) for record in records])
        typer.echo(f"wrote {place}", err=True)
