"""Predictions to scores with intervals and signatures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nlpbench.config.sections import EvaluationSection
from nlpbench.evaluation import bootstrap
from nlpbench.evaluation.metrics import Answer, Metric
from nlpbench.results.record import Score

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nlpbench.tasks import Predictions


def score(
    metrics: Sequence[Metric],
    predictions: Predictions,
    references: NDArray[Any],
    labels: Sequence[str],
    section: EvaluationSection,
    answer: Answer = "labels",
) -> dict[str, Score]:
    """Every metric's scores by key, each with its percentile bootstrap interval over examples."""
    scores = {}
    for metric in metrics:
        read = predictions.read(metric.reads)
        values = metric.compute(read, references, labels)
        found = bootstrap.intervals(
            metric,
            read,
            references,
            labels,
            confidence=section.confidence,
            resamples=section.resamples,
            seed=section.bootstrap_seed,
        )
        for key, value in values.items():
            defined = math.isfinite(value)
            scores[key] = Score(
                value=value if defined else None,
                low=found[key].low if defined else None,
                high=found[key].high if defined else None,
                signature=metric.signature(labels, answer),
                higher_is_better=metric.higher_is_better,
            )
    return scores


def values(
    metrics: Sequence[Metric],
    predictions: Predictions,
    references: NDArray[Any],
    labels: Sequence[str],
) -> dict[str, float]:
    """The bare scores by key, as training watches them."""
    found: dict[str, float] = {}
    for metric in metrics:
        found |= metric.compute(predictions.read(metric.reads), references, labels)
    return found


def try_out(metrics: Sequence[Metric], answer: Answer, labels: Sequence[str]) -> dict[str, Metric]:
    """Runs the metrics on dummy predictions, so that what they refuse is known before training.

    Returns:
        the metric of every score key.
    """
    import numpy as np

    from nlpbench.tasks import Predictions

    rows = max(4, 2 * len(labels))
    ids: NDArray[Any] = np.arange(rows) % max(1, len(labels))
    eye: NDArray[Any] = np.eye(max(1, len(labels)))[ids]
    if answer == "labels":
        predictions, references = Predictions(ids, eye), ids
    elif answer == "label-sets":
        predictions, references = Predictions(eye.astype(np.int64), eye), eye.astype(np.int64)
    else:
        predictions, references = Predictions(np.arange(rows) / rows), np.arange(rows) / rows
    keys: dict[str, Metric] = {}
    for metric in metrics:
        metric.signature(labels, answer)
        found = metric.compute(predictions.read(metric.reads), references, labels)
        keys |= dict.fromkeys(found, metric)
    return keys
