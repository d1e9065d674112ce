"""Predictions to scores with intervals and signatures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError
from nlpbench.config.sections import EvaluationSection
from nlpbench.evaluation import bootstrap
from nlpbench.evaluation.clusters import numbered
from nlpbench.evaluation.metrics import Answer, Metric
from nlpbench.results.record import Score
from nlpbench.tasks import objects

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
    clusters: Sequence[Any] | None = None,
) -> dict[str, Score]:
    """Every metric's scores by key, each with its percentile bootstrap interval.

    Args:
        clusters: (n,) values that are equal where rows are of one cluster; the bootstrap then
            draws clusters, and examples without.

    Raises:
        UserError: predictions and references that a metric cannot take.
    """
    numbers = None if clusters is None else numbered(clusters)
    scores = {}
    for metric in metrics:
        read = predictions.read(metric.reads)
        values = metric.compute(read, references, labels)
        signature = metric.signature_for(references, labels, answer)
        found = bootstrap.intervals(
            metric,
            read,
            references,
            labels,
            confidence=section.confidence,
            resamples=section.resamples,
            seed=section.bootstrap_seed,
            clusters=numbers,
        )
        for key, value in values.items():
            defined = math.isfinite(value)
            scores[key] = Score(
                value=None if math.isnan(value) else value,
                low=found[key].low if defined else None,
                high=found[key].high if defined else None,
                signature="|".join(filter(None, (signature, predictions.signature))),
                higher_is_better=metric.higher_is_better,
            )
    return scores


def doubts(
    metrics: Sequence[Metric], predictions: Predictions, references: NDArray[Any]
) -> list[str]:
    """What the metrics find doubtful about their input, each sentence once.

    Raises:
        UserError: input that cannot be meant so.
    """
    found = [metric.check(predictions.read(metric.reads), references) for metric in metrics]
    return list(dict.fromkeys(sentence for sentences in found for sentence in sentences))


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

    Raises:
        UserError: a metric that cannot be computed, or two that give the same score.
    """
    predictions, references = _dummies(answer, labels)
    keys: dict[str, Metric] = {}
    for metric in metrics:
        metric.signature(labels, answer)
        for key in metric.compute(predictions.read(metric.reads), references, labels):
            if key in keys:
                raise UserError(
                    f"evaluation.metrics: two metrics ({keys[key].name} and {metric.name}) give "
                    f"the score {key}; keep one of them"
                )
            keys[key] = metric
    return keys


def _dummies(answer: Answer, labels: Sequence[str]) -> tuple[Predictions, NDArray[Any]]:
    """Predictions and references of a few made-up examples."""
    import numpy as np

    from nlpbench.tasks import Predictions

    rows = max(4, 2 * len(labels))
    ids: NDArray[Any] = np.arange(rows) % max(1, len(labels))
    eye: NDArray[Any] = np.eye(max(1, len(labels)))[ids]
    numbers = np.arange(rows) / rows
    words = [f"a made-up text of row {row}" for row in range(rows)]
    tags = [tag for tag in labels if tag != "O"] or ["B-made-up"]
    made: dict[Answer, tuple[Predictions, Any]] = {
        "labels": (Predictions(ids, eye), ids),
        "label-sets": (Predictions(eye.astype(np.int64), eye), eye.astype(np.int64)),
        "values": (Predictions(numbers), numbers),
        "tags": (
            Predictions(objects([[tags[row % len(tags)], "O"] for row in range(rows)])),
            objects([["O", "O", tags[0]][row % 2 :][:2] for row in range(rows)]),
        ),
        "spans": (Predictions(objects(words)), objects([[word] for word in words])),
        "texts": (Predictions(objects(words)), objects([[word] for word in words])),
        "log-likelihoods": (
            Predictions(np.stack([-1.0 - numbers, np.full(rows, 3.0)], axis=1)),
            np.stack([np.full(rows, 2), np.full(rows, 9)], axis=1),
        ),
        "rankings": (
            Predictions(objects([["one", "two"]] * rows)),
            objects([{"one": 1}, {"two": 1}] * (rows // 2)),
        ),
    }
    return made[answer]
