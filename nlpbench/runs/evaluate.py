"""From fine-tuned models and data sets to predictions and records, one pair after the other."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from nlpbench.config import matrix
from nlpbench.config.errors import NlpbenchError, RunError, UserError
from nlpbench.config.matrix import MatrixCell
from nlpbench.config.run_config import RunConfig
from nlpbench.config.sections import ModelSection
from nlpbench.evaluation import processes
from nlpbench.evaluation.memory import free
from nlpbench.models import source as sources
from nlpbench.results import environment, files, run_directory
from nlpbench.results.record import RECORD, Record
from nlpbench.results.row import Failed
from nlpbench.runs import finished_cell, launch
from nlpbench.runs.cell_rows import CellRows
from nlpbench.runs.finished_cell import CellKeys
from nlpbench.runs.libraries import settle_libraries
from nlpbench.runs.material import Material
from nlpbench.runs.once import Once
from nlpbench.runs.scored_model import (
    OpenedModel,
    ScoredModel,
    open_model,
    score_opened,
    write_predictions,
)

logger = logging.getLogger("nlpbench")


@dataclass(frozen=True)
class Outcome:
    """What became of a cell: a record, or the error that ended it."""

    cell: MatrixCell
    directory: Path
    record: Record | None = None
    error: Exception | None = field(default=None, compare=False)

    @property
    def reason(self) -> str:
        """Why there is no record, in a line."""
        lines = [line.strip() for line in str(self.error).strip().splitlines()] or [""]
        if isinstance(self.error, NlpbenchError):
            return "; ".join(lines)
        return f"{type(self.error).__name__}: {lines[0]}"

    @property
    def row(self) -> Record | Failed:
        """What the cell is in a table."""
        config = self.cell.config
        return self.record or Failed(
            self.cell.model, self.cell.data, config.task.name, config.evaluation.split, self.reason
        )


def evaluate(config: RunConfig, output_dir: str | Path, models: Sequence[str] = ()) -> list[Record]:
    """Scores fine-tuned models on the split that `evaluation.split` names.

    Args:
        output_dir: of the record; with several models each has a directory in it.
        models: run directories, model directories, hub ids or pkg:// addresses; the config's
            own model unless told.

    Raises:
        UserError: a model or data that cannot be used, or the directory is taken.
        Exception: of several models, what ended the first that failed, once the others are done.
    """
    outcomes = evaluate_cells(cells_of(config, models), output_dir)
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error
    return [outcome.record for outcome in outcomes if outcome.record is not None]


def cells_of(config: RunConfig, models: Sequence[str]) -> list[MatrixCell]:
    """A cell for each of the models, or for the config's own.

    Raises:
        UserError: a model is named twice.
    """
    for number, name in enumerate(models):
        if name in models[:number]:
            raise UserError(f"the model {name} is named twice")
    sections = [ModelSection(name_or_path=name) for name in models] or [config.model]
    configs = [config.model_copy(update={"model": section}) for section in sections]
    return [matrix.to_score(cell) for cell in matrix.cells(configs)]


def evaluate_cells(cells: Sequence[MatrixCell], output_dir: str | Path) -> list[Outcome]:
    """Scores every model on every data set; a cell that fails does not stop the others.

    Cells that are finished in the directory are read back if their model, data and settings are
    what they were.

    In a process that a launcher started together with others, all of them call this: they share the
    work of predicting, the first one alone writes, and all return the same.

    Args:
        output_dir: of the record of a single cell; of several each has a directory in it.

    Returns:
        what became of each cell, in their order.

    Raises:
        UserError: a model that is not there, or the directory is taken; nothing was done then.
        Exception: what ended a cell that is the only one.
    """
    settle_libraries()
    launch.join(cells[0].config)
    directory = Path(output_dir)
    _check(cells, directory)
    rows = CellRows()
    keys = CellKeys(rows)
    outcomes = _read_back(cells, directory, keys)
    processes.barrier()  # all have looked before the first one writes
    if len(outcomes) < len(cells) > 1 and processes.is_first():
        run_directory.open_run(directory, matrix.resolved(cells))
    for model in dict.fromkeys(cell.model for cell in cells):
        left = [cell for cell in cells if cell.model == model and cell.place not in outcomes]
        for outcome in _evaluate_model(left, directory, rows, keys):
            outcomes[outcome.cell.place] = outcome
            if outcome.error is not None and len(cells) == 1:
                raise outcome.error
            if outcome.error is not None:
                _tell_failure(outcome)
    if all(outcome.error for outcome in outcomes.values()) and processes.is_first():
        run_directory.discard(directory)
    return [outcomes[cell.place] for cell in cells]


def next_directory(base: Path, cells: Sequence[MatrixCell]) -> Path:
    """`base`, or `base-2`, `base-3` …: the last one if these cells are unfinished there, or a new one."""
    taken = [base]
    while taken[-1].exists():
        taken.append(base.with_name(f"{base.name}-{len(taken) + 1}"))
    for place in reversed(taken[:-1]):
        if finished_cell.state(place, cells) == "unfinished":
            return place
    return taken[-1]


def open_cell(cell: MatrixCell) -> OpenedModel:
    """Loads the model of a cell.

    Raises:
        UserError: it cannot be used.
    """
    section = cell.config.model
    if section.name_or_path is None:
        raise UserError("model.config describes an untrained model; name one with --model")
    return open_model(cell.config, section.address, section.revision)


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """0 if every cell has its record, 2 if all that failed is the user's mistake, else 3."""
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    if not errors:
        return 0
    mistaken = all(isinstance(error, UserError) for error in errors)
    return UserError.exit_code if mistaken else RunError.exit_code


