"""Columns of any number of rows, read a little at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from datasets import Dataset
    from numpy.typing import NDArray

    from nlpbench.tasks import Locate

BATCH = 10_000  # rows


class Texts(Sequence[str]):
    """What rows say, read from the disk whenever it is asked for; two columns make two lines."""

    def __init__(self, rows: Dataset, columns: Sequence[str]) -> None:
        self.columns = list(columns)
        self.rows = rows.select_columns(self.columns).with_format(None)

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        found: dict[str, Any] = self.rows[index]
        if isinstance(index, slice):
            return list(self._joined(found))
        return "\n".join(found[column] for column in self.columns)

    def __iter__(self) -> Iterator[str]:
        for batch in self.rows.iter(BATCH):
            yield from self._joined(batch)

    def _joined(self, batch: dict[str, list[str]]) -> Iterator[str]:
        return map("\n".join, zip(*(batch[column] for column in self.columns), strict=True))


@dataclass(frozen=True)
class Distinct:
    """The distinct values of a column, in order of appearance.

    Attributes:
        first: for each of them the first row that holds it.
        codes: (n,) for each row the number of its value.
    """

    values: list[Any]
    first: list[int]
    codes: NDArray[np.int32]


def find_distinct(rows: Dataset, column: str) -> Distinct:
    """NaN equals NaN here. All lists or mappings count as one value: they are no labels."""
    import numpy as np
    import pyarrow as pa

    numbers: dict[Any, int] = {}
    values: list[Any] = []
    first: list[int] = []
    codes = [np.empty(0, np.int32)]
    for start, array in enumerate_arrays(rows, column):
        if pa.types.is_nested(array.type):
            found, inverse = _null_or_not(array)
        else:
            encoded = array.dictionary_encode(null_encoding="encode")
            found, inverse = encoded.dictionary.to_pylist(), encoded.indices.to_numpy()
        places = np.unique(inverse, return_index=True)[1]
        known = np.empty(len(found), np.int32)
        for place, value in enumerate(found):
            key = _key(value)
            if key not in numbers:
                numbers[key] = len(values)
                values.append(value)
                first.append(start + int(places[place]))
            known[place] = numbers[key]
        codes.append(known[inverse])
    return Distinct(values, first, np.concatenate(codes))


def arrays(rows: Dataset, column: str) -> Iterator[pa.Array]:
    """The column as Arrow holds it, cut into pieces."""
    import pyarrow as pa

    for table in rows.select_columns([column]).with_format("arrow").iter(BATCH):
        array = table.column(0).combine_chunks()
        yield from array.chunks if isinstance(array, pa.ChunkedArray) else [array]


def enumerate_arrays(rows: Dataset, column: str) -> Iterator[tuple[int, pa.Array]]:
    """The pieces, each with the number of its first row."""
    start = 0
    for array in arrays(rows, column):
        yield start, array
        start += len(array)


def first_null(array: pa.Array, start: int) -> int | None:
    """The row of the first null of a piece that begins at row `start`."""
    import numpy as np

    if not array.null_count:
        return None
    return start + int(np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))[0])


def check_texts(rows: Dataset, column: str, locate: Locate) -> None:
    """Raises UserError unless every row of the column holds a text."""
    import pyarrow as pa

    for start, array in enumerate_arrays(rows, column):
        is_text = pa.types.is_string(array.type) or pa.types.is_large_string(array.type)
        index = first_null(array, start) if is_text else start
        if index is not None:
            value = rows[index][column]
            what = "is empty (null)" if value is None else f"holds no text (got {show(value)})"
            raise UserError(f"{locate(index)}: the column {column} {what}")


def to_column(values: NDArray[Any]) -> Any:
    """(n,) numbers or (n, K) rows of them, for a column of a data set."""
    import numpy as np
    import pyarrow as pa

    if values.ndim == 1:
        return values
    offsets = np.arange(len(values) + 1, dtype=np.int64) * values.shape[1]
    return pa.LargeListArray.from_arrays(offsets, values.ravel()).cast(
        pa.list_(pa.from_numpy_dtype(values.dtype))
    )


def _null_or_not(array: pa.Array) -> tuple[list[Any], NDArray[np.int64]]:
    import numpy as np

    nulls = array.is_null().to_numpy(zero_copy_only=False)
    if nulls.all() or not nulls.any():
        return [array[0].as_py()], np.zeros(len(array), np.int64)
    value = array[int(np.flatnonzero(~nulls)[0])].as_py()
    return (
        ([None, value], (~nulls).astype(np.int64))
        if nulls[0]
        else ([value, None], nulls.astype(np.int64))
    )


def _key(value: Any) -> Any:
    if isinstance(value, list | dict):
        return ("a list or a mapping",)
    if isinstance(value, float) and math.isnan(value):
        return ("not a number",)
    return value
