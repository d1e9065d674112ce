"""The data of a run as its task sees it: texts, labels, references and the audit."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from nlpbench.config.errors import UserError
from nlpbench.config.run_config import RunConfig
from nlpbench.data import cache
from nlpbench.data.audit import Audit, audit
from nlpbench.data.features import lengths
from nlpbench.data.load import LoadedData, Split, load
from nlpbench.evaluation import clusters as sources
from nlpbench.evaluation import membership
from nlpbench.evaluation.answered import CLUSTER
from nlpbench.results.record import SplitRecord
from nlpbench.runs.features import encode as encode_rows
from nlpbench.tasks import Bundle, Task

if TYPE_CHECKING:
    from datasets import Dataset
    from numpy.typing import NDArray

logger = logging.getLogger("nlpbench")
SKEWED = 3.0  # times as many rows in the largest class as in the smallest
SAME_TRAIN = (
    "source",
    "train",
    "subset",
    "revision",
    "format",
    "text_unit",
    "document_start",
    "conll_columns",
)  # keys that say which rows train holds
SAME_DRAW = ("validation", "test", "validation_share", "test_share", "split_seed", "group_column")
MISLEADING_WHEN_SKEWED = {"accuracy"}


@dataclass(frozen=True)
class Material:
    """Rows of every split read, with what the task makes of them.

    Attributes:
        clusters: of each scored row the value of `evaluation.cluster_column`; None without one.
    """

    data: LoadedData
    labels: list[str]
    texts: dict[str, Sequence[str]]
    references: dict[str, NDArray[Any]]
    audit: Audit
    clusters: list[Any] | None = None

    @property
    def corpus(self) -> Dataset | None:
        """The documents that come with the data, if any do."""
        return self.data.corpus

    def sliceable(self, name: str) -> membership.Rows:
        """What slicings read of a split."""
        split = self.data.splits[name]
        return membership.Rows(
            split.rows, self.texts[name], self.references[name], self.labels, split.locate
        )

    def records(self, features: dict[str, Dataset]) -> dict[str, SplitRecord]:
        """What the record says of each split."""
        return {
            name: SplitRecord(
                rows=len(split.rows),
                fingerprint=split.fingerprint,
                truncated_share=truncated_share(features[name]) if name in features else None,
            )
            for name, split in self.data.splits.items()
        }


def load_rows(config: RunConfig, needed: Sequence[str]) -> LoadedData:
    """The rows of the splits, with the columns that the task and the evaluation read.

    Raises:
        UserError: data that cannot be read.
    """
    task = cast(Task, config.task)
    scored: str = config.evaluation.split
    beside: dict[str, dict[str, str]] = {}
    if scored in needed:
        beside[scored] = config.columns_beside
    return load(config.data, needed, task.columns, task.stratify_by, beside)


def read(
    config: RunConfig,
    needed: Sequence[str],
    labels: Sequence[str] | None = None,
    data: LoadedData | None = None,
) -> Material:
    """Loads, labels and audits the splits.

    Args:
        labels: the class names of a fine-tuned model; found in the training rows unless told.
        data: the rows, where they are loaded already.

    Raises:
        UserError: whatever is wrong with the data, with its row.
    """
    task = cast(Task, config.task)
    data = data or load_rows(config, needed)
    for note in data.notes:
        logger.info("%s", note)
    if labels is None:
        train = data.splits["train"]
        labels = task.find_labels(train.rows, train.locate)
    texts = {name: task.texts(split.rows, split.locate) for name, split in data.splits.items()}
    references = {
        name: task.references(split.rows, labels, split.locate)
        for name, split in data.splits.items()
    }
    clusters, scored = None, data.splits.get(config.evaluation.split)
    if config.evaluation.cluster_column is not None and scored is not None:
        clusters = sources.values(scored.rows, config.evaluation.cluster_column, scored.locate)
    report = audit(
        texts,
        _printable(task, references, labels),
        config.data.max_leakage,
        locate=lambda name, index: data.splits[name].locate(index),
    )
    cache.release_pages()
    for warning in report.warnings:
        logger.warning("%s", warning)
    found = Material(data, list(labels), texts, references, report, clusters)
    if scored is not None:  # whatever is wrong with the slices is told before a model is trained
        membership.find(config.evaluation.slices or (), found.sliceable(scored.name))
    return found


def refuse_training_rows(config: RunConfig, data: LoadedData, name_or_path: str) -> None:
    """Raises UserError where rows drawn from train are to be scored that the model was trained on."""
    from nlpbench.config.load import load as load_config
    from nlpbench.models.source import run_of

    split, run = config.evaluation.split, run_of(name_or_path)
    if split not in data.drawn or run is None:
        return
    trained = load_config(run)
    if any(getattr(config.data, key) != getattr(trained.data, key) for key in SAME_TRAIN):
        return
    task, trained_task = cast(Task, config.task), cast(Task, trained.task)
    alike = all(getattr(config.data, key) == getattr(trained.data, key) for key in SAME_DRAW)
    if (
        split not in trained.needed_splits
        or not alike
        or task.stratify_by != trained_task.stratify_by
    ):
        raise UserError(
            f"the data has no {split} split, and rows drawn from train are rows that {run} was "
            "trained on; score another split, or other data"
        )


def skew_warning(config: RunConfig, material: Material, watched: str | None) -> str | None:
    """A sentence where accuracy chooses the best checkpoint on classes of unlike size."""
    import numpy as np

    task = cast(Task, config.task)
    if watched not in MISLEADING_WHEN_SKEWED or task.answer != "labels":
        return None
    counts = np.bincount(material.references["train"], minlength=len(material.labels))
    if counts.max() < SKEWED * max(1, counts.min()):
        return None
    return (
        f"accuracy chooses the best checkpoint, and the classes are skewed ({counts.max()} to "
        f"{counts.min()} rows): set training.metric_for_best_model to f1 or balanced_accuracy"
    )


def encode(config: RunConfig, material: Material, bundle: Bundle) -> dict[str, Dataset]:
    """The features of every split: train to learn from, others to predict, test without labels."""
    task = cast(Task, config.task)
    features = {
        name: encode_rows(
            task,
            split.rows,
            material.references[name] if name in ("train", "validation") else None,
            bundle,
            training=name == "train",
            corpus=material.corpus,
        )
        for name, split in material.data.splits.items()
    }
    cache.release_pages()
    return features


def truncated_share(features: Dataset) -> float:
    """The share of features that something was cut off from."""
    return float((lengths(features, "whole_length") > lengths(features)).mean())


def prediction_rows(
    split: Split, rows: list[dict[str, Any]], clusters: Sequence[Any] | None = None
) -> list[dict[str, Any]]:
    """The rows of predictions.jsonl, in dataset order, with their ids and clusters."""
    found = [{"id": split.id(index), **row} for index, row in enumerate(rows)]
    if clusters is None:
        return found
    return [{**row, CLUSTER: value} for row, value in zip(found, clusters, strict=True)]


def _printable(
    task: Task, references: dict[str, NDArray[Any]], labels: Sequence[str]
) -> dict[str, NDArray[Any]] | None:
    import numpy as np

    if task.answer != "labels":
        return None
    names = np.array(labels, dtype=object)  # a reference a row, to one string a class
    return {split: names[found] for split, found in references.items()}
