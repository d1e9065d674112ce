"""Cells of an evaluation that are there already: which they are, and whether they still hold."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path

from nlpbench.config import matrix
from nlpbench.config.errors import UserError
from nlpbench.config.matrix import MatrixCell
from nlpbench.models.content import content_digest
from nlpbench.results import record as records
from nlpbench.results import run_directory
from nlpbench.results.record import Record
from nlpbench.results.run_directory import State
from nlpbench.runs.cell_rows import CellRows
from nlpbench.runs.once import Once

logger = logging.getLogger("nlpbench")


def state(directory: Path, cells: Sequence[MatrixCell]) -> State:
    """What a directory is to an evaluation of these cells; finished, if all of them are."""
    found = run_directory.state_of(directory, matrix.resolved(cells))
    if len(cells) == 1 or found != "unfinished":
        return found
    each = [
        run_directory.state_of(directory / cell.place, cell.config.resolved()) for cell in cells
    ]
    return "finished" if all(one == "finished" for one in each) else "unfinished"


def check_free(directory: Path, cells: Sequence[MatrixCell]) -> None:
    """Raises UserError unless the cells may be evaluated into the directory, or again there."""
    places = [(directory, matrix.resolved(cells))]
    if len(cells) > 1:
        places += [(directory / cell.place, cell.config.resolved()) for cell in cells]
    for place, config in places:
        found = run_directory.state_of(place, config)
        if found != "finished":
            run_directory.check_free(place, config, resume=found == "unfinished")


def read(directory: Path, cell: MatrixCell, keys: CellKeys) -> Record | None:
    """The record of a cell, if it is finished, and its model, data and settings are the same."""
    if run_directory.state_of(directory, cell.config.resolved()) != "finished":
        return None
    try:
        record = records.read(directory)
        changed = _changed(record, cell, keys)
    except UserError as error:
        logger.warning("%s on %s is scored again: %s", cell.model, cell.data, error)
        return None
    if changed:
        logger.info("%s on %s is scored again: %s", cell.model, cell.data, changed)
        return None
    return record


class CellKeys:
    """What the scores of cells follow from, in one word each; models and rows are read once."""

    def __init__(self, rows: CellRows) -> None:
        self._rows = rows
        self._models: dict[str, Once[str]] = {}
        self._data: dict[str, Once[list[str]]] = {}

    def of(self, cell: MatrixCell) -> str:
        """`sha256:…` over all that the scores of a cell follow from.

        The content of the model and of the data, the options of task and evaluation, the seed, and
        the version of nlpbench; not where any of them lie, and not the hardware.

        Raises:
            UserError: a model or data that cannot be read.
        """
        resolved, model = cell.config.resolved(), cell.config.model
        digest = Once(partial(content_digest, model.address, model.revision))
        parts = {
            "model": self._models.setdefault(cell.model, digest)(),
            "data": self._data.setdefault(cell.data, Once(partial(self._content, cell)))(),
            "task": resolved["task"],
            "evaluation": resolved["evaluation"],
            "seed": cell.config.seed,
            "nlpbench": version("nlpbench"),
        }
        text = json.dumps(parts, sort_keys=True)
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"

    def fingerprint(self, cell: MatrixCell) -> str:
        """Of the scored rows as the task reads them."""
        return self._rows.load(cell).splits[cell.config.evaluation.split].fingerprint

    def _content(self, cell: MatrixCell) -> list[str]:
        """The rows as the task reads them, and the columns that only the evaluation reads."""
        from nlpbench.data.fingerprint import fingerprint

        split = self._rows.load(cell).splits[cell.config.evaluation.split]
        beside = {*cell.config.columns_beside, *([split.id_column] if split.id_column else [])}
        return [split.fingerprint, fingerprint(split.rows, sorted(beside))]


def _changed(record: Record, cell: MatrixCell, keys: CellKeys) -> str:
    """Why a record no longer holds; empty if it does.

    Raises:
        UserError: as `CellKeys.of`.
    """
    if record.key == keys.of(cell):
        return ""
    if record.data[record.split].fingerprint != keys.fingerprint(cell):
        return "its data changed"
    if record.environment.get("packages", {}).get("nlpbench") != version("nlpbench"):
        return "another version of nlpbench scored it"
    return "its model, or what its data has beside, changed"
