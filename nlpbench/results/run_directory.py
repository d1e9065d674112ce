"""The directory of a run: claimed before any work, never taken from another run."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any, Literal

from nlpbench.config.document import parse
from nlpbench.config.errors import UserError
from nlpbench.config.problems import show
from nlpbench.config.yaml12 import dump
from nlpbench.results.files import told_clearly, write_text
from nlpbench.results.record import RECORD

CONFIG = "config.yaml"
CHECKPOINTS = "checkpoints"
HISTORY = "history.jsonl"
PREDICTIONS = "predictions.jsonl"
SHOWN = 4
WITHOUT_EFFECT = ("output_dir", "gate", "baseline")  # keys that change no figure of a run
State = Literal["empty", "other files", "another config", "unfinished", "finished"]


def check_free(directory: Path, config: dict[str, Any], resume: bool) -> None:
    """Raises UserError unless the config may run in the directory; writes nothing."""
    existing = _nearest_existing(directory)
    if not existing.is_dir():
        raise UserError(f"cannot write {directory}: {existing} is not a directory")
    state = state_of(directory, config)
    if state == "other files":
        raise UserError(
            f"{directory} is not empty and no run directory; name a new one with --output-dir"
        )
    if state == "another config":
        raise UserError(
            f"{directory} holds a run of another config ({_differences(directory, config)}); "
            "name a new one with --output-dir"
        )
    if state == "finished":
        raise UserError(
            f"{directory} holds the finished run of this config (see: nlpbench results "
            f"{directory}); name a new one with --output-dir to run it again"
        )
    if state == "unfinished" and not resume:
        raise UserError(
            f"{directory} holds an unfinished run of this config; go on with --resume, or name "
            "a new one with --output-dir"
        )
    if state == "empty" and resume:
        raise UserError(f"{directory} holds no run to resume; start it without --resume")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"cannot write {directory}: no right to write in {existing}")


def check_space(directory: Path, megabytes: float) -> None:
    """Raises UserError unless the disk of the directory has room."""
    free = shutil.disk_usage(_nearest_existing(directory)).free / 1e6
    if free < megabytes:
        raise UserError(
            f"cannot write {directory}: the run needs about {megabytes:.0f} MB, and its disk has "
            f"{free:.0f} MB free"
        )


def open_run(directory: Path, config: dict[str, Any]) -> None:
    """Makes the run directory with its config.yaml, if it is not there yet."""
    with told_clearly(directory):
        directory.mkdir(parents=True, exist_ok=True)
    if not (directory / CONFIG).exists():
        write_text(directory / CONFIG, dump(config))


def state_of(directory: Path, config: dict[str, Any]) -> State:
    """What a directory is to a run of the config."""
    with told_clearly(directory):
        if not directory.exists() or not any(directory.iterdir()):
            return "empty"
        file = directory / CONFIG
        if not file.is_file():
            return "other files"
        before = parse(file.read_text(encoding="utf-8", errors="replace"), str(file))
    if before.problems:  # config.yaml is written whole, so this is none of ours
        return "other files"
    if identity(before.values) != identity(config):
        return "another config"
    return "finished" if (directory / RECORD).is_file() else "unfinished"


def free_name(base: Path, config: dict[str, Any], resume: bool) -> Path:
    """`base`, or `base-2`, `base-3` … where those are taken; to resume, the last unfinished one."""
    candidates = [base]
    while candidates[-1].exists():
        candidates.append(base.with_name(f"{base.name}-{len(candidates) + 1}"))
    if resume:
        for candidate in reversed(candidates[:-1]):
            if state_of(candidate, config) == "unfinished":
                return candidate
        raise UserError(f"there is no unfinished run of this config at {base}")
    return candidates[-1]


def discard(directory: Path) -> None:
    """Removes a run directory that holds nothing but its config: the run ended before it began."""
    if directory.is_dir() and {path.name for path in directory.iterdir()} <= {CONFIG}:
        shutil.rmtree(directory, ignore_errors=True)


def identity(config: dict[str, Any]) -> str:
    """What two runs of the same config have in common: all that their figures follow from."""
    values = {key: value for key, value in config.items() if key not in WITHOUT_EFFECT}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _differences(directory: Path, config: dict[str, Any]) -> str:
    """The keys that differ, with both values."""
    text = (directory / CONFIG).read_text(encoding="utf-8", errors="replace")
    before, now = _flat(parse(text, CONFIG).values), _flat(config)
    keys = [key for key in (before | now) if key.partition(".")[0] not in WITHOUT_EFFECT]
    told = [
        f"{key}: {show(before.get(key))} there, {show(now.get(key))} here"
        for key in keys
        if before.get(key) != now.get(key)
    ]
    more = f"; … {len(told)} keys in all" if len(told) > SHOWN else ""
    return "; ".join(told[:SHOWN]) + more


def _flat(values: Any, path: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` as `{"a.b": 1}`."""
    if not isinstance(values, dict):
        return {path: values}
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{path}.{key}" if path else str(key))
    return flat


def _nearest_existing(path: Path) -> Path:
    with told_clearly(path):
        return next(place for place in (path, *path.absolute().parents) if place.exists())
