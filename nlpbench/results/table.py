"""Records to the rows and columns of a table."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from nlpbench.config.costs import COSTS, MORE_IS_BETTER
from nlpbench.config.errors import UserError
from nlpbench.config.problems import suggest
from nlpbench.results import notes as notes_on
from nlpbench.results.cell import FACTS, OF_SLICES, OTHERS, Cell, Row, is_infinite, is_number
from nlpbench.results.hardware import Hardware
from nlpbench.results.record import Record
from nlpbench.results.row import Failed, headline, of_failure, of_record
from nlpbench.results.seed_mean import mean, same_but_for_the_seed

__all__ = ["Cell", "Failed", "Row", "Table", "build"]

SHOWN_COSTS = ("parameters", "size_mb", "latency_ms_p50", "examples_per_second", "peak_memory_mb")
BEST = "bold: best, and better than the second at p < 0.05 (paired test)"

Named = tuple[str, Record | Failed]


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
    significant_best: Collection[tuple[int, str]] = (),
) -> Table:
    """The table of records, each with the name of its row.

    Args:
        named: records, and runs that failed, which have a row with their reason in a note.
        columns: keys to show, in this order; facts, all scores and the main costs unless told.
        sort: a column; scores and throughput best first, the rest smallest first, `-` turns it
            round. Rows without a value come last.
        significant_best: by the number of the record and the key of a score, which values are the
            best on their data, and better than the second best by a paired test.

    Raises:
        UserError: a column that no record has.
    """
    records = [record for _, record in named if isinstance(record, Record)]
    directions = {
        key: score.higher_is_better for record in records for key, score in record.scores.items()
    }
    scores = list(directions)
    known = [*FACTS, *scores, *OF_SLICES, *COSTS, *OTHERS]
    by = sort.removeprefix("-") if sort else None
    for key in [*(columns or ()), *([by] if by else ())]:
        if key not in known:
            raise UserError(f"no record has the column {key}  {suggest(key, known)}")

    hardware = Hardware(records)
    rows: list[Row] = []
    for number, (name, record) in enumerate(named):
        if isinstance(record, Failed):
            rows.append(of_failure(name, record, known, scores))
        else:
            best = [key for place, key in significant_best if place == number]
            rows.append(of_record(name, record, known, hardware.mark(record), best))
    rows, seeds, notes = _with_means(named, rows, scores)
    if sort and by:
        ascending = _smallest_first(by, records, directions)
        rows = _sorted(rows, by, ascending == sort.startswith("-"))

    shown = list(dict.fromkeys(columns)) if columns else _worth_showing(rows, scores, by)
    shown_scores = [key for key in scores if key in shown]
    failed = [(name, record) for name, record in named if isinstance(record, Failed)]
    notes = [
        *notes_on.of_failures(failed, shown),
        *notes_on.of_scores(records, shown_scores, directions),
        *notes_on.of_slices(records, shown),
        *notes_on.of_costs(hardware, shown, by),
        *notes_on.of_data(records, shown_scores, shown),
        *notes,
        *_notes_on_cells(rows, shown, seeds),
    ]
    return Table(shown, rows, shown_scores, notes, by)


def _with_means(
    named: Sequence[Named], rows: Sequence[Row], scores: Sequence[str]
) -> tuple[list[Row], list[int], list[str]]:
    """The rows with those of means below them, over how many seeds, and why some runs have none."""
    found: list[Row] = []
    counts: list[int] = []
    notes: list[str] = []
    for group in same_but_for_the_seed(named):
        of_group = [rows[number] for number in group]
        found += of_group
        seeds = {row["seed"].value for row in of_group}
        if 1 < len(seeds) == len(group):
            found.append(mean(of_group, scores))
            counts.append(len(seeds))
        elif len(seeds) > 1:
            names = ", ".join(named[number][0] for number in group)
            notes.append(f"no mean over the seeds of {names}: a seed ran twice")
    return found, counts, notes


def _smallest_first(by: str, records: Sequence[Record], directions: dict[str, bool]) -> bool:
    if by == "worst_slice":
        by = next((key for record in records if (key := headline(record))), by)
    return not directions.get(by, by in MORE_IS_BETTER)


def _sorted(rows: Sequence[Row], by: str, descending: bool) -> list[Row]:
    def rank(row: Row) -> tuple[bool, Any]:
        value = row[by].value
        ranked = is_number(value) or is_infinite(value)
        return (False, value) if ranked else (True, str(value))

    known = [row for row in rows if row[by].value is not None]
    unknown = [row for row in rows if row[by].value is None]
    return sorted(known, key=rank, reverse=descending) + unknown


def _worth_showing(rows: Sequence[Row], scores: Sequence[str], by: str | None) -> list[str]:
    """Facts that tell rows apart, all scores, and the slices and costs that some row has."""
    several = {
        key: len({str(row[key].value) for row in rows}) > 1 for key in ("model", "data", "task")
    }
    several["model"] &= any(row["model"].value != row["run"].value for row in rows)
    shown = ["run", *(key for key in several if several[key]), "split", "rows", *scores]
    shown += [
        key
        for key in (*OF_SLICES, *SHOWN_COSTS)
        if any(row[key].value is not None for row in rows) or key == by
    ]
    return shown if by is None or by in shown else [*shown, by]


def _notes_on_cells(rows: Sequence[Row], shown: Sequence[str], seeds: Sequence[int]) -> list[str]:
    """What the signs in the cells mean."""
    cells = [row[key] for row in rows for key in shown]
    notes = []
    if any(cell.deviation is not None for cell in cells):
        counts = " or ".join(map(str, sorted(set(seeds))))
        notes.append(f"± is the sample standard deviation over {counts} seeds")
    if any(cell.best for cell in cells):
        notes.append(BEST)
    return notes
