"""Columns of texts to read and of texts to write; a text may be a list of sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show
from nlpbench.tasks._columns import BATCH, arrays, enumerate_arrays, first_null

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset
    from numpy.typing import NDArray

    from nlpbench.tasks import Locate


def join(value: str | list[str]) -> str:
    """A text, or the sentences of one."""
    return value if isinstance(value, str) else " ".join(value)


class Sources(Sequence[str]):
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
        found = self.rows[index]
        if isinstance(index, slice):
            return list(self._joined(found))
        return "\n".join(join(found[column]) for column in self.columns)

    def __iter__(self) -> Iterator[str]:
        for batch in self.rows.iter(BATCH):
            yield from self._joined(batch)

    def _joined(self, batch: dict[str, list[Any]]) -> Iterator[str]:
        columns = (map(join, batch[column]) for column in self.columns)
        return map("\n".join, zip(*columns, strict=True))


def check_texts(rows: Dataset, column: str, locate: Locate, nulls: bool = False) -> None:
    """Raises UserError unless the column holds texts, or lists of them.

    Args:
        nulls: rows may have none.
    """
    for start, array in enumerate_arrays(rows, column):
        index = first_null(array, start)
        if index is not None and not nulls:
            raise UserError(f"{locate(index)}: the column {column} is empty (null)")
        wrong = _first_without_text(array)
        if wrong is not None:
            value = rows[start + wrong][column]
            what = "a null" if isinstance(value, list) and None in value else show(value)
            raise UserError(
                f"{locate(start + wrong)}: the column {column} must hold a text, or a list of texts "
                f"(got {what})"
            )


def read_references(
    rows: Dataset, columns: Sequence[str], locate: Locate, instead: str | None = None
) -> NDArray[Any]:
    """(n,) lists of the raw right texts of each row.

    A column holds one of them, or a list of several; with several columns a row may lack some.

    Args:
        instead: what is right where a list is empty.

    Raises:
        UserError: something else than text, or a row without any, with its place.
    """
    import numpy as np

    for column in columns:
        check_texts(rows, column, locate, nulls=len(columns) > 1)
    found = np.empty(len(rows), dtype=object)
    found[:] = [[] for _ in range(len(rows))]
    for column in columns:
        start = 0
        for array in arrays(rows, column):
            for index, value in enumerate(array.to_pylist(), start):
                found[index] += _several(value)
            start += len(array)
    for index, texts in enumerate(found):
        if not texts and instead is not None:
            found[index] = [instead]
        elif not texts:
            names = " and ".join(columns)
            raise UserError(
                f"{locate(index)}: there is no reference in {names}; leave this row out"
            )
    return found


def batch_references(
    batch: dict[str, Any], columns: Sequence[str], instead: str | None = None
) -> list[list[str]]:
    """The same of a batch of rows that were checked before."""
    values = zip(*(batch[column] for column in columns), strict=True)
    found = [[text for value in row for text in _several(value)] for row in values]
    return [texts or [str(instead)] for texts in found]


def _several(value: str | list[str] | None) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else list(value)


def _first_without_text(array: pa.Array) -> int | None:
    """The first value that is neither null nor text nor a list of texts."""
    import pyarrow as pa

    if pa.types.is_null(array.type) or _is_text(array.type):
        return None
    nested = pa.types.is_list(array.type) or pa.types.is_large_list(array.type)
    if not nested or not (
        _is_text(array.type.value_type) or pa.types.is_null(array.type.value_type)
    ):
        filled = array.is_valid().to_numpy(zero_copy_only=False).nonzero()[0]
        return int(filled[0]) if len(filled) else None
    inner = first_null(array.flatten(), 0)
    return None if inner is None else int(array.value_parent_indices()[inner].as_py())


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )
