"""Records to the rows and columns of a table."""

from __future__ import annotations

import math
import os
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from nlpbench.config.errors import UserError
from nlpbench.config.problems import suggest
from nlpbench.results.record import Record
from nlpbench.results.run_directory import identity

FACTS = ("run", "model", "task", "split", "rows", "seed")
STATIC_COSTS = ("parameters", "non_embedding_parameters", "size_mb")
MEASURED_COSTS = (
    "latency_ms_p50",
    "latency_ms_p95",
    "examples_per_second",
    "tokens_per_second",
    "peak_memory_mb",
)
COSTS = (*STATIC_COSTS, *MEASURED_COSTS)
MORE_IS_BETTER = ("examples_per_second", "tokens_per_second")
OTHERS = ("device", "threads", "train_seconds", "padded_share", "truncated_share", "finished")
AVERAGED = (*COSTS, "train_seconds", "padded_share", "truncated_share")
SHOWN_COSTS = ("parameters", "size_mb", "latency_ms_p50", "examples_per_second", "peak_memory_mb")
NUMBERED = re.compile(r"[/_.\s-]*(seed)?[/_.\s-]*\d*$")

Named = tuple[str, Record]


@dataclass(frozen=True)
class Cell:
    """A value with its interval or, in a row over seeds, its sample standard deviation."""

    value: Any = None
    low: float | None = None
    high: float | None = None
    deviation: float | None = None


Row = dict[str, Cell]


@dataclass(frozen=True)
class Table:
    """Columns in their order, one mapping a row, and what a reader must know besides."""

    columns: list[str]
    rows: list[Row]
    scores: list[str]
    notes: list[str]
    sorted_by: str | None = None


def build(
    named: Sequence[Named],
    columns: Sequence[str] | None = None,
    sort: str | None = None,
) -> Table:
    """The table of records, each with the name of its row.

    Args:
        columns: keys to show, in this order; facts, all scores and the main costs unless told.
        sort: a column; scores and throughput best first, the rest smallest first, `-` turns it
            round. Rows without a value come last.

    Raises:
        UserError: a column that no record has.
    """
    directions = {
        key: score.higher_is_better for _, record in named for key, score in record.scores.items()
    }
    scores = list(directions)
    known = [*FACTS, *scores, *COSTS, *OTHERS]
    by = sort.removeprefix("-") if sort else None
    for key in [*(columns or ()), *([by] if by else ())]:
        if key not in known:
            raise UserError(f"no record has the column {key}  {suggest(key, known)}")

    rows: list[Row] = []
    notes: list[str] = []
    for group in _same_but_for_the_seed(named):
        rows += [_row(name, record, known) for name, record in group]
        seeds = {record.seed for _, record in group}
        if 1 < len(seeds) == len(group):
            rows.append(_mean(group, rows[-len(group) :], scores, known))
        elif len(seeds) > 1:
            names = ", ".join(name for name, _ in group)
            notes.append(f"no mean over the seeds of {names}: a seed ran twice")
    if sort and by:
        descending = directions.get(by, by in MORE_IS_BETTER)
        rows = _sorted(rows, by, descending != sort.startswith("-"))

    shown = list(dict.fromkeys(columns)) if columns else _worth_showing(rows, scores, by)
    shown_scores = [key for key in scores if key in shown]
    notes = [*_notes(named, shown, shown_scores, directions), *notes]
    if any(row[key].deviation is not None for row in rows for key in shown):
        notes.append("± is the sample standard deviation over seeds")
    return Table(shown, rows, shown_scores, notes, by)


def is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_infinite(value: Any) -> TypeGuard[float]:
    return isinstance(value, float) and math.isinf(value)


def _row(name: str, record: Record, known: Sequence[str]) -> Row:
    split = record.data[record.split]
    cells = dict.fromkeys(known, Cell())
    cells |= {
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
        "finished": Cell(record.finished or None),
    }
    cells |= {key: Cell(record.efficiency.get(key)) for key in COSTS}
    cells |= {key: Cell(score.value, score.low, score.high) for key, score in record.scores.items()}
    return cells


