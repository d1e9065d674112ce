"""The second half of every run: a saved model, loaded, predicts a split and is scored and measured."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from nlpbench import models
from nlpbench.config.errors import UserError
from nlpbench.config.run_config import RunConfig
from nlpbench.evaluation import efficiency
from nlpbench.evaluation.device import OVERFLOWS_IN_FP16
from nlpbench.evaluation.metrics import Metric
from nlpbench.evaluation.predict import predict
from nlpbench.evaluation.score import doubts, score, try_out
from nlpbench.results import files, run_directory
from nlpbench.results.record import Score, SplitRecord
from nlpbench.runs import generation
from nlpbench.runs import material as materials
from nlpbench.runs.features import encode
from nlpbench.runs.material import Material
from nlpbench.tasks import Bundle, Task

logger = logging.getLogger("nlpbench")

if TYPE_CHECKING:
    from nlpbench.data.load import Split
    from nlpbench.models.load import LoadedModel


@dataclass(frozen=True)
class ScoredModel:
    """What `evaluate` finds out about one model."""

    material: Material
    model: dict[str, Any]
    scores: dict[str, Score]
    efficiency: dict[str, Any]
    predictions: list[dict[str, Any]]
    tables: Mapping[str, list[dict[str, Any]]]
    warnings: list[str]
    split: SplitRecord
    seconds: float


@dataclass(frozen=True)
class OpenedModel:
    """A fine-tuned model that can be scored: it loads, and knows the labels of the rows.

    Attributes:
        writing: how it writes, for the record; empty unless the task has it write.
    """

    loaded: LoadedModel
    tokenizer: Any
    labels: list[str]
    material: Material
    writing: dict[str, Any]


def open_model(
    config: RunConfig, name_or_path: str, revision: str | None, material: Material | None = None
) -> OpenedModel:
    """Loads a fine-tuned model and the rows of `evaluation.split`, and tries the metrics.

    Args:
        material: rows already read, with the labels of this model.

    Raises:
        UserError: a model or data that cannot be used, with the reason.
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
    writing = generation.settle(task, loaded.model, tokenizer)
    labels = task.labels_of(loaded.model)
    if material is None:
        material = materials.read(config, [config.evaluation.split], labels)
        materials.refuse_training_rows(config, material.data, name_or_path)
    try_out(cast(list[Metric], config.metrics), task.answer, labels)
    return OpenedModel(loaded, tokenizer, labels, material, writing)


def _with_id(split: Split, row: dict[str, Any]) -> dict[str, Any]:
    """A row of a further file, with the id of its example in place of the number."""
    if "example" not in row:
        return row
    return {"id": split.id(row["example"]), **{k: v for k, v in row.items() if k != "example"}}


def _check_precision(precision: str, model_type: str) -> None:
    if precision == "fp16" and model_type in OVERFLOWS_IN_FP16:
        raise UserError(f"evaluation.precision: {model_type} overflows in fp16; take bf16 or fp32")


def score_model(
    config: RunConfig, name_or_path: str, revision: str | None, material: Material | None = None
) -> ScoredModel:
    """Opens a fine-tuned model, as `open_model` does, scores it and measures what it costs.

    Raises:
        UserError: as `open_model`, and what a metric cannot score.
    """
    task, section = cast(Task, config.task), config.evaluation
    metrics = cast(list[Metric], config.metrics)
    opened = open_model(config, name_or_path, revision, material)
    loaded, tokenizer, labels = opened.loaded, opened.tokenizer, opened.labels
    material = opened.material
    split, references = material.data.splits[section.split], material.references[section.split]
    bundle = Bundle(tokenizer, loaded.model, labels)
    features = encode(task, split.rows, None, bundle, corpus=material.corpus)
    collate, infer = task.collate(bundle), partial(task.infer, bundle)
    with efficiency.PeakMemory() as memory:
        outputs = predict(
            loaded.model,
            features,
            collate,
            infer,
            batch_size=section.batch_size,
            precision=section.precision,
        )
    predictions = task.decode(outputs.values, features, split.rows, bundle)
    ids = [split.id(row) for row in range(len(split.rows))]
    answered = Answered(task.answer, labels, ids, references, predictions)
    warnings = [*predictions.warnings, *doubts(metrics, predictions, references)]
    for warning in warnings:
        logger.warning("%s", warning)
    scores = score(metrics, predictions, references, labels, section, task.answer)
    costs: dict[str, Any] = efficiency.parameters(loaded.model)
    directory = loaded.directory
    if directory is not None:
        costs["size_mb"] = models.size_mb(directory)
    if section.efficiency:
        costs |= efficiency.latency(loaded.model, features, collate, infer, section.precision)
        costs |= efficiency.throughput(outputs)
        costs |= {"peak_memory_mb": memory.megabytes, "peak_memory_of": memory.of}
        costs["padded_share"] = outputs.padded_share
        costs |= {"batch_size": section.batch_size, "precision": section.precision}
        costs |= efficiency.hardware()
    return ScoredModel(
        material=material,
        model={
            "name": name_or_path,
            "revision": revision,
            "commit": loaded.commit,
            "architecture": type(loaded.model).__name__,
            "weights": models.weights_hash(directory) if directory is not None else None,
            **opened.writing,
        },
        scores=scores,
        efficiency=costs,
        predictions=materials.prediction_rows(split, task.rows_of(predictions, references, labels)),
        tables={
            name: [_with_id(split, row) for row in rows]
            for name, rows in {**predictions.tables, **task.samples(bundle)}.items()
        },
        warnings=warnings,
        split=SplitRecord(
            rows=len(split.rows),
            fingerprint=split.fingerprint,
            truncated_share=materials.truncated_share(features),
        ),
        seconds=outputs.seconds,
    )


def write_predictions(directory: Path, scored: ScoredModel) -> None:
    """predictions.jsonl and whatever further files the task leaves."""
    files.write_jsonl(directory / run_directory.PREDICTIONS, scored.predictions)
    for name, rows in scored.tables.items():
        files.write_jsonl(directory / name, rows)


def interval(config: RunConfig) -> dict[str, Any]:
    """How the intervals of a record were made."""
    section = config.evaluation
    return {
        "method": "percentile bootstrap over examples",
        "confidence": section.confidence,
        "resamples": section.resamples,
        "seed": section.bootstrap_seed,
    }
