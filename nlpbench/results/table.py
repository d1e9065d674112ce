"""Records to the rows and columns of a table."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nlpbench.config.errors import UserError
from nlpbench.config.problems import suggest
from nlpbench.results.record import Record
from nlpbench.results.run_directory import identity

FACTS = ("run", "model", "task", "split", "rows", "seed")
COSTS = (
    "parameters",
    "non_embedding_parameters",
    "size_mb",
    "latency_ms_p50",
    "latency_ms_p95",
    "examples_per_second",
    "tokens_per_second",
    "peak_memory_mb",
)
OTHERS = ("device", "threads", "train_seconds", "padded_share", "truncated_share", "finished")
SHOWN_FACTS = ("run", "split", "rows")
SHOWN_COSTS = ("parameters", "size_mb", "latency_ms_p50", "examples_per_second", "peak_memory_mb")


@dataclass(frozen=True)
class Cell:
    """A value with its interval or, in a row over seeds, its standard deviation."""

    value: Any
    low: float | None = None
    high: float | None = None
    deviation: float | None = None


@dataclass(frozen=True)
class Table:
    """Columns in their order, one mapping a row, and what a reader must know besides."""

    columns: list[str]
    rows: list[dict[str, Cell]]
    scores: list[str]
    notes: list[str]


def build(
    named: Sequence[tuple[str, Record]],
    columns: Sequence[str] | None = None,
    sort: str | None = None,
) -> Table:
    """The table of records, each with the name of its row.

    Args:
        columns: keys to show, in this order; facts, all scores and the main costs unless told.
        sort: a column; scores best first, costs and the rest smallest first, `-` turns it round.

    Raises:
        UserError: a column that no record has.
    """
    scores = list(dict.fromkeys(key for _, record in named for key in record.scores))
    known = [*FACTS, *scores, *COSTS, *OTHERS]
    shown = list(columns) if columns else [*SHOWN_FACTS, *scores, *SHOWN_COSTS]
    for key in [*shown, *([sort.lstrip("-")] if sort else [])]:
        if key not in known:
            raise UserError(f"no record has the column {key}  {suggest(key, known)}")
    rows = [_row(name, record) for name, record in named]
    rows += _over_seeds(named, scores)
    if sort:
        rows = _sorted(rows, sort, {k: s for _, r in named for k, s in r.scores.items()})
    if not columns:
        shown = [key for key in shown if any(row[key].value is not None for row in rows)]
    return Table(shown, rows, scores, _notes(named, scores))


def _row(name: str, record: Record) -> dict[str, Cell]:
    split = record.data[record.split]
    cells = {
        "run": Cell(name),
        "model": Cell(record.model.get("name")),
        "task": Cell(record.task),
        "split": Cell(record.split),
        "rows": Cell(split.rows),
        "seed": Cell(record.seed),
        "device": Cell(record.efficiency.get("device")),
        "threads": Cell(record.efficiency.get("threads")),
        "train_seconds": Cell(record.training.get("seconds")),
        "padded_share": Cell(record.training.get("padded_share")),
        "truncated_share": Cell(split.truncated_share),
        "finished": Cell(record.finished),
    }
    cells |= {key: Cell(record.efficiency.get(key)) for key in COSTS}
    cells |= {key: Cell(one.value, one.low, one.high) for key, one in record.scores.items()}
    return _Defaulting(cells)


def _over_seeds(named: Sequence[tuple[str, Record]], scores: list[str]) -> list[dict[str, Cell]]:
    """One row of mean and sample standard deviation for each config that ran with several seeds."""
    groups: dict[str, list[tuple[str, Record]]] = {}
    for name, record in named:
        config = {key: value for key, value in record.config.items() if key != "seed"}
        groups.setdefault(identity(config) + record.split, []).append((name, record))
    rows = []
    for group in groups.values():
        seeds = {record.seed for _, record in group}
        if len(seeds) < 2 or len(seeds) < len(group):
            continue
        first = group[0][1]
        cells = {
            "run": Cell(f"mean of {len(seeds)} seeds"),
            "model": Cell(first.model.get("name")),
            "task": Cell(first.task),
            "split": Cell(first.split),
            "rows": Cell(first.data[first.split].rows),
        }
        for key in [*scores, *COSTS]:
            found = [_row(name, record)[key].value for name, record in group]
            if all(isinstance(value, int | float) for value in found):
                deviation = statistics.stdev(found)
                cells[key] = Cell(statistics.fmean(found), deviation=deviation)
        rows.append(_Defaulting(cells))
    return rows


class _Defaulting(dict[str, Cell]):
    def __missing__(self, key: str) -> Cell:
        return Cell(None)


def _sorted(
    rows: list[dict[str, Cell]], sort: str, scores: dict[str, Any]
) -> list[dict[str, Cell]]:
    key = sort.lstrip("-")
    reverse = (key in scores and scores[key].higher_is_better) != sort.startswith("-")
    known = [row for row in rows if row[key].value is not None]
    unknown = [row for row in rows if row[key].value is None]
    return sorted(known, key=lambda row: row[key].value, reverse=reverse) + unknown


def _notes(named: Sequence[tuple[str, Record]], scores: list[str]) -> list[str]:
    notes = []
    intervals = {
        f"{record.interval.get('confidence', 0) * 100:g} % bootstrap intervals over examples, "
        f"{record.interval.get('resamples')} resamples"
        for _, record in named
        if record.interval
    }
    notes += sorted(intervals)
    for key in scores:
        signatures = {record.scores[key].signature for _, record in named if key in record.scores}
        if len(signatures) > 1:
            told = " and ".join(sorted(signatures))
            notes.append(f"{key} is not the same metric in all rows: {told}")
    places = {(r.efficiency.get("device"), r.efficiency.get("threads")) for _, r in named}
    places = {place for place in places if place[0] is not None}
    if len(places) > 1:
        notes.append("costs were measured on different hardware; do not compare them")
    for device, threads in sorted(places, key=str) if len(places) == 1 else []:
        notes.append(f"costs measured on {device}, {threads} threads")
    prints = {
        (record.split, record.data[record.split].fingerprint)
        for _, record in named
        if record.split in record.data
    }
    if len(prints) > 1:
        notes.append("rows were scored on different data; do not compare them")
    return notes


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
