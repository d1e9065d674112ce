"""The place of a baseline: a run, or a small directory of a record and its predictions to commit."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from nlpbench.config.errors import UserError
from nlpbench.results import files
from nlpbench.results.finished_run import FinishedRun
from nlpbench.results.record import RECORD
from nlpbench.results.run_directory import PREDICTIONS

KEPT = (RECORD, PREDICTIONS)


def choose(baselines: Sequence[FinishedRun], run: FinishedRun) -> FinishedRun:
    """Of several baselines the one that was scored as the run was, on the same rows.

    Raises:
        UserError: none was, or more than one of the same model and name.
    """
    if len(baselines) == 1:
        return baselines[0]
    fitting = [each for each in baselines if _scored_on(each) == _scored_on(run)]
    if not fitting:
        raise UserError(
            f"none of the {len(baselines)} baselines has the task, split and data of {run.name}"
        )
    ours = run.record
    for same in (
        [each for each in fitting if each.record.model.get("name") == ours.model.get("name")],
        [each for each in fitting if each.record.name == ours.name],
    ):
        fitting = same or fitting
    if len(fitting) > 1:
        places = ", ".join(str(each.file.parent) for each in fitting)
        raise UserError(f"{len(fitting)} baselines fit {run.name}: {places}; name one of them")
    return fitting[0]


def check_replaceable(place: Path) -> None:
    """Raises UserError unless a place is free, or holds nothing but an earlier baseline."""
    if not place.exists():
        return
    if not place.is_dir():
        raise UserError(f"cannot write the baseline {place}: it is no directory")
    strange = [
        file for file in sorted(place.rglob("*")) if file.is_file() and file.name not in KEPT
    ]
    if strange:
        raise UserError(
            f"--update-baseline writes a directory with {' and '.join(KEPT)} alone, and {place} "
            f"holds {strange[0].relative_to(place)} as well; name another one with --baseline"
        )


def write(place: Path, runs: Sequence[FinishedRun]) -> None:
    """Copies the records and predictions of runs to a place; several get a directory each.

    What was there before stays until all is copied.

    Raises:
        UserError: the place cannot be written, holds other files, or is the run itself.
    """
    check_replaceable(place)
    homes = [run.file.parent.resolve() for run in runs]
    if any(home.is_relative_to(place.resolve()) for home in homes):
        raise UserError(f"the baseline {place} is the run itself; name a directory of its own")
    shared = homes[0] if len(runs) == 1 else Path(os.path.commonpath(homes))
    with files.new_directory(place) as new:
        for run, home in zip(runs, homes, strict=True):
            target = new / home.relative_to(shared)
            target.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(run.file, target / RECORD)
            if run.predictions.exists():
                shutil.copyfile(run.predictions, target / PREDICTIONS)


def _scored_on(run: FinishedRun) -> tuple[str, str, str]:
    record = run.record
    return record.task, record.split, record.data[record.split].fingerprint
