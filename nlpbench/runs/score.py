"""From a file of answers and its references to scores with intervals, without a model."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from nlpbench.config import written_components as written
from nlpbench.config.errors import ConfigError, UserError
from nlpbench.config.problems import Mark, flatten
from nlpbench.config.run_config import RunConfig
from nlpbench.config.sections import SplitName
from nlpbench.evaluation import answer_files, answer_kind
from nlpbench.evaluation.answer_join import Columns, join
from nlpbench.evaluation.answered import CLUSTER, Answered, fingerprint, rows_of
from nlpbench.evaluation.metrics import Answer, Metric
from nlpbench.evaluation.reliability import reliability
from nlpbench.evaluation.score import doubts, try_out
from nlpbench.evaluation.score import score as scores_of
from nlpbench.results import environment, files, run_directory
from nlpbench.results.finished_run import FinishedRun
from nlpbench.results.record import RECORD, Record, SplitRecord
from nlpbench.results.record import read as read_record
from nlpbench.runs.scored_model import interval
from nlpbench.tasks import Task

logger = logging.getLogger("nlpbench")
FINGERPRINT = "fingerprint of ids and references, in whatever order they stand"
# The task that a file of answers is taken for where nothing else tells.
TASKS: dict[Answer, dict[str, Any]] = {
    "labels": {"name": "text-classification"},
    "label-sets": {
        "name": "text-classification",
        "problem_type": "multi_label_classification",
    },
    "values": {"name": "text-classification", "problem_type": "regression"},
    "tags": {"name": "token-classification"},
    "spans": {"name": "question-answering"},
    "texts": {"name": "text-generation"},
    "log-likelihoods": {"name": "causal-language-modeling"},
    "rankings": {"name": "retrieval"},
}


@dataclass(frozen=True)
class _Given:
    """The files, and the runs they belong to.

    Attributes:
        references: none where they stand beside the answers.
        own: the run whose answers these are.
        told: the run whose references these are: it says what data they are.
    """

    predictions: Path
    references: list[Path]
    own: FinishedRun | None
    told: FinishedRun | None

    @property
    def name(self) -> str:
        return self.own.record.name if self.own else self.predictions.name

    @property
    def run(self) -> FinishedRun | None:
        return self.told or self.own

    @property
    def data(self) -> Path:
        return (self.references or [self.predictions])[0]


def score(
    predictions: str | Path,
    metrics: Sequence[str | dict[str, Any] | Metric] = (),
    *,
    references: Sequence[str | Path] | str | Path = (),
    output_dir: str | Path | None = None,
    name: str | None = None,
    task: str | dict[str, Any] | None = None,
    answer: Answer | None = None,
    labels: Sequence[str] | None = None,
    prediction_column: str | None = None,
    reference_column: str | None = None,
    id_column: str | None = None,
    split: SplitName | None = None,
    confidence: float | None = None,
    resamples: int | None = None,
    bootstrap_seed: int | None = None,
) -> Record:
    """Scores the answers of a file against references, without a model.

    Args:
        predictions: a predictions.jsonl, or the directory of its run; json, jsonl, csv or tsv with
            columns; else plain text, an answer a line.
        metrics: names, or mappings as in YAML; those of the run or the task unless told.
        references: files of references, where they do not stand beside the answers; each of several
            gives every example one. That of a run says which data, task and labels these are.
        output_dir: of the run that is written; none unless told.
        name: of what answered, in tables; the file unless told.
        task: where the metrics and the values do not tell the kind of the answers, or `answer`.
        labels: the class names, in their order; those found, sorted, unless told.
        split: that the rows are; the run's, or test.

    Raises:
        UserError: files that cannot be read or matched, answers that the metrics cannot score.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    given = _given(predictions, references)
    chosen = cast(Task, written.task(task, "--task")) if task is not None else None
    kind = _kind(chosen, answer, given.run)
    wanted = _metrics(metrics, chosen, kind, given.run)
    columns = Columns(id_column, prediction_column, reference_column)
    answered = _answered(given, columns, wanted, kind, labels)
    section = {
        "split": _split_of(split, given.told),
        "metrics": [metric.model_dump(mode="json") for metric in wanted],
        "confidence": confidence,
        "resamples": resamples,
        "bootstrap_seed": bootstrap_seed,
        "cluster_column": _cluster_column(given.own, answered),
    }
    config = _config(given, chosen, answered.answer, section, name)
    place = Path(output_dir) if output_dir is not None else None
    if place is not None:
        broken_off = run_directory.state_of(place, config.resolved()) == "unfinished"
        run_directory.check_free(place, config.resolved(), resume=broken_off)
    record = _record(given, config, wanted, answered)
    record = record.model_copy(
        update={
            "name": place.name if place is not None else given.name,
            "timings": {"total_seconds": time.perf_counter() - clock},
            "started": started.isoformat(timespec="seconds"),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }
    )
    if place is not None:
        run_directory.open_run(place, config.resolved())
        files.write_jsonl(place / run_directory.PREDICTIONS, rows_of(answered))
        files.write_text(place / RECORD, record.to_json())
    return record


