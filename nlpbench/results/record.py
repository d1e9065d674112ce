"""The record of a run: scores with intervals, costs, data, seeds, versions and hardware."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationError,
    field_serializer,
    field_validator,
    model_validator,
)

from nlpbench.config.errors import UserError
from nlpbench.results.files import (
    PARTIAL,
    REPLACED,
    finite,
    spelled_if_infinite,
    strict_json,
    write_text,
)

SCHEMA_VERSION: Final = 1
RECORD = "record.json"


class Part(BaseModel):
    """A part of a record: unchangeable, and tolerant of keys that later versions add."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Score(Part):
    """A metric's value with its interval; None where it is undefined.

    A value may be infinite, as a perplexity that no float can hold; JSON then has the text "inf".
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    signature: str
    higher_is_better: bool

    @field_validator("value")
    @classmethod
    def undefined_if_no_number(cls, value: float | None) -> float | None:
        return None if value is None or math.isnan(value) else value

    @field_validator("low", "high")
    @classmethod
    def undefined_unless_finite(cls, value: float | None) -> float | None:
        return finite(value)  # type: ignore[no-any-return]

    @field_serializer("value", when_used="json")
    def spelled(self, value: float | None) -> float | str | None:
        return spelled_if_infinite(value)  # type: ignore[no-any-return]


class SplitRecord(Part):
    """What identifies the rows of a split."""

    rows: int
    fingerprint: str
    truncated_share: float | None = None


class SliceRecord(Part):
    """The scores of some of the rows.

    `of` names the slicing that the slice belongs to, such as `language` of `language=de`; `notes`
    say by score why it is undefined. A slice without rows has no defined score.
    """

    of: str
    rows: int
    scores: dict[str, Score]
    notes: dict[str, str] = {}


class Gap(Part):
    """How far a score lies apart between slices: the largest value less the smallest.

    None where fewer than two slices have one. `highest` and `lowest` name the slices.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    highest: str | None = None
    lowest: str | None = None


class Drop(Part):
    """How much worse a score is on altered texts than on those as they are; below 0 it is better.

    None where one of the two scores is undefined, or the interval is unknown.
    """

    value: float | None
    low: float | None = None
    high: float | None = None

    @field_validator("value", "low", "high")
    @classmethod
    def undefined_unless_finite(cls, value: float | None) -> float | None:
        return finite(value)  # type: ignore[no-any-return]


class PerturbedRecord(Part):
    """The scores of all rows with their texts altered, and how far they fell, by score.

    `changed` counts the rows that something was altered in; `options` are those of the
    perturbation, with its name and seed.
    """

    rows: int
    changed: int
    options: dict[str, Any]
    scores: dict[str, Score]
    drop: dict[str, Drop]


class CheckedRule(Part):
    """One rule of a gate and what came of it.

    Attributes:
        key: of the score, or the name of the cost.
        slice: the part of the rows that it is about; None for all of them.
        bound: its name, such as `min`; `limit` is what the rule says.
        value: of the run, and `baseline` that of the baseline; None where undefined.
        p_value: two-sided, of the paired test, where one was asked for.
        told: what was found, a sentence without its full stop.
    """

    key: str
    slice: str | None = None
    bound: str
    limit: float | None = None
    value: float | None = None
    baseline: float | None = None
    p_value: float | None = None
    holds: bool
    told: str

    @property
    def rule(self) -> str:
        """The rule as a line calls it, such as `f1_macro on language=de: min 0.85`."""
        of = f"{self.key} on {self.slice}" if self.slice is not None else self.key
        limit = "" if self.limit is None else f" {self.limit:g}"
        return f"{of}: {self.bound}{limit}"


class Gate(Part):
    """The rules that a run was held to; `baseline` says what it was compared with."""

    passed: bool
    rules: list[CheckedRule]
    baseline: dict[str, Any] | None = None

    @property
    def broken(self) -> list[CheckedRule]:
        return [rule for rule in self.rules if not rule.holds]


