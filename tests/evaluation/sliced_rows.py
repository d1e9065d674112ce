"""Rows with answers, cut into slices without a model."""

from __future__ import annotations

from typing import Any

import numpy as np
from datasets import Dataset

from nlpbench.config.slices import Slicing
from nlpbench.evaluation import membership
from nlpbench.evaluation.answered import Answered
from nlpbench.evaluation.membership import Rows, Sliced
from nlpbench.tasks import Predictions

LABELS = ["negative", "positive"]


def rows_of(columns: dict[str, list[Any]], references: Any = None, labels: Any = ()) -> Rows:
    """The columns as a data set; what a row says is its column `text`, or nothing."""
    size = len(next(iter(columns.values())))
    held = np.zeros(size, dtype=int) if references is None else np.asarray(references)
    texts = columns.get("text", [""] * size)
    return Rows(Dataset.from_dict(columns), texts, held, labels, lambda row: f"d.csv:{row + 2}")


def cut(columns: dict[str, list[Any]], *slicings: Any, **more: Any) -> list[Sliced]:
    return membership.find(
        [Slicing.model_validate(slicing) for slicing in slicings], rows_of(columns, **more)
    )


def parts(sliced: Sliced) -> dict[str, list[int]]:
    return {part.name: part.rows.tolist() for part in sliced.slices}


def answered(
    references: Any, answers: Any, probabilities: Any = None, labels: Any = LABELS, clusters=None
) -> Answered:
    references = np.asarray(references)
    kind = "label-sets" if references.ndim == 2 else "labels"
    predictions = Predictions(np.asarray(answers), probabilities)
    return Answered(
        kind, list(labels), list(range(len(references))), references, predictions, clusters
    )
