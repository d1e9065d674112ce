"""Columns of choices and of the right one; every doubt is an error with its row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any, overload

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show
from nlpbench.tasks._columns import BATCH, check_texts, enumerate_arrays, first_null

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from datasets import Dataset
    from numpy.typing import NDArray

    from nlpbench.tasks import Locate


LETTERS = ascii_uppercase


@dataclass(frozen=True)
class ChoiceColumns:
    """Where the texts of a question stand.

    Attributes:
        question: before every choice, if there is one.
        choices: one column of lists, or one column a choice.
    """

    context: str
    question: str | None
    choices: tuple[str, ...]
    lists: bool

    @property
    def texts(self) -> list[str]:
        return [self.context, *([self.question] if self.question else []), *self.choices]

    def choices_of(self, batch: Mapping[str, Sequence[Any]]) -> list[list[str]]:
        """The choices of each row of a batch."""
        if self.lists:
            return [list(choices) for choices in batch[self.choices[0]]]
        return [list(row) for row in zip(*(batch[name] for name in self.choices), strict=True)]

    def pairs(self, batch: Mapping[str, Sequence[Any]]) -> tuple[list[list[str]], list[list[str]]]:
        """For each row the context, once a choice, and the choices as they follow it."""
        choices = self.choices_of(batch)
        if self.question is not None:
            choices = [
                [f"{question} {choice}" for choice in row]
                for question, row in zip(batch[self.question], choices, strict=True)
            ]
        rows = zip(batch[self.context], choices, strict=True)
        return [[context] * len(row) for context, row in rows], choices

    def count(self, rows: Dataset, locate: Locate) -> int:
        """How many choices each row has, after a look at all of them.

        Raises:
            UserError: a choice that is no text, or rows of unlike numbers of choices.
        """
        for name in [] if self.lists else self.choices:
            check_texts(rows, name, locate)
        count = len(self.choices) if not self.lists else _count(rows, self.choices[0], locate)
        if not 2 <= count <= len(LETTERS):
            raise UserError(
                f"{locate(0)}: the column {self.choices[0]} has {count} choices; 2 to "
                f"{len(LETTERS)} are possible"
            )
        return count


class Questions(Sequence[str]):
    """What rows say, a line a text, read from the disk whenever it is asked for."""

    def __init__(self, rows: Dataset, columns: ChoiceColumns) -> None:
        self.columns = columns
        self.rows = rows.select_columns(columns.texts).with_format(None)

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return list(self._joined(self.rows[index]))
        return next(self._joined({key: [value] for key, value in self.rows[index].items()}))

    def __iter__(self) -> Iterator[str]:
        for batch in self.rows.iter(BATCH):
            yield from self._joined(batch)

    def _joined(self, batch: Mapping[str, Sequence[Any]]) -> Iterator[str]:
        named = [self.columns.context, self.columns.question]
        before = zip(*(batch[name] for name in named if name is not None), strict=True)
        for texts, choices in zip(before, self.columns.choices_of(batch), strict=True):
            yield "\n".join([*texts, *choices])


def right_choices(
    rows: Dataset, columns: ChoiceColumns, label_column: str, first: int, locate: Locate
) -> NDArray[np.int64]:
    """(n,) the places of the right choices, from 0.

    A label is a number, a letter, or the text of the choice.

    Args:
        first: the number of the first choice.

    Raises:
        UserError: no label, or one that means none of the choices, or two of them.
    """
    import numpy as np

    places = []
    for batch in (
        rows.select_columns([*columns.choices, label_column]).with_format(None).iter(BATCH)
    ):
        for label, choices in zip(batch[label_column], columns.choices_of(batch), strict=True):
            try:
                places.append(_place(label, choices, first))
            except ValueError as error:
                where = locate(len(places))
                raise UserError(f"{where}: the column {label_column} {error}") from None
    return np.array(places, dtype=np.int64)


def _count(rows: Dataset, column: str, locate: Locate) -> int:
    count = None
    for start, array in enumerate_arrays(rows, column):
        wrong = first_null(array, start) if _is_list_of_texts(array.type) else start
        if wrong is not None:
            raise UserError(
                f"{locate(wrong)}: the column {column} must hold lists of texts "
                f"(got {show(rows[wrong][column])})"
            )
        for index, choices in enumerate(array.to_pylist(), start):
            if None in choices:
                place = choices.index(None) + 1
                raise UserError(f"{locate(index)}: choice {place} in the column {column} is null")
            count = len(choices) if count is None else count
            if len(choices) != count:
                raise UserError(
                    f"{locate(index)}: {len(choices)} choices in the column {column}, and {count} "
                    f"in the rows before ({locate(0)} on); give every row as many"
                )
    return count or 0


def _place(label: Any, choices: Sequence[str], first: int) -> int:
    if label is None or label == "" or isinstance(label, float | bool | list | dict):
        what = "has no label here" if label in (None, "") else f"holds no label (got {show(label)})"
        raise ValueError(f"{what}; write a number, a letter or the text of the right choice")
    if isinstance(label, int):
        return _numbered(label, choices, first)
    meant = {place for place, choice in enumerate(choices) if choice == label}
    if len(meant) > 1:
        raise ValueError(
            f"names a choice that stands there twice ({show(label)}); write its number"
        )
    letter = LETTERS.find(label.upper()) if len(label) == 1 else -1
    if 0 <= letter < len(choices):
        meant.add(letter)
    if label.isdecimal() or label == "-1":
        if not meant:
            return _numbered(int(label), choices, first)
        if 0 <= int(label) - first < len(choices):
            meant.add(int(label) - first)
    if len(meant) > 1:
        raise ValueError(
            f"is the text of a choice and the number or letter of another ({show(label)}); write "
            "whole numbers"
        )
    if not meant:
        raise ValueError(f"names none of the {len(choices)} choices (got {show(label)})")
    return meant.pop()


def _numbered(label: int, choices: Sequence[str], first: int) -> int:
    if label == -1:
        raise ValueError(
            "holds -1, so this split's labels are hidden; score another one with evaluation.split"
        )
    if not 0 <= label - first < len(choices):
        advice = "; write first_label: 1" if first == 0 and label == len(choices) else ""
        raise ValueError(
            f"holds {label}, and the choices are {first} to {first + len(choices) - 1}{advice}"
        )
    return label - first


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_list_of_texts(kind: pa.DataType) -> bool:
    import pyarrow as pa

    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(is_kind(kind) for is_kind in lists) and _is_text(kind.value_type)