def _given(predictions: str | Path, references: Sequence[str | Path] | str | Path) -> _Given:
    several = [references] if isinstance(references, str | Path) else references
    file, sources = _file(predictions), [_file(each) for each in several]
    own = _run_of(file)
    return _Given(file, sources, own, _run_of(sources[0]) if sources else own)


def _file(path: str | Path) -> Path:
    """A file, or that of the predictions of a run."""
    place = Path(path)
    return place / run_directory.PREDICTIONS if place.is_dir() else place


def _run_of(file: Path) -> FinishedRun | None:
    if file.name != run_directory.PREDICTIONS or not (file.parent / RECORD).is_file():
        return None
    record = read_record(file.parent)
    return FinishedRun(record.name, file.parent / RECORD, record)


def _kind(chosen: Task | None, answer: Answer | None, run: FinishedRun | None) -> Answer | None:
    if chosen is None:
        return answer or (_task_of(run).answer if run else None)
    if answer not in (None, chosen.answer):
        raise UserError(f"--task {chosen.name} predicts {chosen.answer}, and --answer is {answer}")
    return chosen.answer


def _metrics(
    named: Sequence[Any], chosen: Task | None, kind: Answer | None, run: FinishedRun | None
) -> list[Metric]:
    """Those asked for, else those of the task or the run."""
    values = list(named)
    if not values and chosen is None and run is not None and kind == _task_of(run).answer:
        values = list(run.config.metrics)
    elif not values:
        if kind is None:
            raise UserError("name the metrics with --metrics, or --task for those of a task")
        values = (chosen or _task(kind)).default_metrics()
    return cast(list[Metric], written.metrics(values, "--metrics"))


def _task_of(run: FinishedRun) -> Task:
    return cast(Task, run.config.task)


def _task(kind: Answer) -> Task:
    return cast(Task, written.task(TASKS[kind], "--answer"))


def _answered(
    given: _Given,
    columns: Columns,
    metrics: Sequence[Metric],
    kind: Answer | None,
    labels: Sequence[str] | None,
) -> Answered:
    """The rows of all files, as the one kind of answers that they are and the metrics score."""
    candidates = answer_kind.kinds(metrics)
    if kind is not None and kind not in candidates:
        raise UserError(
            f"these metrics score {' or '.join(candidates)}, and the answers are {kind}"
        )
    references = [answer_files.read(each) for each in given.references]
    rows = join(answer_files.read(given.predictions), references, columns)
    if labels is None and given.run is not None:
        labels = given.run.record.labels or None
    answered = answer_kind.find(rows, [kind] if kind else candidates, labels)
    try_out(metrics, answered.answer, answered.labels)
    for metric in metrics:
        if metric.reads == "probabilities" and answered.predictions.probabilities is None:
            raise UserError(
                f"{metric.name} reads probabilities, and {given.predictions} has none: give each "
                'row "probabilities", a mapping of labels to numbers'
            )
    if given.own is None:
        return answered
    signature = _signature(given.own, answered)
    return replace(answered, predictions=replace(answered.predictions, signature=signature))


