"""The second half of every run: a saved model, loaded, predicts a split and is scored and measured."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from nlpbench import models
from nlpbench.config.errors import UserError
from nlpbench.config.run_config import RunConfig
from nlpbench.evaluation import clusters as sources
from nlpbench.evaluation import efficiency, processes, robustness, slices
from nlpbench.evaluation.answered import Answered
from nlpbench.evaluation.compilation import compile_for_prediction
from nlpbench.evaluation.device import OVERFLOWS_IN_FP16
from nlpbench.evaluation.error_analysis import Errors, analyse
from nlpbench.evaluation.metrics import Metric
from nlpbench.evaluation.metrics.expected_calibration_error import ExpectedCalibrationError
from nlpbench.evaluation.predict import as_told, predict
from nlpbench.evaluation.reliability import BINS, reliability
from nlpbench.evaluation.score import doubts, score, try_out
from nlpbench.results import files, run_directory
from nlpbench.results.record import (
    Gap,
    PerturbedRecord,
    ReliabilityBin,
    Score,
    SliceRecord,
    SplitRecord,
)
from nlpbench.runs import generation
from nlpbench.runs import material as materials
from nlpbench.runs.features import encode
from nlpbench.runs.material import Material
from nlpbench.runs.settling import settings_of, settled_on_these
from nlpbench.tasks import Bundle, Predictions, Task

logger = logging.getLogger("nlpbench")
# What the bootstrap draws, where a row of predictions has a name of its own.
DRAWN = {"log-likelihoods": "documents", "rankings": "queries"}

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

    from nlpbench.data.load import Split
    from nlpbench.models.load import LoadedModel


@dataclass(frozen=True)
class ScoredModel:
    """What `evaluate` finds out about one model."""

    material: Material
    model: dict[str, Any]
    scores: dict[str, Score]
    interval: dict[str, Any]
    efficiency: dict[str, Any]
    slices: dict[str, SliceRecord]
    gaps: dict[str, dict[str, Gap]]
    robustness: dict[str, PerturbedRecord]
    predictions: list[dict[str, Any]]
    reliability: list[ReliabilityBin]
    errors: dict[str, Any]
    tables: Mapping[str, list[dict[str, Any]]]
    warnings: list[str]
    split: SplitRecord
    seconds: float


@dataclass(frozen=True)
class OpenedModel:
    """A fine-tuned model that can be scored, on one data set or several.

    Attributes:
        labels: the class names that it knows; empty where there are none.
        writing: how it writes, for the record; empty unless the task has it write.
    """

    name: str
    revision: str | None
    loaded: LoadedModel
    tokenizer: Any
    labels: list[str]
    writing: dict[str, Any]


def open_model(config: RunConfig, name_or_path: str, revision: str | None) -> OpenedModel:
    """Loads a fine-tuned model, and tries the metrics on its labels.

    Raises:
        UserError: a model that cannot be used, with the reason.
    """
    task = cast(Task, config.task)
    tokenizer = models.load_tokenizer(name_or_path, revision)
    if task.reads_words:
        models.for_words(tokenizer)
    loaded = models.load_finetuned(
        name_or_path,
        revision,
        task.auto_classes,
        tokenizer,
        config.max_length,
        max_target_length=task.max_target_tokens,
    )
    _check_precision(config.evaluation.precision, loaded.model.config.model_type)
    if config.evaluation.compile:
        _compile(task, loaded.model)
    writing = generation.settle(task, loaded.model, tokenizer)
    labels = task.labels_of(loaded.model)
    try_out(cast(list[Metric], config.metrics), task.answer, labels)
    return OpenedModel(name_or_path, revision, loaded, tokenizer, labels, writing)


def rows_for(config: RunConfig, opened: OpenedModel) -> Material:
    """The rows of `evaluation.split`, with the labels of a model that may be scored on them.

    Raises:
        UserError: data that cannot be used, or that the model was trained on.
    """
    material = materials.read(config, [config.evaluation.split], opened.labels)
    materials.refuse_training_rows(config, material.data, opened.name)
    return material


def _bins(metrics: Sequence[Metric]) -> int:
    """As many bins of confidence as the metric of them has, where it is asked for."""
    return next((one.bins for one in metrics if isinstance(one, ExpectedCalibrationError)), BINS)


def _with_id(split: Split, row: dict[str, Any]) -> dict[str, Any]:
    """A row of a further file, with the id of its example in place of the number."""
    if "example" not in row:
        return row
    return {"id": split.id(row["example"]), **{k: v for k, v in row.items() if k != "example"}}


def _check_precision(precision: str, model_type: str) -> None:
    if precision == "fp16" and model_type in OVERFLOWS_IN_FP16:
        raise UserError(f"evaluation.precision: {model_type} overflows in fp16; take bf16 or fp32")


def _compile(task: Task, model: PreTrainedModel) -> None:
    if not task.infers_alone:
        raise UserError(
            f"evaluation.compile: a {task.name} run does not call the model as it is; leave it out"
        )
    compile_for_prediction(model)


def score_model(
    config: RunConfig, name_or_path: str, revision: str | None, material: Material | None = None
) -> ScoredModel:
    """Opens a fine-tuned model, as `open_model` does, scores it and measures what it costs.

    Args:
        material: rows already read, with the labels of this model.

    Raises:
        UserError: as `open_model` and `rows_for`, and what a metric cannot score.
    """
    opened = open_model(config, name_or_path, revision)
    return score_opened(config, opened, material or rows_for(config, opened))


def score_opened(
    config: RunConfig, opened: OpenedModel, material: Material, *, shared: bool = False
) -> ScoredModel:
    """Scores an open model on rows, and measures what it costs.

    Args:
        shared: all processes of the run call this, and share the work of predicting.

    Raises:
        UserError: what a metric cannot score.
    """
    task, section = cast(Task, config.task), config.evaluation
    metrics = cast(list[Metric], config.metrics)
    loaded, tokenizer, labels = opened.loaded, opened.tokenizer, opened.labels
    split, references = material.data.splits[section.split], material.references[section.split]
    bundle = Bundle(tokenizer, loaded.model, labels)
    with processes.first_goes_first() if shared else nullcontext():
        features = encode(task, split.rows, None, bundle, corpus=material.corpus)
    collate, infer = task.collate(bundle), partial(task.infer, bundle)
    told = as_told(section, task, bundle)
    values_of = partial(predict, loaded.model, collate=collate, infer=infer, shared=shared, **told)
    with efficiency.PeakMemory() as memory:
        outputs = values_of(features)
    predictions = task.decode(outputs.values, features, split.rows, bundle)
    ids = [split.id(row) for row in range(len(split.rows))]
    clusters = material.clusters
    answered = Answered(task.answer, labels, ids, references, predictions, clusters)
    flattered = settled_on_these(loaded.model, split.fingerprint)
    warnings = [
        *predictions.warnings,
        *doubts(metrics, predictions, references),
        *sources.doubts(clusters, section.cluster_column or ""),
        *([flattered] if flattered else []),
    ]
    for warning in warnings:
        logger.warning("%s", warning)
    scores = score(metrics, predictions, references, labels, section, task.answer, clusters)
    sliced = slices.score(
        section, metrics, answered, scores, material.sliceable(section.split), tokenizer
    )
    for note in sliced.notes:
        logger.info("%s", note)
    warnings += sliced.notes

    def predictions_for(rows: Dataset) -> Predictions:
        encoded = encode(task, rows, None, bundle, corpus=material.corpus)
        return task.decode(values_of(encoded).values, encoded, rows, bundle)

    robust = robustness.measure(
        section, metrics, answered, split.rows, task.altered_columns, predictions_for
    )
    errors = Errors()
    if section.error_analysis is not None:
        texts = material.texts[section.split]
        errors = analyse(answered, metrics, texts, section.error_analysis.examples)
    costs: dict[str, Any] = efficiency.parameters(loaded.model)
    directory = loaded.directory
    if directory is not None:
        costs["size_mb"] = models.size_mb(directory)
    if section.efficiency:
        candidate = efficiency.Candidate(
            loaded.model,
            features,
            collate,
            infer,
            told["batch_size"],
            outputs.precision,
            outputs.count / outputs.seconds,
            told["side_by_side"],
        )
        costs |= (
            processes.from_first(partial(_measure, candidate)) if shared else _measure(candidate)
        )
        costs |= {"peak_memory_mb": memory.megabytes, "peak_memory_of": memory.of}
        costs["padded_share"] = outputs.padded_share
        costs |= {"batch_size": section.batch_size, "precision": outputs.precision}
        costs |= {"rows_in_fp32": outputs.in_fp32, "compile": section.compile}
    return ScoredModel(
        material=material,
        model={
            "name": opened.name,
            "revision": opened.revision,
            "commit": loaded.commit,
            "architecture": type(loaded.model).__name__,
            "weights": models.weights_hash(directory) if directory is not None else None,
            **opened.writing,
            **settings_of(loaded.model),
        },
        scores=scores,
        interval=interval(config, clusters),
        efficiency=costs,
        slices=sliced.slices,
        gaps=sliced.gaps,
        robustness=robust.records,
        predictions=sliced.tell(
            materials.prediction_rows(
                split, task.rows_of(predictions, references, labels), clusters
            )
        ),
        tables={
            name: [_with_id(split, row) for row in rows]
            for name, rows in {
                **predictions.tables,
                **task.samples(bundle),
                **errors.tables,
                **robust.tables,
            }.items()
        },
        reliability=reliability(answered, _bins(metrics)),
        errors=errors.summary,
        warnings=warnings,
        split=SplitRecord(
            rows=len(split.rows),
            fingerprint=split.fingerprint,
            truncated_share=materials.truncated_share(features),
        ),
        seconds=outputs.seconds,
    )


def _measure(candidate: efficiency.Candidate) -> dict[str, Any]:
    """Latency and throughput of one model, and the hardware."""
    with efficiency.all_threads():
        [measured] = efficiency.measure([candidate])
        return {**measured, **efficiency.hardware()}


def write_predictions(directory: Path, scored: ScoredModel) -> None:
    """predictions.jsonl and whatever further files the task leaves."""
    files.write_jsonl(directory / run_directory.PREDICTIONS, scored.predictions)
    for name, rows in scored.tables.items():
        files.write_jsonl(directory / name, rows)


def interval(config: RunConfig, clusters: Sequence[Any] | None = None) -> dict[str, Any]:
    """How the intervals of a record were made, and of how many clusters if of any.

    Args:
        clusters: of each row that was scored.
    """
    section, answer = config.evaluation, cast(Task, config.task).answer
    drawn = DRAWN.get(answer, "examples")
    counted = {}
    if clusters is not None:
        column = section.cluster_column
        drawn = f"clusters of {column}" if column is not None else "clusters"
        counted = {"clusters": len(set(clusters))}
    return {
        "method": f"percentile bootstrap over {drawn}",
        **counted,
        "confidence": section.confidence,
        "resamples": section.resamples,
        "seed": section.bootstrap_seed,
    }
