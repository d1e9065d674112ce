"""`nlpbench gate`: hold finished runs to rules; nothing is computed but what the rules compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nlpbench.commands import options


def gate(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN", help="Directories with runs, or records.")
    ],
    gate: options.GateFile = None,
    baseline: options.Baseline = None,
    junit: options.Junit = None,
    update_baseline: options.UpdateBaseline = False,
) -> None:
    """Hold finished runs to the rules of a gate; exit code 1 if one is broken."""
    from nlpbench.commands.show_gate import show_gate
    from nlpbench.results.finished_run import find
    from nlpbench.runs.gate import GateOptions, gate_records, open_gate_of

    found = find(runs)
    opened = open_gate_of(found, GateOptions(gate, baseline, junit, update_baseline))
    if code := show_gate(gate_records(opened, found)):
        raise typer.Exit(code)
