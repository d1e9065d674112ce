"""Columns of right answers and where they stand; every doubt is an error with its row."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show
from nlpbench.tasks._columns import BATCH

if TYPE_CHECKING:
    import numpy as np
    from datasets import Dataset
    from numpy.typing import NDArray

    from nlpbench.tasks import Locate

logger = logging.getLogger("nlpbench")
SHAPE = '{"text": ["…"], "answer_start": [0]}'
NO_SPAN = (-1, -1)


@dataclass(frozen=True)
class AnswerColumns:
    """Where a row says what is right: one column of lists, or a column of texts and one of places.

    Attributes:
        answers: of mappings of the lists text and answer_start, as on the hub.
        text: of texts or lists of them, in place of `answers`.
        start: of their places, where the data knows them.
    """

    answers: str
    text: str | None = None
    start: str | None = None

    @property
    def names(self) -> list[str]:
        if self.text is None:
            return [self.answers]
        return [self.text, *([self.start] if self.start else [])]


@dataclass(frozen=True)
class Answers:
    """What is right for each of n questions.

    Attributes:
        texts: all right answers, as they are written; none where there is no answer.
        spans: (n, 2) where the first of them stands in the context, in characters, the end behind
            it, whitespace around it left out; -1 where there is no answer.
    """

    texts: list[list[str]]
    spans: NDArray[np.int64]

    def unanswerable(self) -> list[int]:
        return [index for index, texts in enumerate(self.texts) if not texts]


def read_answers(
    rows: Dataset,
    context_column: str,
    columns: AnswerColumns,
    locate: Locate,
    *,
    tell: bool = False,
) -> Answers:
    """The right answers of every row.

    An answer that does not stand where the row says is looked for: it may stand in one other place.

    Args:
        tell: of answers that stand elsewhere, in one warning.

    Raises:
        UserError: a column of another shape, or an answer that does not stand in the context, or
            stands in several places of it and not in that which the row gives.
    """
    import numpy as np

    texts: list[list[str]] = []
    spans: list[tuple[int, int]] = []
    moved: list[str] = []
    for index, (context, pairs) in enumerate(_pairs(rows, context_column, columns, locate)):
        found = [_place(context, *pair, index, locate) for pair in pairs]
        for (text, start), place in zip(pairs, found, strict=True):
            if start not in (None, place):
                moved.append(f"{locate(index)}: {show(text)} at {place}, not at {start}")
        texts.append([text for text, _ in pairs])
        spans.append(_stripped(pairs[0][0], found[0]) if pairs else NO_SPAN)
    if moved and tell:
        logger.warning(
            "%d of %d answers do not stand at their answer_start; they are taken from the one place "
            "of the context where they do, such as %s",
            len(moved),
            sum(map(len, texts)),
            moved[0],
        )
    return Answers(texts, np.array(spans, dtype=np.int64).reshape(-1, 2))


def _place(context: str, text: str, start: int | None, index: int, locate: Locate) -> int:
    """Where an answer stands in its context."""
    if start is not None and start >= 0 and context.startswith(text, start):
        return start
    first = context.find(text)
    if first < 0:
        raise UserError(
            f"{locate(index)}: the answer {show(text)} does not stand in the context; an answer must "
            "be a part of it, letter by letter"
        )
    if context.find(text, first + 1) < 0:
        return first
    if start is None:
        raise UserError(
            f"{locate(index)}: the answer {show(text)} stands in the context more than once; say "
            "where, in a column that task.answer_start_column names"
        )
    raise UserError(
        f"{locate(index)}: answer_start is {start}, where the context has "
        f"{show(context[max(start, 0) :][: len(text)])}, and the answer {show(text)} stands in more "
        "than one place; correct answer_start, which counts characters from 0"
    )


def _stripped(text: str, start: int) -> tuple[int, int]:
    begin = start + len(text) - len(text.lstrip())
    return begin, begin + len(text.strip())


def _pairs(
    rows: Dataset, context_column: str, columns: AnswerColumns, locate: Locate
) -> Iterator[tuple[str, list[tuple[str, int | None]]]]:
    """The context of each row, with its answers and the places that the row gives them."""
    index = 0
    names = [context_column, *columns.names]
    for batch in rows.select_columns(names).with_format(None).iter(BATCH):
        for context, *values in zip(*(batch[name] for name in names), strict=True):
            yield context, _answers_of(values, columns, locate, index)
            index += 1


def _answers_of(
    values: Sequence[Any], columns: AnswerColumns, locate: Locate, index: int
) -> list[tuple[str, int | None]]:
    if columns.text is None:
        texts, starts = _nested(values[0], columns.answers, locate, index)
        text_column, start_column = f"{columns.answers}.text", f"{columns.answers}.answer_start"
    else:
        texts = _listed(values[0])
        starts = _listed(values[1]) if columns.start else [None] * len(texts)
        text_column, start_column = columns.text, columns.start or ""
        if not texts:  # a place without an answer, such as the -1 of some files, means nothing
            starts = []
    if len(texts) != len(starts):
        raise UserError(
            f"{locate(index)}: {len(texts)} answers in {text_column} and {len(starts)} places in "
            f"{start_column}; give every answer its place"
        )
    for number, text in enumerate(texts, 1):
        if not isinstance(text, str) or not text.strip():
            raise UserError(
                f"{locate(index)}: answer {number} in {text_column} is no text (got {show(text)}); "
                "a question without an answer has none in its list"
            )
    if start_column:
        starts = [_whole(start, start_column, locate, index) for start in starts]
    return list(zip(texts, starts, strict=True))


def _nested(value: Any, column: str, locate: Locate, index: int) -> tuple[list[Any], list[Any]]:
    """The lists of the hub's mapping, or of a list of mappings, as in SQuAD's own files."""
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        value = {key: [item.get(key) for item in value] for key in ("text", "answer_start")}
    given = value if isinstance(value, dict) else {}
    texts, starts = given.get("text"), given.get("answer_start")
    if not isinstance(texts, list) or not isinstance(starts, list):
        raise UserError(
            f"{locate(index)}: the column {column} must hold answers such as {SHAPE} (got "
            f"{show(value)}); for plain columns write task.answer_text_column"
        )
    return texts, starts


def _listed(value: Any) -> list[Any]:
    if value is None or value == "":
        return []
    return value if isinstance(value, list) else [value]


def _whole(value: Any, column: str, locate: Locate, index: int) -> int:
    if isinstance(value, float) and value.is_integer():  # as some programs write a column with gaps
        return int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise UserError(
            f"{locate(index)}: {column} must be the number of the answer's first character in the "
            f"context, counted from 0 (got {show(value)})"
        )
    return value
