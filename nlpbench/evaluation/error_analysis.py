"""What a model gets wrong: the worst examples, the labels it confuses, references that may be wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nlpbench.evaluation import answered as answers
from nlpbench.evaluation.answered import Answered
from nlpbench.evaluation.confused_pairs import WITH_LABELS, confused_pairs
from nlpbench.evaluation.example_losses import losses
from nlpbench.evaluation.label_errors import suspected_label_errors
from nlpbench.evaluation.metrics import Metric
from nlpbench.tasks import Predictions

if TYPE_CHECKING:
    from numpy.typing import NDArray

HIGHEST_LOSS = "highest_loss.jsonl"
CONFUSED_PAIRS = "confused_pairs.jsonl"
LABEL_ERRORS = "suspected_label_errors.jsonl"
TOLD = 5  # pairs that the summary names


@dataclass(frozen=True)
class Errors:
    """The errors of a model.

    Attributes:
        tables: files of the run directory by name, a mapping a line.
        summary: what a record tells of them.
    """

    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)


def analyse(
    answered: Answered,
    metrics: Sequence[Metric],
    texts: Sequence[str] | None = None,
    examples: int = 50,
) -> Errors:
    """The highest losses, the confused pairs and the suspected label errors, where there are such.

    Args:
        metrics: the headline first; it is the loss of an answer that has none of its own.
        texts: (n,) what the model read; left out of the tables where they are not there.
        examples: of each table, at most.
    """
    found = Errors()
    if len(answered):
        _highest_losses(found, answered, metrics, texts, examples)
    if answered.answer in WITH_LABELS:
        pairs = confused_pairs(answered)
        found.tables[CONFUSED_PAIRS] = pairs[:examples]
        told = ("reference", "prediction", "count", "share")
        found.summary["confused_pairs"] = [{key: one[key] for key in told} for one in pairs[:TOLD]]
    if answered.answer == "labels" and answered.predictions.probabilities is not None:
        _label_errors(found, answered, texts, examples)
    return found


def _highest_losses(
    found: Errors,
    answered: Answered,
    metrics: Sequence[Metric],
    texts: Sequence[str] | None,
    examples: int,
) -> None:
    import numpy as np

    told = losses(answered, metrics)
    if told is None or not np.isfinite(told.values).any():
        return
    known = np.flatnonzero(~np.isnan(told.values))
    order = known[np.argsort(-told.values[known], kind="stable")][:examples]
    rows = _rows(answered, order, texts)
    values = told.values[order].tolist()
    found.tables[HIGHEST_LOSS] = [
        {**row, "loss": value} for row, value in zip(rows, values, strict=True)
    ]
    found.summary["loss"] = {
        "name": told.name,
        "mean": float(told.values[known].mean()),
        "highest": values[0],
    }


def _label_errors(
    found: Errors, answered: Answered, texts: Sequence[str] | None, examples: int
) -> None:
    import numpy as np

    probabilities = answered.predictions.probabilities
    assert probabilities is not None
    if not np.isfinite(probabilities).all():
        return
    suspected = suspected_label_errors(probabilities, answered.references)
    found.summary["suspected_label_errors"] = len(suspected.examples)
    numbers, labels = suspected.examples[:examples], suspected.labels[:examples]
    rows = _rows(answered, numbers, texts)
    told = {
        "prediction": [answered.labels[label] for label in labels.tolist()],
        "confidence": probabilities[numbers, labels].tolist(),
        "reference_probability": probabilities[numbers, answered.references[numbers]].tolist(),
    }
    found.tables[LABEL_ERRORS] = [
        {**row, **{key: values[place] for key, values in told.items()}}
        for place, row in enumerate(rows)
    ]


def _rows(
    answered: Answered, chosen: NDArray[Any], texts: Sequence[str] | None
) -> list[dict[str, Any]]:
    """Id, text, reference and prediction of the chosen examples, and how sure the model was."""
    rows = []
    for number, row in zip(chosen.tolist(), answers.rows_of(_only(answered, chosen)), strict=True):
        text = {} if texts is None else {"text": texts[number]}
        shares = row.pop("probabilities", None)
        sure = {}
        if shares is not None and answered.answer == "labels":
            sure = {"confidence": shares[row["prediction"]]}
        elif shares is not None:
            sure = {"probabilities": shares}
        told = {"id": row.pop("id"), **text, **row, **sure}
        rows.append(told)
    return rows


def _only(answered: Answered, chosen: NDArray[Any]) -> Answered:
    predictions = answered.predictions
    shares = predictions.probabilities
    return Answered(
        answered.answer,
        answered.labels,
        [answered.ids[number] for number in chosen.tolist()],
        answered.references[chosen],
        Predictions(predictions.answers[chosen], None if shares is None else shares[chosen]),
    )
