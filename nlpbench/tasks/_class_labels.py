"""Label columns to class names, ids and numbers; every doubt is an error with its row."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show
from nlpbench.tasks._columns import (
    Distinct,
    arrays,
    enumerate_arrays,
    find_distinct,
    first_null,
)

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from datasets import Dataset
    from numpy.typing import NDArray

    from nlpbench.tasks import Locate

GENERIC = re.compile(r"LABEL_\d+")


def find(rows: Dataset, column: str, locate: Locate, names: Sequence[str] | None) -> list[str]:
    """The class names of a label column, sorted; numbers by value.

    Args:
        names: what the integers 0, 1, … of the column mean, if the config says so.
    """
    given = names or _feature_names(rows, column)
    found: dict[str, Any] = {}
    distinct = _labelled(rows, column, locate)
    for value, index in zip(distinct.values, distinct.first, strict=True):
        found[_spell(value, column, index, locate, given)] = value
    classes = _in_order(found, given)
    _check_classes(classes, column, locate)
    return classes


def find_in_lists(
    rows: Dataset, column: str, locate: Locate, names: Sequence[str] | None
) -> list[str]:
    """The class names of a column of label lists."""
    given = names or _feature_names(rows, column)
    found: dict[str, Any] = {}
    for index, value in enumerate(_lists(rows, column, locate)):
        for item in value:
            found[_spell(item, column, index, locate, given)] = item
    classes = _in_order(found, given)
    _check_classes(classes, column, locate)
    return classes


def ids(
    rows: Dataset, column: str, labels: Sequence[str], locate: Locate, names: Sequence[str] | None
) -> NDArray[np.int64]:
    """(n,) class ids in the order of `labels`."""
    import numpy as np

    lookup = _Lookup(labels, names or _feature_names(rows, column), column, locate)
    distinct = _labelled(rows, column, locate)
    pairs = zip(distinct.values, distinct.first, strict=True)
    numbers = np.array([lookup(value, index) for value, index in pairs], dtype=np.int64)
    return numbers[distinct.codes]


def indicators(
    rows: Dataset, column: str, labels: Sequence[str], locate: Locate, names: Sequence[str] | None
) -> NDArray[np.int64]:
    """(n, K) zeros and ones from a column of label lists."""
    import numpy as np

    lookup = _Lookup(labels, names or _feature_names(rows, column), column, locate)
    flags = np.zeros((len(rows), len(labels)), dtype=np.int64)
    for index, value in enumerate(_lists(rows, column, locate)):
        for item in value:
            flags[index, lookup(item, index)] = 1
    return flags


def indicator_columns(rows: Dataset, columns: Sequence[str], locate: Locate) -> NDArray[np.int64]:
    """(n, K) zeros and ones from one column a label."""
    import numpy as np

    flags = np.zeros((len(rows), len(columns)), dtype=np.int64)
    for number, column in enumerate(columns):
        distinct = find_distinct(rows, column)
        for value, index in zip(distinct.values, distinct.first, strict=True):
            if value not in (0, 1):
                raise UserError(
                    f"{locate(index)}: the column {column} must hold 0 or 1 (got {show(value)})"
                )
        flags[:, number] = np.array(distinct.values, dtype=np.int64)[distinct.codes]
    return flags


def numbers(rows: Dataset, column: str, locate: Locate) -> NDArray[np.float64]:
    """(n,) values of a regression."""
    import numpy as np
    import pyarrow as pa

    parts = []
    for array in arrays(rows, column):
        if not (_is_number(array.type) or pa.types.is_null(array.type)):
            break
        parts.append(array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))
    values = np.concatenate(parts) if parts else np.array([np.nan])
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        index = int(wrong[0])
        value = rows[index][column]
        if _missing(value):
            raise UserError(_no_label(rows, column, index, locate))
        raise UserError(
            f"{locate(index)}: the column {column} must hold numbers for a regression "
            f"(got {show(value)})"
        )
    return values


def _is_number(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )


class _Lookup:
    """Class ids of raw values under the labels that a model knows."""

    def __init__(
        self, labels: Sequence[str], names: Sequence[str] | None, column: str, locate: Locate
    ) -> None:
        self.labels, self.names, self.column, self.locate = labels, names, column, locate
        self.by_name = {label: number for number, label in enumerate(labels)}
        folded = {label.casefold(): number for number, label in enumerate(labels)}
        self.by_folded_name = folded if len(folded) == len(labels) else {}
        self.generic = all(GENERIC.fullmatch(label) for label in labels)

    def __call__(self, value: Any, index: int) -> int:
        if self.generic and isinstance(value, int) and 0 <= value < len(self.labels):
            return value
        name = _spell(value, self.column, index, self.locate, self.names)
        number = self.by_name.get(name, self.by_folded_name.get(name.casefold()))
        if number is None:
            raise UserError(
                f"{self.locate(index)}: the label {show(name)} in the column {self.column} is "
                f"none of those of the model ({_listed(self.labels)}), which come from its "
                "training rows"
            )
        return number


def _labelled(rows: Dataset, column: str, locate: Locate) -> Distinct:
    distinct = find_distinct(rows, column)
    hidden = _feature_names(rows, column) is not None
    for value, index in zip(distinct.values, distinct.first, strict=True):
        if hidden and value == -1:
            raise UserError(
                f"{locate(index)}: the label is -1, so this split's labels are hidden; "
                "score another one with evaluation.split"
            )
        if _missing(value):
            raise UserError(_no_label(rows, column, index, locate))
    return distinct


def _lists(rows: Dataset, column: str, locate: Locate) -> Iterator[list[Any]]:
    for index, array in enumerate_arrays(rows, column):
        wrong = index if not _is_list(array.type) else first_null(array, index)
        if wrong is not None:
            raise UserError(
                f"{locate(wrong)}: the column {column} must hold lists of labels "
                f"(got {show(rows[wrong][column])})"
            )
    for array in arrays(rows, column):
        yield from array.to_pylist()


def _is_list(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _missing(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _no_label(rows: Dataset, column: str, first: int, locate: Locate) -> str:
    more = sum(_missing(value) for array in arrays(rows, column) for value in array.to_pylist()) - 1
    if not more:
        return (
            f"{locate(first)}: the column {column} has no label here; label this row or take it out"
        )
    return (
        f"{locate(first)}: the column {column} has no label here, nor in {more} more of "
        f"{len(rows)} rows; label these rows or take them out"
    )


def _spell(value: Any, column: str, index: int, locate: Locate, names: Sequence[str] | None) -> str:
    """The name of a raw label."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        if names is None:
            return str(value)
        if 0 <= value < len(names):
            return names[value]
        raise UserError(
            f"{locate(index)}: the label {value} in the column {column} has no name among "
            f"the {len(names)} given ({_listed(names)})"
        )
    advice = {
        float: "write problem_type: regression, or make the labels whole numbers or words",
        list: "write problem_type: multi_label_classification",
    }.get(type(value), "labels are words or whole numbers")
    raise UserError(
        f"{locate(index)}: {show(value)} in the column {column} is no class label; {advice}"
    )


def _feature_names(rows: Dataset, column: str) -> list[str] | None:
    feature = rows.features[column]
    names = getattr(feature, "names", None) or getattr(
        getattr(feature, "feature", None), "names", None
    )
    return list(names) if names else None


def _in_order(found: dict[str, Any], names: Sequence[str] | None) -> list[str]:
    """All given names in their order, then the found ones sorted, integers by value."""
    rest = [name for name in found if name not in (names or ())]
    if all(isinstance(found[name], int) for name in rest):
        rest.sort(key=lambda name: found[name])
    else:
        rest.sort()
    return [*(names or ()), *rest]


def _check_classes(classes: list[str], column: str, locate: Locate) -> None:
    folded: dict[str, str] = {}
    for name in classes:
        other = folded.setdefault(name.strip().casefold(), name)
        if other != name:
            raise UserError(
                f"the column {column} holds both {show(other)} and {show(name)}; "
                "if they are one class, write them alike"
            )
    if len(classes) < 2:
        raise UserError(
            f"the column {column} holds only one class ({_listed(classes)}) in the training "
            f"rows ({locate(0)} on); there is nothing to tell apart"
        )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:10])
    return shown if len(names) <= 10 else f"{shown}, … {len(names)} in all"
