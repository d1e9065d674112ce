"""Columns of word lists and of their tags; every doubt is an error with its row and word."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show
from nlpbench.tasks._columns import BATCH, arrays, enumerate_arrays, first_null

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset

    from nlpbench.tasks import Locate


class Sentences(Sequence[str]):
    """The words of each row joined by a space, read from the disk whenever they are asked for."""

    def __init__(self, rows: Dataset, column: str) -> None:
        self.column = column
        self.rows = rows.select_columns([column]).with_format(None)

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        found = self.rows[index][self.column]
        return list(map(" ".join, found)) if isinstance(index, slice) else " ".join(found)

    def __iter__(self) -> Iterator[str]:
        for batch in self.rows.iter(BATCH):
            yield from map(" ".join, batch[self.column])


def word_lists(rows: Dataset, column: str) -> Iterator[list[str]]:
    """The words of each row."""
    for batch in rows.select_columns([column]).with_format(None).iter(BATCH):
        yield from batch[column]


def check_words(rows: Dataset, column: str, locate: Locate) -> None:
    """Raises UserError unless the column holds lists of words."""
    import pyarrow as pa

    for start, array in enumerate_arrays(rows, column):
        wrong = start if not _is_list(array.type) else first_null(array, start)
        if wrong is None and not _is_text(array.type.value_type):
            wrong = _first_filled(array, start)
        if wrong is not None:
            raise UserError(
                f"{locate(wrong)}: the column {column} must hold lists of words "
                f"(got {show(rows[wrong][column])})"
            )
        null = (
            first_null(array.flatten(), 0) if not pa.types.is_null(array.type.value_type) else None
        )
        if null is not None:
            index = start + int(array.value_parent_indices()[null].as_py())
            word = rows[index][column].index(None) + 1
            raise UserError(f"{locate(index)}: word {word} in the column {column} is empty (null)")


def tag_lists(
    rows: Dataset,
    tokens_column: str,
    column: str,
    locate: Locate,
    names: Sequence[str] | None,
) -> list[list[str]]:
    """The tags of each row as they are written, one a word.

    Args:
        names: what the integers 0, 1, … of the column mean, if the config or the data says so.

    Raises:
        UserError: no lists, as many tags as there are words not given, a missing tag, or a number
            without a name.
    """
    for start, array in enumerate_arrays(rows, column):
        wrong = start if not _is_list(array.type) else first_null(array, start)
        if wrong is not None:
            raise UserError(
                f"{locate(wrong)}: the column {column} must hold lists of tags, one a word "
                f"(got {show(rows[wrong][column])})"
            )
    words = word_lists(rows, tokens_column)
    found: list[list[Any]] = [tags for array in arrays(rows, column) for tags in array.to_pylist()]
    spelled: dict[Any, str] = {}
    for index, (tags, tokens) in enumerate(zip(found, words, strict=True)):
        if len(tags) != len(tokens):
            raise UserError(
                f"{locate(index)}: {len(tags)} tags in the column {column} for {len(tokens)} words "
                f"in {tokens_column}; give one tag for every word"
            )
        for word, tag in enumerate(tags):
            if tag not in spelled:
                where = f"{locate(index)}, word {word + 1} ({show(tokens[word])})"
                spelled[tag] = _spell(tag, column, where, names)
            tags[word] = spelled[tag]
    return found


def names_in(rows: Dataset, column: str) -> list[str] | None:
    """The names of a column of lists of ClassLabel."""
    names = getattr(getattr(rows.features[column], "feature", None), "names", None)
    return list(names) if names else None


def _spell(tag: Any, column: str, where: str, names: Sequence[str] | None) -> str:
    if isinstance(tag, str) and tag:
        return tag
    if not isinstance(tag, int) or isinstance(tag, bool):
        what = "has no tag" if tag in (None, "") else f"has the tag {show(tag)}"
        raise UserError(f"{where}: {what} in the column {column}; tags are words or whole numbers")
    if names is None:
        raise UserError(
            f"{where}: has the tag {tag} in the column {column}, a number without a name; "
            "write task.labels: [O, B-TYPE, …], the names of 0, 1, …"
        )
    if tag == -1:
        raise UserError(
            f"{where}: has the tag -1, so this split's tags are hidden; score another one with "
            "evaluation.split"
        )
    if not 0 <= tag < len(names):
        raise UserError(
            f"{where}: has the tag {tag} in the column {column}, and there are names for 0 to "
            f"{len(names) - 1}"
        )
    return names[tag]


def _is_list(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _first_filled(array: pa.Array, start: int) -> int | None:
    """The row of the first list that is not empty."""
    return next((start + row for row, items in enumerate(array.to_pylist()) if items), None)
