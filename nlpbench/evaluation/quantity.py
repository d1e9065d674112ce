"""What a rule bounds: a score of a finished run, on all rows or on a slice, or a cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from nlpbench.config.costs import COSTS, MEASURED_COSTS, MORE_IS_BETTER
from nlpbench.config.errors import UserError
from nlpbench.config.problems import dotted, suggest
from nlpbench.evaluation.metrics import Metric
from nlpbench.results.finished_run import FinishedRun


@dataclass(frozen=True)
class Quantity:
    """A value of a run.

    Attributes:
        key: of the score, or the name of the cost.
        slice: the rows that the score is of; None for all of them.
        value: None where it is undefined, and `why` says why.
    """

    key: str
    slice: str | None
    value: float | None
    why: str
    higher_is_better: bool

    @property
    def is_cost(self) -> bool:
        return self.key in COSTS

    def __str__(self) -> str:
        return self.key if self.slice is None else f"{self.key} on {self.slice}"


def score_key(name: str, run: FinishedRun) -> str:
    """The score or cost that a rule's key means: itself, or the only score of a metric.

    Raises:
        UserError: the run has no such score, or a metric of that name has several.
    """
    scores = run.record.scores
    if name in scores or name in COSTS:
        return name
    keys = [
        key
        for metric in metrics_of(run)
        if metric.key == name.replace("-", "_")
        for key in scores
        if metric.gives(key)
    ]
    if len(keys) > 1:
        raise UserError(
            f"{told_path(name)}: {name} has several scores: {', '.join(keys)}; take one"
        )
    if not keys:
        advice = suggest(name, [*scores, *COSTS])
        raise UserError(f"{told_path(name)}: {run.name} has no score or cost {name}  {advice}")
    return keys[0]


def quantity(key: str, slice_name: str | None, run: FinishedRun) -> Quantity:
    """A score or cost by its key.

    Raises:
        UserError: it was not computed, or the run has no such slice.
    """
    record = run.record
    if key in COSTS:
        cost = record.efficiency.get(key)
        if not isinstance(cost, int | float):
            advice = "; write evaluation.efficiency: true" if key in MEASURED_COSTS else ""
            raise UserError(f"{told_path(key)}: {key} of {run.name} was not measured{advice}")
        return Quantity(key, None, cost, "", key in MORE_IS_BETTER)
    scores, why, where = record.scores, "not defined on these rows", run.name
    if slice_name is not None:
        if slice_name not in record.slices:
            path = told_path(key, "slices", slice_name)
            advice = suggest(slice_name, record.slices)
            raise UserError(f"{path}: {run.name} has no slice {slice_name}  {advice}")
        part = record.slices[slice_name]
        scores, where = part.scores, f"{run.name} on {slice_name}"
        why = "no rows" if part.rows == 0 else part.notes.get(key, why)
    if key not in scores:
        raise UserError(f"{told_path(key)}: {key} of {where} was not computed")
    score = scores[key]
    return Quantity(key, slice_name, score.value, why, score.higher_is_better)


def metrics_of(run: FinishedRun) -> list[Metric]:
    return cast(list[Metric], run.config.metrics)


def told_path(*keys: str) -> str:
    """A key of the gate, as it stands in a config."""
    return dotted(("gate", *keys))
