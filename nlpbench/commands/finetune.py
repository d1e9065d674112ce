"""`nlpbench finetune`: train, score, and show the row."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nlpbench.commands import options

if TYPE_CHECKING:
    from nlpbench.runs.gate import OpenedGate


def finetune(
    config: options.Config,
    overrides: options.Overrides = None,
    output_dir: options.OutputDir = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an unfinished run of this config.")
    ] = False,
    limit: options.Limit = None,
    processes: options.Processes = 1,
    gate: options.GateFile = None,
    baseline: options.Baseline = None,
    junit: options.Junit = None,
    update_baseline: options.UpdateBaseline = False,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Fine-tune a model, score it, and leave a run directory."""
    from nlpbench.evaluation import processes as run_processes
    from nlpbench.runs import launch
    from nlpbench.runs.gate import GateOptions, open_gate

    options.set_loudness(quiet, verbose)
    loaded = options.load(config, overrides, limit)
    launch.join(loaded)
    # Of several processes that `launch` starts, none holds the run to its gate: this one does.
    asked = GateOptions(gate, baseline, junit, update_baseline)
    rules = None if launch.launched() else open_gate(loaded, asked)
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
        hold(rules, place)
        return

    from nlpbench.commands.show_robustness import show_robustness_below
    from nlpbench.commands.show_slices import show_slices_below
    from nlpbench.commands.show_table import show_table
    from nlpbench.runs.finetune import finetune as run

    records = run(loaded, place, resume)
    run_processes.leave()
    if run_processes.is_first():
        named = [(record.name, record) for record in records]
        show_table(named)
        show_slices_below(named)
        show_robustness_below(named)
        typer.echo(f"wrote {place}", err=True)
        hold(rules, place)


def hold(rules: OpenedGate | None, place: Path) -> None:
    """Holds the runs in a directory to a gate, and ends the program if a rule is broken."""
    from nlpbench.commands.show_gate import show_gate
    from nlpbench.results.finished_run import find
    from nlpbench.runs.gate import gate_records

    if rules is None:
        return
    if code := show_gate(gate_records(rules, find([place]))):
        raise typer.Exit(code)
