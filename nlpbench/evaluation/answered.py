"""Answers beside their references, as metrics read them: a model's just now, or those of a file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show
from nlpbench.data.json_values import kind_of
from nlpbench.evaluation.answer_arrays import Column, to_array, to_probabilities
from nlpbench.evaluation.json_lines import json_lines
from nlpbench.evaluation.metrics import Answer
from nlpbench.results.files import spelled_if_infinite, strict_json
from nlpbench.tasks import Predictions

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEEDED = ("id", "reference", "prediction")
WITH_PROBABILITIES = ("labels", "label-sets")
CLUSTER = "cluster"  # the source of a row, which it may share with others
ROUNDED = 0.05  # how far from 1 probabilities may add up to, as those of few digits do


@dataclass(frozen=True)
class Answered:
    """What was predicted for n examples, and what the data says.

    Attributes:
        answer: the kind of the predictions; see the table at `Metric`.
        labels: the K class names; empty where there are none.
        ids: (n,) of the examples, no two alike.
        references: aligned with the predictions, as the table says.
        clusters: (n,) values that are equal where examples come from one source; None where each
            stands for itself.
    """

    answer: Answer
    labels: list[str]
    ids: list[Any]
    references: NDArray[Any]
    predictions: Predictions
    clusters: list[Any] | None = None

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Row:
    """An example in the form of predictions.jsonl.

    Attributes:
        place: of the prediction, for messages.
        reference_place: of the reference, where that stands elsewhere.
        details: what else is told of it.
    """

    id: int | str
    reference: Any
    prediction: Any
    probabilities: Any
    place: str
    reference_place: str
    details: dict[str, Any]


def read(file: Path, answer: Answer, labels: Sequence[str] = ()) -> Answered:
    """The rows of a predictions.jsonl, back in the form they were written from.

    Args:
        answer: the kind of the predictions, as the task of the run says.
        labels: the class names, in the order of the record.

    Raises:
        UserError: a file that cannot be read, a damaged row, an id twice, a label that is not
            among the names; each with its line.
    """
    rows = []
    for place, values in json_lines(file):
        missing = [key for key in NEEDED if key not in values]
        if missing:
            raise UserError(f"{place} has no {' and no '.join(missing)}")
        more = {key: value for key, value in values.items() if key not in NEEDED}
        shares = more.pop("probabilities", None) if answer in WITH_PROBABILITIES else None
        rows.append(
            Row(
                id=values["id"],
                reference=values["reference"],
                prediction=values["prediction"],
                probabilities=shares,
                place=place,
                reference_place=place,
                details=more,
            )
        )
    return build(rows, answer, labels)


def build(rows: Sequence[Row], answer: Answer, labels: Sequence[str] = ()) -> Answered:
    """The arrays that metrics read, of rows in the form of predictions.jsonl.

    Raises:
        UserError: an id twice, a value that is none of the kind, probabilities of some rows only.
    """
    _check_ids(rows)
    places = [row.place for row in rows]
    references = [row.reference for row in rows]
    column = Column("reference", references, [row.reference_place for row in rows], labels)
    found = to_array(answer, column)
    answers = to_array(
        answer, Column("prediction", [row.prediction for row in rows], places, labels)
    )
    clusters = _clusters(rows)
    details = [{key: value for key, value in row.details.items() if key != CLUSTER} for row in rows]
    return Answered(
        answer=answer,
        labels=list(labels),
        ids=[row.id for row in rows],
        references=found,
        predictions=Predictions(
            answers, _probabilities(rows, places, answer, labels), details if any(details) else None
        ),
        clusters=clusters,
    )


def rows_of(answered: Answered) -> Iterator[dict[str, Any]]:
    """The rows of predictions.jsonl, which `read` takes back."""
    predictions, labels = answered.predictions, answered.labels
    shares = None if predictions.probabilities is None else predictions.probabilities.tolist()
    details = predictions.details or [{}] * len(answered)
    pairs = zip(answered.references.tolist(), predictions.answers.tolist(), strict=True)
    for number, (reference, prediction) in enumerate(pairs):
        row = {
            "id": answered.ids[number],
            "reference": _spelled(answered.answer, reference, labels),
            "prediction": _spelled(answered.answer, prediction, labels),
        }
        if shares is not None:
            row["probabilities"] = dict(zip(labels, shares[number], strict=True))
        if answered.clusters is not None:
            row[CLUSTER] = answered.clusters[number]
        yield {**row, **{key: value for key, value in details[number].items() if key not in row}}


def fingerprint(answered: Answered) -> str:
    """A digest of ids and references, in whatever order they stand.

    It is that of the lines `[id, reference]`, as JSON and sorted.
    """
    labels, references = answered.labels, answered.references.tolist()
    lines = sorted(
        strict_json([name, _spelled(answered.answer, reference, labels)])
        for name, reference in zip(answered.ids, references, strict=True)
    )
    text = "".join(f"{line}\n" for line in lines)
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _spelled(answer: Answer, value: Any, labels: Sequence[str]) -> Any:
    """A reference or an answer as predictions.jsonl has it."""
    if answer == "labels":
        return labels[value]
    if answer == "label-sets":
        return [label for label, flag in zip(labels, value, strict=True) if flag]
    if answer == "log-likelihoods":
        return [spelled_if_infinite(part) for part in value]
    return value


def _check_ids(rows: Sequence[Row]) -> None:
    seen: dict[Any, str] = {}
    for row in rows:
        if not isinstance(row.id, int | str):
            raise UserError(
                f"{row.place} has the id {show(row.id)}, which is {kind_of(row.id)} where a text "
                "or a whole number is due"
            )
        if row.id in seen:
            raise UserError(f"{row.place} has the id {show(row.id)} of {seen[row.id]}")
        seen[row.id] = row.place


def _clusters(rows: Sequence[Row]) -> list[Any] | None:
    having = [row.details.get(CLUSTER) is not None for row in rows]
    if not any(having):
        return None
    if not all(having):
        raise UserError(
            f"{rows[having.index(False)].place} has no {CLUSTER}, and "
            f"{rows[having.index(True)].place} has"
        )
    for row in rows:
        value = row.details[CLUSTER]
        if not isinstance(value, str | int | float):
            raise UserError(
                f"{row.place} has the {CLUSTER} {show(value)}, which is {kind_of(value)} where a "
                "text or a number is due"
            )
    return [row.details[CLUSTER] for row in rows]


def _probabilities(
    rows: Sequence[Row], places: Sequence[str], answer: Answer, labels: Sequence[str]
) -> NDArray[Any] | None:
    having = [row.probabilities is not None for row in rows]
    if not any(having):
        return None
    if not all(having):
        raise UserError(
            f"{rows[having.index(False)].place} has no probabilities, and "
            f"{rows[having.index(True)].place} has"
        )
    shares = to_probabilities([row.probabilities for row in rows], places, labels)
    if answer == "labels":
        sums = shares.sum(axis=1)
        for row in (abs(sums - 1) > ROUNDED).nonzero()[0].tolist()[:1]:
            raise UserError(
                f"{places[row]} has probabilities that add up to {sums[row]:.4g}, not 1"
            )
    return shares
