"""Runs of one config that differ by their seed, and the row of their mean."""

from __future__ import annotations

import math
import os
import re
import statistics
from collections.abc import Sequence
from typing import Any

from nlpbench.config.costs import MEASURED_COSTS
from nlpbench.results.cell import AVERAGED, Cell, Row, is_number
from nlpbench.results.record import Record
from nlpbench.results.row import Failed
from nlpbench.results.run_directory import identity

NUMBERED = re.compile(r"[/_.\s-]*(seed)?[/_.\s-]*\d*$")


def same_but_for_the_seed(named: Sequence[tuple[str, Record | Failed]]) -> list[list[int]]:
    """The numbers of runs of one config on the same rows, together where the first of them stood."""
    groups: dict[Any, list[int]] = {}
    for number, (_, record) in enumerate(named):
        key: Any = number
        # An evaluation's seed changes no weights, so that a mean over it would mean nothing.
        if isinstance(record, Record) and record.config and record.command != "evaluate":
            config = {key: value for key, value in record.config.items() if key != "seed"}
            fingerprint = record.data[record.split].fingerprint
            key = identity(config), record.split, fingerprint
        groups.setdefault(key, []).append(number)
    return list(groups.values())


def mean(rows: Sequence[Row], scores: Sequence[str]) -> Row:
    """Mean and sample standard deviation of scores and costs; facts where all agree on them.

    Costs that were measured on different hardware have no mean.
    """
    shared = os.path.commonprefix([row["run"].value for row in rows])  # noqa: RUF071 - of any names
    base = NUMBERED.sub("", shared)
    over = f"mean of {len(rows)} seeds"
    cells = {}
    for key in rows[0]:
        values = [row[key].value for row in rows]
        marks = {row[key].mark for row in rows}
        if key in MEASURED_COSTS and len(marks) > 1:
            cells[key] = Cell()
        elif key not in scores and all(value == values[0] for value in values):
            cells[key] = Cell(values[0], mark=marks.pop())
        elif (key in scores or key in AVERAGED) and all(map(is_number, values)):
            deviation = statistics.stdev(values)
            cells[key] = Cell(statistics.fmean(values), deviation=deviation, mark=marks.pop())
        elif key in scores and math.inf in values and None not in values:
            cells[key] = Cell(math.inf)
        else:
            cells[key] = Cell()
    return cells | {"run": Cell(f"{base} ({over})" if base else over)}
