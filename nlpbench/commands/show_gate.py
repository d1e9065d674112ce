"""Prints what came of the rules of a gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from nlpbench.runs.gate import GateOutcome

GATE_FAILED = 1  # as an exit code


def show_gate(outcome: GateOutcome) -> int:
    """Every rule goes to stdout; what is broken, a line each, and the verdict to stderr.

    Returns:
        the exit code: 0 if all rules hold.
    """
    several = len(outcome.runs) > 1
    for run, rule in outcome.rules:
        mark = "holds   " if rule.holds else "broken  "
        text = f"{run.name}: {rule.told}" if several else rule.told
        typer.echo(mark + text)
    for run, rule in outcome.broken:
        typer.echo(f"gate: {run.name}: {rule.told}" if several else f"gate: {rule.told}", err=True)
    count, broken = len(outcome.rules), len(outcome.broken)
    if broken:
        typer.echo(f"gate: {broken} of {count} rules broken", err=True)
    elif count:
        typer.echo(f"gate: {count} rule{'s hold' if count > 1 else ' holds'}", err=True)
    for note in outcome.notes:
        typer.echo(note, err=True)
    return GATE_FAILED if broken else 0
