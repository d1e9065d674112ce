"""`nlpbench evaluate`: score fine-tuned models on one or more data sets in one table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nlpbench.commands import options

OF_FINETUNING = ("model", "checkpoints", "history.jsonl")  # what such a run leaves


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
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data", help="A data source, or {source: glue, subset: mrpc}; may be repeated."
        ),
    ] = None,
    output_dir: options.OutputDir = None,
    limit: options.Limit = None,
    batch_size: Annotated[
        str | None,
        typer.Option(help="Rows at a time on the device, or auto; as evaluation.batch_size."),
    ] = None,
    processes: Annotated[
        int,
        typer.Option(
            min=1, help="Predict in this many processes, one a GPU or share of the cores."
        ),
    ] = 1,
    gate: options.GateFile = None,
    baseline: options.Baseline = None,
    junit: options.Junit = None,
    update_baseline: options.UpdateBaseline = False,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Score fine-tuned models; a run directory as CONFIG scores the model of that run.

    With several models or data sets every pair of them is scored. What is finished in the output
    directory is not computed again, so a run that was broken off goes on when it is started again.

    Exit code 1 says that a rule of the gate is broken.
    """
    options.set_loudness(quiet, verbose)
    if batch_size is not None:
        overrides = [*(overrides or ()), f"evaluation.batch_size={batch_size}"]
    cells = options.load_cells(config, overrides, limit, model or own_models(config), data or ())
    from nlpbench.evaluation import processes as run_processes
    from nlpbench.runs import launch
    from nlpbench.runs.gate import GateOptions, gate_cells, open_gate

    if processes > 1:
        launch.check_machine(processes)
    launch.join(cells[0].config)
    rules = open_gate(cells[0].config, GateOptions(gate, baseline, junit, update_baseline))
    if dry_run:
        from nlpbench.runs.preflight import preflight_cells

        typer.echo(preflight_cells(cells))
        return

    from nlpbench.commands.show_gate import show_gate
    from nlpbench.commands.show_robustness import show_robustness_of
    from nlpbench.commands.show_slices import show_slices_of
    from nlpbench.commands.show_table import show_outcomes
    from nlpbench.runs.evaluate import evaluate_cells, exit_code, next_directory

    base = options.directory_named_after(config, "-evaluate")
    place = run_processes.from_first(lambda: output_dir or next_directory(base, cells))
    if processes > 1:
        named = [f"--model={one}" for one in model or ()] + [f"--data={one}" for one in data or ()]
        flags = {"--quiet": quiet, "--verbose": verbose}
        launch.launch(
            [
                "evaluate", str(config), *(overrides or ()), *named, f"--output-dir={place}",
                *([f"--limit={limit}"] if limit else ()),
                *(flag for flag, on in flags.items() if on),
            ],
            processes,
        )  # fmt: skip
    outcomes = evaluate_cells(cells, place)
    run_processes.leave()
    if launch.launched() or not run_processes.is_first():
        return
    show_outcomes(outcomes)
    show_slices_of(outcomes)
    show_robustness_of(outcomes)
    if any(outcome.record for outcome in outcomes):
        typer.echo(f"wrote {place}", err=True)
    gated = show_gate(gate_cells(rules, outcomes)) if rules is not None else 0
    if code := exit_code(outcomes) or gated:
        raise typer.Exit(code)


def own_models(config: Path) -> list[str]:
    """The fine-tuned runs in a directory: itself, or one for each of its seeds.

    None in a file, and in the directory of an evaluation, whose config names its models.
    """
    if not config.is_dir():
        return []
    seeds = sorted(path for path in config.glob("seed-*") if (path / "model").is_dir())
    own = any((config / name).exists() for name in OF_FINETUNING)
    return [str(path) for path in seeds or [config] * own]
