"""Answers beside their references, as metrics read them: a model's just now, or those of a file."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show
from nlpbench.evaluation.metrics import Answer
from nlpbench.tasks import Predictions, objects

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

NEEDED = ("id", "reference", "prediction")


@dataclass(frozen=True)
class Answered:
    """What was predicted for n examples, and what the data says.

    Attributes:
        answer: the kind of the predictions; see the table at `Metric`.
        labels: the K class names; empty where there are none.
        ids: (n,) of the examples, no two alike.
        references: aligned with the predictions, as the table says.
    """

    answer: Answer
    labels: list[str]
    ids: list[Any]
    references: NDArray[Any]
    predictions: Predictions

    def __len__(self) -> int:
        return len(self.ids)


def read(file: Path, answer: Answer, labels: Sequence[str] = ()) -> Answered:
    """The rows of a predictions.jsonl, back in the form they were written from.

    Args:
        answer: the kind of the predictions, as the task of the run says.
        labels: the class names, in the order of the record.

    Raises:
        UserError: a file that cannot be read, a damaged row, an id twice, a label that is not
            among the names; each with its line.
    """
    rows = _rows(file)
    if not rows:
        raise UserError(f"{file} holds no predictions")
    places = [f"{file}:{number}" for number in range(1, len(rows) + 1)]
    seen: dict[Any, str] = {}
    for row, place in zip(rows, places, strict=True):
        if (first := seen.setdefault(row["id"], place)) != place:
            raise UserError(f"{place} has the id {show(row['id'])} of {first}")
    make = _MAKERS[answer]
    numbers = {label: number for number, label in enumerate(labels)}

    def side(key: str) -> Array:
        return make([row[key] for row in rows], numbers, places, key)

    probabilities = None
    if answer in ("labels", "label-sets") and all("probabilities" in row for row in rows):
        probabilities = _probabilities(rows, labels, places)
    return Answered(
        answer=answer,
        labels=list(labels),
        ids=[row["id"] for row in rows],
        references=side("reference"),
        predictions=Predictions(side("prediction"), probabilities),
    )


def _rows(file: Path) -> list[dict[str, Any]]:
    rows = []
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not UTF-8: {error.reason} at byte {error.start}") from error
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from error
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            if text.count("\n") > number:
                raise UserError(f"{file}:{number} is empty, where a row is due")
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UserError(f"{file}:{number} is damaged: {error}") from error
        missing = [key for key in NEEDED if not (isinstance(row, dict) and key in row)]
        if missing:
            raise UserError(f"{file}:{number} has no {' and no '.join(missing)}")
        if not isinstance(row["id"], str | int):
            raise UserError(
                f"{file}:{number} has the id {show(row['id'])}, neither text nor number"
            )
        rows.append(row)
    return rows


Make = Callable[[list[Any], dict[str, int], list[str], str], "Array"]


def _ids(values: list[Any], numbers: dict[str, int], places: list[str], key: str) -> Array:
    import numpy as np

    return np.array(
        [_id(value, numbers, place, key) for value, place in zip(values, places, strict=True)]
    )


def _id(value: Any, numbers: dict[str, int], place: str, key: str) -> int:
    if not isinstance(value, str) or value not in numbers:
        known = ", ".join(numbers)
        raise UserError(f"{place} has the {key} {show(value)}, which is none of the labels {known}")
    return numbers[value]


def _sets(values: list[Any], numbers: dict[str, int], places: list[str], key: str) -> Array:
    import numpy as np

    flags = np.zeros((len(values), len(numbers)), dtype=np.int64)
    for row, (value, place) in enumerate(zip(values, places, strict=True)):
        if not isinstance(value, list):
            raise UserError(f"{place} has the {key} {show(value)}, which is no list of labels")
        for label in value:
            flags[row, _id(label, numbers, place, key)] = 1
    return flags


def _numbers(values: list[Any], _: dict[str, int], places: list[str], key: str) -> Array:
    import numpy as np

    for value, place in zip(values, places, strict=True):
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
        ):
            raise UserError(f"{place} has the {key} {show(value)}, which is no number")
    return np.array(values, dtype=np.float64)


def _pairs(values: list[Any], _: dict[str, int], places: list[str], key: str) -> Array:
    import numpy as np

    for value, place in zip(values, places, strict=True):
        if not (isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))):
            raise UserError(f"{place} has the {key} {show(value)}, which are not two numbers")
    return np.array(values)


def _objects(right: Callable[[Any], bool], what: str) -> Make:
    def make(values: list[Any], _: dict[str, int], places: list[str], key: str) -> Array:
        for value, place in zip(values, places, strict=True):
            if not right(value):
                raise UserError(f"{place} has the {key} {show(value)}, which is no {what}")
        return objects(values)

    return make


def _of_two(reference: Make, prediction: Make) -> Make:
    def make(values: list[Any], numbers: dict[str, int], places: list[str], key: str) -> Array:
        chosen = reference if key == "reference" else prediction
        return chosen(values, numbers, places, key)

    return make


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_graded(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_number, value.values()))


_MAKERS: dict[Answer, Make] = {
    "labels": _ids,
    "label-sets": _sets,
    "values": _numbers,
    "tags": _objects(_is_texts, "list of tags"),
    "spans": _of_two(_objects(_is_texts, "list of texts"), _objects(_is_text, "text")),
    "texts": _of_two(_objects(_is_texts, "list of texts"), _objects(_is_text, "text")),
    "log-likelihoods": _pairs,
    "rankings": _of_two(
        _objects(_is_graded, "mapping of document ids to grades"),
        _objects(_is_texts, "list of document ids"),
    ),
}


def _probabilities(
    rows: Sequence[dict[str, Any]], labels: Sequence[str], places: Sequence[str]
) -> Array:
    import numpy as np

    shares = np.empty((len(rows), len(labels)))
    for number, (row, place) in enumerate(zip(rows, places, strict=True)):
        found = row["probabilities"]
        if not isinstance(found, dict) or not all(
            _is_number(found.get(label, 0)) for label in labels
        ):
            raise UserError(f"{place} has probabilities that are no numbers by label")
        shares[number] = [found.get(label, 0.0) for label in labels]
    return shares