def _check(cells: Sequence[MatrixCell], directory: Path) -> None:
    """Raises UserError, with all that is wrong, unless every model is there and the place is free."""
    wrong: list[str] = []
    models = {cell.model: cell.config.model for cell in cells}
    for section in models.values():
        try:
            if section.name_or_path is None:
                raise UserError("model.config describes an untrained model; name one with --model")
            sources.check(section.address, section.revision)
        except UserError as error:
            wrong.append(str(error))
    try:
        finished_cell.check_free(directory, cells)
    except UserError as error:
        wrong.append(str(error))
    if wrong:
        raise UserError("\n".join(wrong))


def _read_back(cells: Sequence[MatrixCell], directory: Path, keys: CellKeys) -> dict[str, Outcome]:
    """The finished cells whose results still hold, by their places."""
    found = {}
    for cell in cells:
        record = finished_cell.read(directory / cell.place, cell, keys)
        if record is not None:
            found[cell.place] = Outcome(cell, directory / cell.place, record)
    if found:
        verb = "is" if len(found) == 1 else "are"
        logger.info("%d of %d cells %s there already", len(found), len(cells), verb)
    return found


def _evaluate_model(
    cells: Sequence[MatrixCell], directory: Path, rows: CellRows, keys: CellKeys
) -> Iterator[Outcome]:
    """Scores one model on each of its data sets; it is loaded once."""
    if not cells:
        return
    model = Once(partial(open_cell, cells[0]))
    for cell in cells:
        place = directory / cell.place
        logger.info("%s on %s", cell.model, cell.data)
        try:
            outcome = Outcome(cell, place, _evaluate_cell(cell, place, model, rows, keys))
        except Exception as error:
            # Of several processes, the others wait for this one, unless it is a mistake that all
            # of them come upon.
            if processes.count() > 1 and not isinstance(error, UserError):
                raise
            outcome = Outcome(cell, place, error=error)
        yield outcome
    del model
    free()


def _evaluate_cell(
    cell: MatrixCell, place: Path, model: Once[OpenedModel], rows: CellRows, keys: CellKeys
) -> Record:
    started, clock = datetime.now(UTC), time.perf_counter()

    def material() -> Material:
        rows.load(cell)  # before the model, which takes longer
        return rows.material(cell, model())

    found = processes.everywhere(material)
    key = keys.of(cell)
    scored = score_opened(cell.config, model(), found, shared=processes.count() > 1)
    record = _record(cell, place, scored, key, started, clock)
    if processes.is_first():
        _write(cell.config, place, scored, record)
    return record


def _tell_failure(outcome: Outcome) -> None:
    """Logs why a cell failed; what it held in memory is let go for those that follow."""
    cell, error = outcome.cell, outcome.error
    if not launch.launched():  # else the process that launched this one comes upon it again
        logger.error("%s on %s: %s", cell.model, cell.data, outcome.reason)
    if error is not None and not isinstance(error, NlpbenchError):
        logger.debug("%s", "".join(traceback.format_exception(error)))
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    free()


def _record(
    cell: MatrixCell,
    place: Path,
    scored: ScoredModel,
    key: str,
    started: datetime,
    clock: float,
) -> Record:
    config = cell.config
    return Record(
        command="evaluate",
        name=cell.place or place.name,
        key=key,
        model=scored.model,
        task=config.task.name,
        labels=scored.material.labels,
        split=config.evaluation.split,
        seed=config.seed,
        scores=scored.scores,
        slices=scored.slices,
        gaps=scored.gaps,
        robustness=scored.robustness,
        efficiency=scored.efficiency,
        reliability=scored.reliability,
        errors=scored.errors,
        interval=scored.interval,
        data={config.evaluation.split: scored.split},
        data_notes=scored.material.data.notes,
        audit=scored.material.audit.to_json(),
        timings={"total_seconds": time.perf_counter() - clock, "predict_seconds": scored.seconds},
        environment=environment.describe(),
        warnings=[*scored.material.audit.warnings, *scored.warnings],
        config=config.resolved(),
        started=started.isoformat(timespec="seconds"),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _write(config: RunConfig, place: Path, scored: ScoredModel, record: Record) -> None:
    """Leaves a run directory; one that was finished before is replaced as a whole."""
    if (place / RECORD).exists():
        with files.new_directory(place.absolute()) as directory:
            _fill(config, directory, scored, record)
    else:
        _fill(config, place, scored, record)


def _fill(config: RunConfig, directory: Path, scored: ScoredModel, record: Record) -> None:
    run_directory.open_run(directory, config.resolved())
    write_predictions(directory, scored)
    files.write_text(directory / RECORD, record.to_json())
