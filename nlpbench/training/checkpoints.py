"""Checkpoints that are whole or passed over, and what a resumed run must have in common with them."""

from __future__ import annotations

import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any, Protocol

from nlpbench.config.errors import UserError
from nlpbench.results.files import write_text

logger = logging.getLogger("nlpbench")
SEAL = "complete.json"
RUN = "run.json"


class State(Protocol):
    """What a strategy keeps in a checkpoint besides weights and optimiser."""

    def save(self, directory: Path) -> None: ...

    def load(self, directory: Path) -> None: ...


def seal(checkpoint: Path) -> None:
    """Declares a checkpoint whole: all its files are on the disk, and their sizes are written down."""
    sizes = {}
    for file in sorted(path for path in checkpoint.rglob("*") if path.is_file()):
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
        sizes[file.relative_to(checkpoint).as_posix()] = file.stat().st_size
    write_text(checkpoint / SEAL, json.dumps({"files": sizes}, indent=1) + "\n")


def unseal(checkpoint: Path) -> None:
    """Before a checkpoint is written, maybe over an older one of the same step."""
    (checkpoint / SEAL).unlink(missing_ok=True)


def is_whole(checkpoint: Path) -> bool:
    """Whether it has its seal, and every file the size that the seal names."""
    try:
        sizes = json.loads((checkpoint / SEAL).read_text(encoding="utf-8"))["files"]
        return all((checkpoint / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, KeyError):
        return False


def last(checkpoints: Path) -> Path | None:
    """The last whole checkpoint; later ones, which a kill left half written, are removed."""
    for place in sorted(checkpoints.glob("checkpoint-*"), key=step, reverse=True):
        if is_whole(place):
            return place
        logger.warning("%s is not whole, as after a kill while it was saved: passed over", place)
        shutil.rmtree(place)
    return None


def any_whole(checkpoints: Path) -> bool:
    return any(is_whole(place) for place in checkpoints.glob("checkpoint-*"))


def step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def note_run(checkpoints: Path, facts: dict[str, Any]) -> None:
    """Writes down what a resumed run must have in common with this one."""
    checkpoints.mkdir(parents=True, exist_ok=True)
    write_text(checkpoints / RUN, json.dumps(facts, indent=1) + "\n")


def check_run(checkpoints: Path, facts: dict[str, Any]) -> None:
    """Raises UserError where a run cannot be gone on with, because it would not be the same run."""
    try:
        before = json.loads((checkpoints / RUN).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    differing = [
        f"{name} ({before[name]} then, {now} now)"
        for name, now in facts.items()
        if name in before and before[name] != now
    ]
    if differing:
        raise UserError(
            f"cannot go on with the run in {checkpoints.parent}: it has another "
            f"{', another '.join(differing)}; put that back, or start anew with --output-dir"
        )