def _signature(run: FinishedRun, answered: Answered) -> str:
    """What the answers of a run follow from, as it stands behind the signatures of its metrics."""
    for metric in cast(list[Metric], run.config.metrics):
        bare = metric.signature_for(answered.references, answered.labels, answered.answer)
        for key, found in run.record.scores.items():
            if metric.gives(key) and found.signature.startswith(f"{bare}|"):
                return found.signature.removeprefix(f"{bare}|")
    return ""


def _split_of(split: SplitName | None, run: FinishedRun | None) -> str:
    if run is None:
        return split or "test"
    if split not in (None, run.record.split):
        raise UserError(f"--split says {split}, and the references are those of {run.record.split}")
    return run.record.split


def _cluster_column(run: FinishedRun | None, answered: Answered) -> str | None:
    """What tells which rows belong together, in the data of the run or in the file."""
    if answered.clusters is None:
        return None
    return (run.config.evaluation.cluster_column if run else None) or CLUSTER


def _config(
    given: _Given, chosen: Task | None, kind: Answer, section: dict[str, Any], name: str | None
) -> RunConfig:
    """A config as that of other runs: whose answers, which data, as which task, by which metrics."""
    run, own = given.run, given.own.record.model.get("name") if given.own else None
    known = _task_of(run) if run else None
    task = chosen or (known if known and known.answer == kind else _task(kind))
    data = run.config.data.model_dump(mode="json", exclude_unset=True) if given.told and run else {}
    values = {
        "model": {"name_or_path": name or own or str(given.predictions)},
        "data": data or {"source": str(given.data)},
        "task": task.model_dump(mode="json", exclude_unset=True),
        "evaluation": {key: value for key, value in section.items() if value is not None},
    }
    return _checked(values, "nlpbench score")


def _checked(values: dict[str, Any], origin: str) -> RunConfig:
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        problems = flatten(error, RunConfig.model_fields)
        raise ConfigError([problem.render(Mark(origin)) for problem in problems]) from None


def _record(
    given: _Given, config: RunConfig, metrics: Sequence[Metric], answered: Answered
) -> Record:
    section, predictions, told = config.evaluation, answered.predictions, given.told
    warnings = doubts(metrics, predictions, answered.references)
    for warning in warnings:
        logger.warning("%s", warning)
    scores = scores_of(
        metrics,
        predictions,
        answered.references,
        answered.labels,
        section,
        answered.answer,
        answered.clusters,
    )
    return Record(
        command="score",
        name="",
        model={**(given.own.record.model if given.own else {}), "name": config.model.address},
        task=config.task.name,
        labels=answered.labels,
        split=section.split,
        seed=given.own.record.seed if given.own else config.seed,
        scores=scores,
        efficiency={},
        reliability=reliability(answered),
        interval=interval(config, answered.clusters),
        data={section.split: _data(given, answered)},
        data_notes=told.record.data_notes if told else [FINGERPRINT],
        environment=environment.describe(),
        warnings=warnings,
        config=config.resolved(),
    )


def _data(given: _Given, answered: Answered) -> SplitRecord:
    """What identifies the rows: of a run's references what its record says."""
    if given.told is None:
        return SplitRecord(rows=len(answered), fingerprint=fingerprint(answered))
    record = given.told.record
    found = record.data[record.split]
    if found.rows != len(answered):
        raise UserError(
            f"{given.data} holds {len(answered)} rows, and the {RECORD} beside it says {found.rows}"
        )
    return found