def _same_but_for_the_seed(named: Sequence[Named]) -> list[list[Named]]:
    """Runs of one config on the same rows stand together, where the first of them stood."""
    groups: dict[Any, list[Named]] = {}
    for number, (name, record) in enumerate(named):
        config = {key: value for key, value in record.config.items() if key != "seed"}
        fingerprint = record.data[record.split].fingerprint
        # An evaluation's seed changes no weights, so that a mean over it would mean nothing.
        alone = not config or record.command == "evaluate"
        key = number if alone else (identity(config), record.split, fingerprint)
        groups.setdefault(key, []).append((name, record))
    return list(groups.values())


def _mean(
    group: Sequence[Named], rows: Sequence[Row], scores: Sequence[str], known: Sequence[str]
) -> Row:
    """Mean and sample standard deviation of scores and costs; facts where all agree on them."""
    shared = os.path.commonprefix([name for name, _ in group])  # noqa: RUF071 - of any names
    base = NUMBERED.sub("", shared)
    over = f"mean of {len(group)} seeds"
    cells = {}
    for key in known:
        values = [row[key].value for row in rows]
        if key not in scores and all(value == values[0] for value in values):
            cells[key] = Cell(values[0])
        elif (key in scores or key in AVERAGED) and all(map(is_number, values)):
            cells[key] = Cell(statistics.fmean(values), deviation=statistics.stdev(values))
        elif key in scores and math.inf in values and None not in values:
            cells[key] = Cell(math.inf)
        else:
            cells[key] = Cell()
    return cells | {"run": Cell(f"{base} ({over})" if base else over)}


def _sorted(rows: Sequence[Row], by: str, descending: bool) -> list[Row]:
    def rank(row: Row) -> tuple[bool, Any]:
        value = row[by].value
        ranked = is_number(value) or is_infinite(value)
        return (False, value) if ranked else (True, str(value))

    known = [row for row in rows if row[by].value is not None]
    unknown = [row for row in rows if row[by].value is None]
    return sorted(known, key=rank, reverse=descending) + unknown


def _worth_showing(rows: Sequence[Row], scores: Sequence[str], by: str | None) -> list[str]:
    """Facts that tell rows apart, all scores, and the costs that some row has."""
    several = {key: len({str(row[key].value) for row in rows}) > 1 for key in ("model", "task")}
    several["model"] &= any(row["model"].value != row["run"].value for row in rows)
    shown = ["run", *(key for key in several if several[key]), "split", "rows", *scores]
    shown += [
        key for key in SHOWN_COSTS if any(row[key].value is not None for row in rows) or key == by
    ]
    return shown if by is None or by in shown else [*shown, by]


def _notes(
    named: Sequence[Named],
    shown: Sequence[str],
    scores: Sequence[str],
    directions: dict[str, bool],
) -> list[str]:
    notes = []
    records = [record for _, record in named]
    if scores:
        intervals = sorted({_told(record.interval) for record in records if record.interval})
        notes += intervals[:1] if len(intervals) == 1 else []
        if len(intervals) > 1:
            notes.append(f"intervals are not alike in all rows: {'; '.join(intervals)}")
        lower = [key for key in scores if not directions[key]]
        if lower:
            notes.append(f"lower is better: {', '.join(lower)}")
    for key in scores:
        signatures = {record.scores[key].signature for record in records if key in record.scores}
        if len(signatures) > 1:
            told = " and ".join(sorted(signatures))
            notes.append(f"{key} is not the same metric in all rows: {told}")
    if any(key in MEASURED_COSTS for key in shown):
        places = {
            (str(record.efficiency["device"]), str(record.efficiency.get("threads") or ""))
            for record in records
            if record.efficiency.get("device") is not None
        }
        if len(places) > 1:
            notes.append("costs were measured on different hardware; do not compare them")
        elif places:
            device, threads = places.pop()
            plural = "" if threads == "1" else "s"
            notes.append(f"costs measured on {device}{threads and f', {threads} thread{plural}'}")
    fingerprints = {(record.split, record.data[record.split].fingerprint) for record in records}
    if scores and len(fingerprints) > 1:
        notes.append("rows were scored on different data; do not compare them")
    return notes


def _told(interval: dict[str, Any]) -> str:
    confidence, resamples = interval.get("confidence"), interval.get("resamples")
    share = f"{confidence * 100:g} % intervals" if is_number(confidence) else "intervals"
    method = str(interval.get("method", "bootstrap over examples"))
    return f"{share}: {method}" + (f", {resamples} resamples" if resamples else "")
