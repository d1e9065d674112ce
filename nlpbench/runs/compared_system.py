"""What is compared: one finished run, or the runs of one config with several seeds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from nlpbench.config.errors import UserError
from nlpbench.config.run_config import RunConfig
from nlpbench.evaluation import answered as answers
from nlpbench.evaluation.answered import Answered
from nlpbench.evaluation.metrics import Metric
from nlpbench.evaluation.paired.pair import read_by
from nlpbench.results import record as records
from nlpbench.results.finished_run import FinishedRun
from nlpbench.results.record import RECORD, Record
from nlpbench.results.run_directory import identity

if TYPE_CHECKING:
    from nlpbench.tasks import Task

SEED = re.compile(r"seed-(\d+)")


@dataclass(frozen=True)
class System:
    """One run, or one for each seed, with their predictions.

    Attributes:
        name: what tables call it.
        runs: one, or one for each of `seeds` in their order.
        seeds: empty for a single run.
        answered: the predictions of each run; read after the runs are found to be comparable.
    """

    name: str
    runs: list[FinishedRun]
    seeds: list[int]
    answered: list[Answered] = field(default_factory=list)

    @property
    def records(self) -> list[Record]:
        return [run.record for run in self.runs]

    @property
    def config(self) -> RunConfig:
        return self.runs[0].config

    @property
    def metrics(self) -> list[Metric]:
        return cast(list[Metric], self.config.metrics)

    def signature(self, metric: Metric) -> str:
        first = self.answered[0]
        return metric.signature_for(first.references, first.labels, first.answer)

    def scores(self, metric: Metric) -> dict[str, list[float]]:
        """The scores of each run by key, from its predictions.

        Raises:
            UserError: the metric cannot read them.
        """
        import numpy as np

        found: dict[str, list[float]] = {}
        for answered in self.answered:
            every_row = np.ones((1, len(answered)), dtype=np.int64)
            read = read_by(metric, answered)
            scores = metric.resample(read, answered.references, every_row, answered.labels)
            for key, values in scores.items():
                found.setdefault(key, []).append(float(values[0]))
        return found

    def with_seeds(self, seeds: Sequence[int]) -> System:
        """The same with these seeds alone."""
        if not seeds:
            return self
        kept = dict(zip(self.seeds, self.runs, strict=True))
        return replace(self, runs=[kept[seed] for seed in seeds], seeds=list(seeds))

    def with_predictions(self, labels: Sequence[str]) -> System:
        """The same with the predictions read, labels numbered in the order that is given.

        Raises:
            UserError: a file that is missing or damaged, or has not the rows of its record.
        """
        task = cast("Task", self.config.task)
        return replace(self, answered=[_read(run, task.answer, labels) for run in self.runs])


def open_systems(
    paths: Sequence[str | Path], baseline: str | Path | None, names: Sequence[str] | None
) -> list[System]:
    """What is compared, the baseline first; records only.

    Raises:
        UserError: fewer than two, one of them twice, or a place that holds no finished run.
    """
    places = [Path(path) for path in paths]
    called = list(names) if names is not None else [str(path) for path in paths]
    if baseline is not None:
        given = [place.resolve() for place in places]
        base, name = Path(baseline), str(baseline)
        if base.resolve() in given:
            at = given.index(base.resolve())
            base, name = places.pop(at), called.pop(at)
        places, called = [base, *places], [name, *called]
    if len(places) < 2:
        raise UserError("a comparison takes two runs at least; name another one")
    resolved = [place.resolve() for place in places]
    for number, place in enumerate(resolved):
        if place in resolved[:number]:
            first = called[resolved.index(place)]
            raise UserError(f"{first} and {called[number]} are the same run; name another one")
    return [_open(place, name) for place, name in zip(places, called, strict=True)]


def _open(place: Path, name: str) -> System:
    if not place.is_dir() or (place / RECORD).exists():
        return System(name, [_finished(place)], [])
    below = sorted(file.parent for file in place.glob(f"*/{RECORD}"))
    of_seeds = {
        int(match[1]): path for path in below if (match := SEED.fullmatch(path.name)) is not None
    }
    if not below:
        return System(name, [_finished(place)], [])  # which says that there is none
    if len(of_seeds) < len(below):
        told = " ".join(str(path) for path in below)
        raise UserError(
            f"{place} holds several runs that are not the seeds of one; name them one by one: {told}"
        )
    runs = [_finished(of_seeds[seed]) for seed in sorted(of_seeds)]
    for run in runs[1:]:
        if _method(run) != _method(runs[0]):
            raise UserError(
                f"{runs[0].file.parent} and {run.file.parent} differ by more than their seed; "
                "name them one by one"
            )
    if len(runs) == 1:
        return System(name, runs, [])
    return System(name, runs, sorted(of_seeds))


def _finished(place: Path) -> FinishedRun:
    return FinishedRun(str(place), place / RECORD, records.read(place))


def _method(run: FinishedRun) -> str:
    """What the runs of one config with several seeds have in common."""
    config: dict[str, Any] = {k: v for k, v in run.record.config.items() if k != "seed"}
    if run.record.command == "evaluate":  # each names the model of its seed
        config.pop("model", None)
    return identity(config)


def _read(run: FinishedRun, answer: Any, labels: Sequence[str]) -> Answered:
    found = answers.read(run.predictions, answer, labels)
    rows = run.record.data[run.record.split].rows
    if len(found) != rows:
        raise UserError(
            f"{run.predictions} is damaged: it holds {len(found)} rows, and {run.file} says {rows}"
        )
    return found
