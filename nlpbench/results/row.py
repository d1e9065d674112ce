"""One run as a row of a table."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from nlpbench.config.costs import MEASURED_COSTS, STATIC_COSTS
from nlpbench.config.sections import data_label
from nlpbench.results.cell import Cell, Row
from nlpbench.results.record import Record, Score


@dataclass(frozen=True)
class Failed:
    """A run that left no record.

    Attributes:
        reason: in a line.
    """

    model: str
    data: str
    task: str
    split: str
    reason: str


def of_record(
    name: str, record: Record, known: Sequence[str], mark: str = "", best: Collection[str] = ()
) -> Row:
    """
    Args:
        known: the keys of the row.
        mark: of the hardware that its costs were measured on.
        best: the scores that are the best of their columns.
    """
    split = record.data[record.split]
    cells = dict.fromkeys(known, Cell())
    cells |= {
        "run": Cell(name),
        "model": Cell(record.model.get("name")),
        "data": Cell(data_of(record)),
        "task": Cell(record.task),
        "split": Cell(record.split),
        "rows": Cell(split.rows),
        "seed": Cell(record.seed),
        "device": Cell(record.efficiency.get("device")),
        "threads": Cell(record.efficiency.get("threads")),
        "train_seconds": Cell(record.training.get("seconds")),
        "padded_share": Cell(record.training.get("padded_share")),
        "truncated_share": Cell(split.truncated_share),
        "finished": Cell(record.finished or None),
        "worst_slice": _worst_slice(record),
        "slice_gap": _slice_gap(record),
    }
    cells |= {key: Cell(record.efficiency.get(key)) for key in STATIC_COSTS}
    cells |= {key: Cell(record.efficiency.get(key), mark=mark) for key in MEASURED_COSTS}
    cells |= {
        key: Cell(score.value, score.low, score.high, best=key in best)
        for key, score in record.scores.items()
    }
    return cells


def of_failure(name: str, failed: Failed, known: Sequence[str], scores: Sequence[str]) -> Row:
    """The row of a run without a record; `scores` are those that it should have had."""
    return {
        **dict.fromkeys(known, Cell()),
        **dict.fromkeys(scores, Cell(instead="failed")),
        "run": Cell(name),
        "model": Cell(failed.model),
        "data": Cell(failed.data),
        "task": Cell(failed.task),
        "split": Cell(failed.split),
    }


def data_of(record: Record) -> str | None:
    """What a table calls the data of a run; None where its record does not tell."""
    data = record.config.get("data")
    return data_label(data, record.split) if isinstance(data, dict) else None


def headline(record: Record) -> str | None:
    """The first score of a record."""
    return next(iter(record.scores), None)


def _worst_slice(record: Record) -> Cell:
    """The slice with the worst headline score, of those that have one."""
    key = headline(record)
    found = {
        name: score
        for name, part in record.slices.items()
        if key in part.scores and (score := part.scores[key]).value is not None
    }
    if not found:
        return Cell()

    def badness(item: tuple[str, Score]) -> float:
        value = item[1].value or 0.0
        return value if item[1].higher_is_better else -value

    name, score = min(found.items(), key=badness)
    return Cell(score.value, score.low, score.high, of=name)


def _slice_gap(record: Record) -> Cell:
    """The largest gap of the headline score between slices of one slicing."""
    key = headline(record)
    gaps = {
        slicing: gap
        for slicing, by_score in record.gaps.items()
        if key in by_score and (gap := by_score[key]).value is not None
    }
    if not gaps:
        return Cell()
    slicing, gap = max(gaps.items(), key=lambda item: item[1].value or 0.0)
    return Cell(gap.value, gap.low, gap.high, of=slicing)
