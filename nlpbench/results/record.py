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
from nlpbench.results.files import finite, spelled_if_infinite, strict_json

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


class Record(Part):
    """Everything a reader needs to trust, repeat and compare a run.

    `scores` are those of `split`; `efficiency` holds the costs with units in their names.
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
    data_notes: list[str] = []
    audit: dict[str, Any] = {}
    training: dict[str, Any] = {}
    timings: dict[str, float | None] = {}
    environment: dict[str, Any] = {}
    warnings: list[str] = []
    config: dict[str, Any] = {}
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
    file = directory / RECORD
    try:
        values = finite(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise UserError(f"{directory} holds no {RECORD}, so no finished run") from error
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


def find(directories: list[Path]) -> list[tuple[Path, Record]]:
    """The records in and below directories, each once, in the order of their paths.

    Raises:
        UserError: a directory that does not exist, or holds no record at any depth.
    """
    found: dict[Path, tuple[Path, Record]] = {}
    for directory in directories:
        if not directory.is_dir():
            raise UserError(f"there is no directory {directory}")
        files = sorted(directory.rglob(RECORD))
        if not files:
            raise UserError(f"{directory} holds no finished run (no {RECORD} in or below it)")
        for place in (file.parent for file in files):
            if place.resolve() not in found:
                found[place.resolve()] = place, read(place)
    return list(found.values())