class ReliabilityBin(Part):
    """How often predictions of one confidence, above `low` and up to `high`, are right.

    `confidence` is the mean of these predictions; it and `accuracy` are None where there are none.
    `rows` counts examples, or labels of examples where labels come in sets.
    """

    low: float
    high: float
    rows: int
    confidence: float | None
    accuracy: float | None


class Record(Part):
    """Everything a reader needs to trust, repeat and compare a run.

    `scores` are those of `split`; `efficiency` holds the costs with units in their names; `slices`
    the scores of parts of the rows, by name, and `gaps` by slicing and score how far they lie apart;
    `robustness` the scores of altered texts, by perturbation.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    command: str
    name: str
    model: dict[str, Any]
    task: str
    labels: list[str]
    split: str
    seed: int
    scores: dict[str, Score]
    efficiency: dict[str, Any]
    interval: dict[str, Any]
    data: dict[str, SplitRecord]
    slices: dict[str, SliceRecord] = {}
    gaps: dict[str, dict[str, Gap]] = {}
    robustness: dict[str, PerturbedRecord] = {}
    reliability: list[ReliabilityBin] = []
    errors: dict[str, Any] = {}
    data_notes: list[str] = []
    audit: dict[str, Any] = {}
    training: dict[str, Any] = {}
    compression: dict[str, Any] = {}
    timings: dict[str, float | None] = {}
    environment: dict[str, Any] = {}
    warnings: list[str] = []
    gate: Gate | None = None
    config: dict[str, Any] = {}
    key: str | None = None  # a digest of all that the scores follow from, where one is known
    started: str = ""
    finished: str = ""

    @model_validator(mode="after")
    def knows_the_rows_of_its_split(self) -> Record:
        if self.split not in self.data:
            raise ValueError(f"data does not describe the split {self.split} of the scores")
        return self

    def to_json(self) -> str:
        """Strict JSON: what is not a finite number is null."""
        return strict_json(self.model_dump(mode="json"), indent=1) + "\n"


def read(directory: Path) -> Record:
    """The record of a run directory.

    Raises:
        UserError: there is none, it is damaged, or a newer nlpbench wrote it.
    """
    return _read(directory / RECORD, f"{directory} holds no {RECORD}, so no finished run")


def read_file(file: Path) -> Record:
    """The record in a file of any name.

    Raises:
        UserError: it cannot be read, it is damaged, or a newer nlpbench wrote it.
    """
    return _read(file, f"there is no record {file}")


def _read(file: Path, missing: str) -> Record:
    try:
        values = finite(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise UserError(missing) from error
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file} is damaged: {error}") from error
    version = values.get("schema_version") if isinstance(values, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise UserError(
            f"{file} has schema version {version}, and this nlpbench reads up to "
            f"{SCHEMA_VERSION}; install a newer one"
        )
    try:
        return Record.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise UserError(f"{file} is damaged: {place}: {first['msg']}") from error


def keep_gate(file: Path, gate: Gate) -> None:
    """Puts what a gate found into the record of a file; all else there stays as it is."""
    values = json.loads(file.read_text(encoding="utf-8"))
    values["gate"] = gate.model_dump(mode="json")
    write_text(file, strict_json(values, indent=1) + "\n")


def _half_way(directory: Path) -> bool:
    """Whether a directory was being written or replaced when a run was killed."""
    return directory.name.endswith((PARTIAL, REPLACED))


def find(directories: list[Path]) -> list[tuple[Path, Record]]:
    """The records in and below directories, each once, in the order of their paths.

    Raises:
        UserError: a directory that does not exist, or holds no record at any depth.
    """
    found: dict[Path, tuple[Path, Record]] = {}
    for directory in directories:
        if not directory.is_dir():
            raise UserError(f"there is no directory {directory}")
        files = [path for path in sorted(directory.rglob(RECORD)) if not _half_way(path.parent)]
        if not files:
            raise UserError(f"{directory} holds no finished run (no {RECORD} in or below it)")
        for place in (file.parent for file in files):
            if place.resolve() not in found:
                found[place.resolve()] = place, read(place)
    return list(found.values())
