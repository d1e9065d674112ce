"""A finished run beside the baseline of its gate: whether they compare, and paired tests."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, cast

from nlpbench.config.costs import MEASURED_COSTS
from nlpbench.config.errors import UserError
from nlpbench.evaluation import answered as answers
from nlpbench.evaluation import paired
from nlpbench.evaluation.metrics import Metric
from nlpbench.evaluation.quantity import Quantity, metrics_of, quantity, told_path
from nlpbench.results.finished_run import FinishedRun
from nlpbench.results.hardware import machine_of

if TYPE_CHECKING:
    from nlpbench.evaluation.answered import Answered
    from nlpbench.results.record import Record
    from nlpbench.tasks import Task


def differences(run: FinishedRun, baseline: FinishedRun) -> list[str]:
    """Why a run cannot be compared with a baseline, a sentence each; none if it can."""
    ours, theirs = run.record, baseline.record
    facts = {
        "task": (ours.task, theirs.task),
        "split": (ours.split, theirs.split),
        "set of labels": (_listed(ours.labels), _listed(theirs.labels)),
    }
    found = [
        f"the baseline {baseline.file} is of another {what}: {there}, and {run.name} is of {here}"
        for what, (here, there) in facts.items()
        if here != there
    ]
    here, there = ours.data[ours.split], theirs.data[theirs.split]
    if not found and here.fingerprint != there.fingerprint:
        found.append(
            f"the baseline {baseline.file} was scored on other data than {run.name}: {there.rows} "
            f"rows with the fingerprint {there.fingerprint}, and here {here.rows} with "
            f"{here.fingerprint}"
        )
    return found


class Comparison:
    """The values of a baseline, and paired tests of a run against it.

    Raises:
        UserError: the two do not compare; each reason on a line.
    """

    def __init__(self, run: FinishedRun, baseline: FinishedRun) -> None:
        problems = differences(run, baseline)
        if problems:
            raise UserError("\n".join(problems))
        self.run = run
        self.baseline = baseline

    def base(self, of_run: Quantity) -> Quantity:
        """The same quantity of the baseline.

        Raises:
            UserError: the baseline does not have it, or measured it in another way.
        """
        key, ours, theirs = of_run.key, self.run.record, self.baseline.record
        path, where = told_path(key), f"the baseline {self.baseline.file}"
        if not of_run.is_cost and key not in theirs.scores:
            raise UserError(f"{path}: {where} has no score {key}")
        if not of_run.is_cost and theirs.scores[key].signature != ours.scores[key].signature:
            raise UserError(
                f"{path}: {where} has another metric of that name: {theirs.scores[key].signature}, "
                f"and {self.run.name} has {ours.scores[key].signature}"
            )
        if key in MEASURED_COSTS and machine_of(theirs) != machine_of(ours):
            raise UserError(
                f"{path}: {where} was measured on {_hardware(theirs)}, and {self.run.name} on "
                f"{_hardware(ours)}; costs compare on the same hardware only"
            )
        return quantity(key, of_run.slice, replace(self.baseline, name=where))

    def test(self, of_run: Quantity) -> paired.Difference:
        """The paired test of a score, on all rows or on those of a slice.

        Raises:
            UserError: predictions that are missing, damaged, or of other examples.
        """
        section = self.run.config.evaluation
        one, other = self._answered
        if of_run.slice is not None:
            one, other = _part(one, of_run.slice), _part(other, of_run.slice)
        return paired.compare(
            self._metric(of_run.key),
            of_run.key,
            one,
            other,
            confidence=section.confidence,
            resamples=section.resamples,
            seed=section.bootstrap_seed,
        )

    @cached_property
    def _answered(self) -> tuple[Answered, Answered]:
        """The predictions of both, read with the labels of the run."""
        answer = cast("Task", self.run.config.task).answer
        labels = self.run.record.labels
        return (
            answers.read(self.run.predictions, answer, labels),
            answers.read(self.baseline.predictions, answer, labels),
        )

    def _metric(self, key: str) -> Metric:
        """The metric that a score is of; of several that may give it, the one that does."""
        found = [metric for metric in metrics_of(self.run) if metric.gives(key)]
        one = self._answered[0]
        for metric in found[1:] and found:
            read = one.predictions.read(metric.reads)
            if key in metric.compute(read, one.references, one.labels):
                return metric
        if not found:
            raise UserError(f"{told_path(key)}: no metric of {self.run.name} gives {key}")
        return found[0]


def _part(answered: Answered, slice_name: str) -> Answered:
    """The rows of a slice, by what predictions.jsonl tells of each row."""
    import numpy as np

    from nlpbench.tasks import Predictions

    details = answered.predictions.details or []
    rows = np.array(
        [number for number, row in enumerate(details) if slice_name in row.get("slices", ())],
        dtype=np.intp,
    )
    if not len(rows):
        raise UserError(
            f"predictions.jsonl names no row of the slice {slice_name}, so no paired test is "
            "possible there"
        )
    probabilities = answered.predictions.probabilities
    clusters = answered.clusters
    return replace(
        answered,
        clusters=None if clusters is None else [clusters[row] for row in rows],
        ids=[answered.ids[row] for row in rows],
        references=answered.references[rows],
        predictions=Predictions(
            answered.predictions.answers[rows],
            None if probabilities is None else probabilities[rows],
        ),
    )


def _listed(labels: list[str]) -> str:
    return ", ".join(sorted(map(str, labels))) or "none"


def _hardware(record: Record) -> str:
    device, threads = machine_of(record) or ("unknown hardware", "")
    return f"{device} with {threads} threads" if threads else device
