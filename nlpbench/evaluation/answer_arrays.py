"""Answers and references as predictions.jsonl tells them, to the arrays that metrics read."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show
from nlpbench.evaluation.metrics import Answer
from nlpbench.tasks import objects

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]

Side = Literal["reference", "prediction"]
NAMED = 10  # labels that a message lists
INFINITE = {"inf": math.inf, "-inf": -math.inf}  # as JSON spells what it has no number for
ROUNDING = 1e-3  # of a log-probability, which is never above 0 otherwise


@dataclass(frozen=True)
class Column:
    """The values of n rows, and where each of them stands.

    Attributes:
        places: (n,) such as `predictions.jsonl:7`.
        labels: the class names, in the order of their ids.
    """

    side: Side
    values: Sequence[Any]
    places: Sequence[str]
    labels: Sequence[str] = ()

    def wrong(self, row: int, why: str) -> UserError:
        return UserError(f"{self.places[row]} has the {self.side} {show(self.values[row])}, {why}")


def to_array(answer: Answer, column: Column) -> Array:
    """The (n, …) array of one side, as the table at `Metric` says.

    Raises:
        UserError: the first value that is none of this kind, with its place.
    """
    return _MAKERS[answer][column.side](column)


def to_probabilities(values: Sequence[Any], places: Sequence[str], labels: Sequence[str]) -> Array:
    """(n, K) from n mappings of label to probability; a label that a row leaves out has 0.

    Raises:
        UserError: an unknown label, or what is no number in 0..1, with its place.
    """
    import numpy as np

    known = {label: number for number, label in enumerate(labels)}
    shares = np.zeros((len(values), len(labels)))
    for row, (value, place) in enumerate(zip(values, places, strict=True)):
        if not isinstance(value, dict) or not value:
            raise UserError(
                f"{place} has the probabilities {show(value)}, which are no mapping of labels to "
                "numbers"
            )
        for label, share in value.items():
            if label not in known:
                raise UserError(f"{place} has a probability of {_no_label(label, labels)}")
            if not (_is_number(share) and 0 <= share <= 1):
                raise UserError(
                    f"{place} gives {show(label)} the probability {show(share)}, which is none in "
                    "0..1"
                )
            shares[row, known[label]] = share
    return shares


def _ids(column: Column) -> Array:
    import numpy as np

    known = {label: number for number, label in enumerate(column.labels)}
    try:
        return np.array([known[value] for value in column.values], dtype=np.int64)
    except (KeyError, TypeError):
        for row, value in enumerate(column.values):
            if not isinstance(value, str) or value not in known:
                raise column.wrong(row, f"which is {_none_of(column.labels)}") from None
        raise


def _sets(column: Column) -> Array:
    import numpy as np

    known = {label: number for number, label in enumerate(column.labels)}
    flags = np.zeros((len(column.values), len(known)), dtype=np.int64)
    for row, value in enumerate(column.values):
        if not _is_texts(value):
            raise column.wrong(row, "which is no list of labels")
        for label in value:
            if label not in known:
                raise column.wrong(row, f"and {_no_label(label, column.labels)}")
            flags[row, known[label]] = 1
    return flags


def _numbers(column: Column) -> NDArray[np.float64]:
    import numpy as np

    for row, value in enumerate(column.values):
        if not (_is_number(value) and _fits_a_float(value)):
            raise column.wrong(row, "which is no finite number")
    return np.array(column.values, dtype=np.float64)


def _sizes(column: Column) -> NDArray[np.int64]:
    import numpy as np

    for row, value in enumerate(column.values):
        if not (_is_pair(value) and all(isinstance(part, int) and part >= 0 for part in value)):
            raise column.wrong(row, "which are not two counts, of words and of bytes")
    return np.array(column.values, dtype=np.int64)


def _likelihoods(column: Column) -> NDArray[np.float64]:
    import numpy as np

    found = np.empty((len(column.values), 2))
    for row, value in enumerate(column.values):
        parts = value if isinstance(value, list) else []
        pair: list[Any] = [INFINITE.get(str(part), part) for part in parts]
        if not (_is_pair(pair) and pair[0] <= ROUNDING and 0 <= pair[1] < math.inf):
            raise column.wrong(
                row, "which are not a sum of log-probabilities and a number of tokens"
            )
        found[row] = pair
    return found


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _fits_a_float(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of more than 308 digits
        return False


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_graded(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(grade, int) and not isinstance(grade, bool) for grade in value.values()
    )


def _objects(right: Callable[[Any], bool], what: str) -> Callable[[Column], Array]:
    def make(column: Column) -> Array:
        for row, value in enumerate(column.values):
            if not right(value):
                raise column.wrong(row, f"which is no {what}")
        return objects(column.values)

    return make


Make = Callable[[Column], "Array"]
_texts, _text = _objects(_is_texts, "list of texts"), _objects(_is_text, "text")
_tags = _objects(_is_texts, "list of tags")
_MAKERS: dict[Answer, dict[Side, Make]] = {
    "labels": {"reference": _ids, "prediction": _ids},
    "label-sets": {"reference": _sets, "prediction": _sets},
    "values": {"reference": _numbers, "prediction": _numbers},
    "tags": {"reference": _tags, "prediction": _tags},
    "spans": {"reference": _texts, "prediction": _text},
    "texts": {"reference": _texts, "prediction": _text},
    "log-likelihoods": {"reference": _sizes, "prediction": _likelihoods},
    "rankings": {
        "reference": _objects(_is_graded, "mapping of document ids to whole numbers"),
        "prediction": _objects(_is_texts, "list of document ids"),
    },
}


def _no_label(label: Any, labels: Sequence[str]) -> str:
    return f"{show(label)} is {_none_of(labels)}"


def _none_of(labels: Sequence[str]) -> str:
    more = f", … {len(labels)} in all" if len(labels) > NAMED else ""
    return f"none of the labels {', '.join(labels[:NAMED])}{more}"
