"""The scores of altered texts, a row a perturbation, below the table of the runs."""

from __future__ import annotations

from collections.abc import Sequence

from nlpbench.config.errors import UserError
from nlpbench.config.problems import suggest
from nlpbench.results.cell import Cell, Row
from nlpbench.results.record import PerturbedRecord, Record
from nlpbench.results.table import Table

NOTE = "drop: how much worse than with the texts as they are, both from the same resamples"
NAMES = ("run", "perturbation", "changed")


def build(named: Sequence[tuple[str, Record]], columns: Sequence[str] | None = None) -> Table:
    """The table of robustness, a row for each perturbation of each record.

    Args:
        columns: the scores to show, with their drops; all of them unless told.

    Raises:
        UserError: no record has scores of altered texts, or none of them such a score.
    """
    found = [
        (name, label, perturbed)
        for name, record in named
        for label, perturbed in record.robustness.items()
    ]
    if not found:
        raise UserError(
            "no record has scores of altered texts; evaluation.perturbations names perturbations"
        )
    keys = list(dict.fromkeys(key for _, _, perturbed in found for key in perturbed.scores))
    for key in columns or ():
        if key not in keys:
            raise UserError(f"no record has the score {key} of altered texts  {suggest(key, keys)}")
    shown = list(dict.fromkeys(columns or keys))
    several = len({name for name, _, _ in found}) > 1
    pairs = [column for key in shown for column in (key, drop_of(key))]
    facts = [name for name in NAMES if several or name != "run"]
    rows = [_row(name, label, perturbed, shown) for name, label, perturbed in found]
    drops_first = [column for key in shown for column in (drop_of(key), key)]  # the last to go
    return Table([*facts, *pairs], rows, drops_first, [NOTE], sorted_by="perturbation")


def drop_of(key: str) -> str:
    """The column of how much worse a score is."""
    return f"{key} drop"


def _row(name: str, label: str, perturbed: PerturbedRecord, keys: Sequence[str]) -> Row:
    row: Row = {
        "run": Cell(name),
        "perturbation": Cell(label),
        "changed": Cell(f"{perturbed.changed} of {perturbed.rows}"),
    }
    for key in keys:
        score, drop = perturbed.scores.get(key), perturbed.drop.get(key)
        row[key] = Cell(score.value, score.low, score.high) if score else Cell()
        row[drop_of(key)] = Cell(drop.value, drop.low, drop.high) if drop else Cell()
    return row
