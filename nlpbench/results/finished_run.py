"""A run that is done: its record, and the directory where its predictions lie beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydantic import ValidationError

from nlpbench.config.errors import UserError
from nlpbench.config.problems import dotted, flatten
from nlpbench.config.run_config import RunConfig
from nlpbench.results import record as records
from nlpbench.results.record import Record
from nlpbench.results.run_directory import PREDICTIONS


@dataclass(frozen=True)
class FinishedRun:
    """A record with the name that tables give it, and the file that it was read from."""

    name: str
    file: Path
    record: Record

    @property
    def predictions(self) -> Path:
        return self.file.parent / PREDICTIONS

    @cached_property
    def config(self) -> RunConfig:
        """
        Raises:
            UserError: a record whose config this nlpbench cannot read.
        """
        try:
            return RunConfig.model_validate(self.record.config)
        except ValidationError as error:
            problem = flatten(error, RunConfig.model_fields)[0]
            told = " ".join(filter(None, (dotted(problem.path), problem.message)))
            raise UserError(f"the config in {self.file} cannot be used: {told}") from error

    @cached_property
    def confidence(self) -> float:
        return self.config.evaluation.confidence


def find(places: Sequence[Path]) -> list[FinishedRun]:
    """The runs in and below directories, or of record files, each once.

    Raises:
        UserError: a place that does not exist or holds no record, or a record that is damaged.
    """
    found: dict[Path, FinishedRun] = {}
    for place in places:
        if place.is_file():
            read = [(place, records.read_file(place))]
        else:
            read = [(path / records.RECORD, record) for path, record in records.find([place])]
        for file, record in read:
            found.setdefault(file.resolve(), FinishedRun(record.name, file, record))
    return list(found.values())
