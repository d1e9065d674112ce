"""Whether runs may be compared: the same task, split, data and examples, with intact predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from nlpbench.config.errors import ConfigError, UserError
from nlpbench.config.problems import show
from nlpbench.evaluation.answered import Answered
from nlpbench.evaluation.paired.pair import check_same_rows
from nlpbench.results.finished_run import FinishedRun
from nlpbench.runs.compared_system import System


def made_comparable(systems: Sequence[System]) -> tuple[list[System], list[str]]:
    """The systems with the seeds that all have and their predictions, in the order of the first.

    Returns:
        the systems, and what was left out of them.

    Raises:
        UserError: what differs between two of them, or a damaged file.
    """
    first = systems[0].runs[0]
    problems = [
        problem
        for system in systems
        for run in system.runs
        if run is not first
        for problem in _differences(first, run)
    ]
    if problems:
        raise ConfigError(problems)
    kept, notes = _with_common_seeds(systems)
    read = [system.with_predictions(first.record.labels) for system in kept]
    return [_in_order_of(read[0], system) for system in read], notes


def _differences(first: FinishedRun, run: FinishedRun) -> list[str]:
    """What of the data and the task is not the same, a sentence each."""
    ours, theirs = first.record, run.record
    facts = {
        "task": (ours.task, theirs.task),
        "kind of answers": (_answer(first), _answer(run)),
        "split": (ours.split, theirs.split),
        "labels": (_listed(ours.labels), _listed(theirs.labels)),
    }
    found = [
        f"{what}: {here} and {there}" for what, (here, there) in facts.items() if here != there
    ]
    here, there = ours.data[ours.split], theirs.data[theirs.split]
    if not found and here.fingerprint != there.fingerprint:
        found.append(
            f"data: {here.rows} rows with the fingerprint {here.fingerprint} and {there.rows} with "
            f"{there.fingerprint}"
        )
    return [
        f"{first.name} and {run.name} cannot be compared; they differ in {each}" for each in found
    ]


def _answer(run: FinishedRun) -> str:
    return str(run.config.task.answer)  # type: ignore[attr-defined]


def _listed(labels: Sequence[str]) -> str:
    return ", ".join(sorted(labels)) or "none"


def _with_common_seeds(systems: Sequence[System]) -> tuple[list[System], list[str]]:
    several = [system for system in systems if system.seeds]
    if not several:
        return list(systems), []
    for system in systems:
        if not system.seeds:
            raise UserError(
                f"{several[0].name} holds {len(several[0].seeds)} seeds, and {system.name} is a "
                f"single run; name one of the seeds, such as {several[0].runs[0].name}"
            )
    common = [seed for seed in several[0].seeds if all(seed in each.seeds for each in systems)]
    if not common:
        told = "; ".join(f"{each.name}: {', '.join(map(str, each.seeds))}" for each in systems)
        raise UserError(f"no seed was run by all, so there are no pairs ({told})")
    notes = []
    for system in systems:
        if left := [str(seed) for seed in system.seeds if seed not in common]:
            plural = "s" if len(left) > 1 else ""
            notes.append(
                f"left out of {system.name}: seed{plural} {', '.join(left)}, which not all have"
            )
    return [system.with_seeds(common) for system in systems], notes


def _in_order_of(first: System, system: System) -> System:
    """The system with its rows in the order of the first one's.

    Raises:
        UserError: other examples or references.
    """
    one, origin = first.answered[0], first.runs[0]
    found = []
    for run, other in zip(system.runs, system.answered, strict=True):
        try:
            ordered = _ordered(other, one.ids)
            check_same_rows(one, ordered)
        except UserError as error:
            raise UserError(
                f"{origin.predictions} and {run.predictions} cannot be compared: {error}"
            ) from error
        found.append(ordered)
    return replace(system, answered=found)


def _ordered(answered: Answered, ids: Sequence[Any]) -> Answered:
    if answered.ids == list(ids):
        return answered
    place = {each: row for row, each in enumerate(answered.ids)}
    if missing := [each for each in ids if each not in place]:
        raise UserError(
            f"the second has no example {show(missing[0])}"
            + f", and {len(missing) - 1} more are missing" * (len(missing) > 1)
        )
    rows = [place[each] for each in ids]
    predictions = answered.predictions
    shares, details = predictions.probabilities, predictions.details
    clusters = answered.clusters
    return replace(
        answered,
        ids=list(ids),
        references=answered.references[rows],
        predictions=replace(
            predictions,
            answers=predictions.answers[rows],
            probabilities=None if shares is None else shares[rows],
            details=None if details is None else [details[row] for row in rows],
        ),
        clusters=None if clusters is None else [clusters[row] for row in rows],
    )
