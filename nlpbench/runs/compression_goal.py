"""Holds the last model of a chain to its goal; the original is the baseline."""

from __future__ import annotations

from pathlib import Path

from nlpbench.config.gate import Rules
from nlpbench.evaluation import gate
from nlpbench.results import record as records
from nlpbench.results.finished_run import FinishedRun
from nlpbench.results.record import RECORD
from nlpbench.runs.compress import ORIGINAL
from nlpbench.runs.gate import GateOutcome


def hold_to_goal(goal: Rules, directory: Path) -> GateOutcome:
    """Every rule of the goal with whether it holds, also in the record of the last step.

    Raises:
        UserError: a rule on what was not computed.
    """
    places = [place for place in directory.iterdir() if (place / RECORD).is_file()]
    last = max(places, key=lambda place: int(place.name.partition("-")[0]))
    run, original = (_finished(place) for place in (last, directory / ORIGINAL))
    found = gate.check(goal, run, original)
    records.keep_gate(run.file, found)
    held = FinishedRun(run.name, run.file, run.record.model_copy(update={"gate": found}))
    return GateOutcome([held], [])


def _finished(place: Path) -> FinishedRun:
    return FinishedRun(place.name, place / RECORD, records.read(place))
