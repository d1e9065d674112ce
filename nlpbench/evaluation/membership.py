"""Which rows of a split are in which slice."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show
from nlpbench.config.slices import MAX_VALUES, MIN_ROWS, Slicing, text_of

if TYPE_CHECKING:
    import numpy as np
    from datasets import Dataset
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

BATCH = 1000  # rows
MOST_NAMED = 5  # values in a message


@dataclass(frozen=True)
class Slice:
    """Some of the rows, by their numbers: (m,), rising."""

    name: str
    rows: NDArray[np.intp]


@dataclass(frozen=True)
class Sliced:
    """The slices that one slicing makes of the rows, and what a reader should know of them."""

    slicing: Slicing
    slices: list[Slice]
    notes: list[str]


@dataclass(frozen=True)
class Rows:
    """All that slicings read of a split with n rows.

    Attributes:
        texts: (n,) what each row says, as its task tells it.
        references: (n,) class ids, or (n, K) flags of the labels; anything else where no slicing
            goes by the label.
        locate: the place of a row, for messages.
    """

    rows: Dataset
    texts: Sequence[str]
    references: NDArray[Any]
    labels: Sequence[str]
    locate: Callable[[int], str]


def find(
    slicings: Sequence[Slicing], rows: Rows, tokenizer: PreTrainedTokenizerBase | None = None
) -> list[Sliced]:
    """The slices of every slicing.

    Args:
        tokenizer: counts the tokens of a text, special ones left out; without one, slicings by
            that length are left out.

    Raises:
        UserError: values that make no slices, more slices than are allowed, two of one name, or a
            positive label that is none.
    """
    found = []
    taken: dict[str, str] = {}
    for number, slicing in enumerate(slicings):
        key = f"evaluation.slices[{number}]"
        if tokenizer is None and slicing.length and slicing.unit in (None, "tokens"):
            continue
        _check_positive(slicing, rows.labels, key)
        sliced = _slice(slicing, rows, tokenizer, key)
        for part in sliced.slices:
            if (first := taken.setdefault(part.name, key)) != key:
                raise UserError(
                    f"{key}: makes a slice {part.name}, as {first} does; give one of them a name"
                )
        found.append(sliced)
    return found


def names_by_row(found: Iterable[Sliced], rows: int) -> list[list[str]]:
    """For each row the names of the slices it is in, in their order."""
    names: list[list[str]] = [[] for _ in range(rows)]
    for sliced in found:
        for part in sliced.slices:
            for row in part.rows.tolist():
                names[row].append(part.name)
    return names


def _check_positive(slicing: Slicing, labels: Sequence[str], key: str) -> None:
    if slicing.positive_label is not None and slicing.positive_label not in labels:
        raise UserError(
            f"{key}.positive_label: is none of the labels (got {show(slicing.positive_label)}), "
            f"allowed: {', '.join(labels)}"
        )


def _slice(
    slicing: Slicing, rows: Rows, tokenizer: PreTrainedTokenizerBase | None, key: str
) -> Sliced:
    if slicing.label:
        return Sliced(slicing, list(_by_label(slicing, rows)), [])
    if slicing.length is not None:
        return Sliced(slicing, list(_by_length(slicing, slicing.length, rows, tokenizer)), [])
    if slicing.pattern is not None:
        return Sliced(slicing, _by_pattern(slicing, slicing.pattern, rows, key), [])
    return _by_values(slicing, rows, key)


def _by_label(slicing: Slicing, rows: Rows) -> Iterator[Slice]:
    import numpy as np

    for number, label in enumerate(rows.labels):
        held = rows.references
        holds = held == number if held.ndim == 1 else held[:, number] > 0
        yield Slice(f"{slicing.title}={label}", np.flatnonzero(holds))


def _by_length(
    slicing: Slicing, bounds: Sequence[int], rows: Rows, tokenizer: Any
) -> Iterator[Slice]:
    import numpy as np

    sizes = np.fromiter(_lengths(slicing.unit or "tokens", rows.texts, tokenizer), dtype=np.int64)
    bucket = np.searchsorted(bounds, sizes, side="left")  # a bound belongs to the slice below it
    for number in range(len(bounds) + 1):
        name = slicing.title
        if number < len(bounds):
            name = f"{name}<={bounds[number]}"
        if number:
            below = bounds[number - 1]
            name = f"{below}<{name}" if number < len(bounds) else f"{name}>{below}"
        yield Slice(name, np.flatnonzero(bucket == number))


def _lengths(unit: str, texts: Sequence[str], tokenizer: Any) -> Iterator[int]:
    if unit == "characters":
        yield from map(len, texts)
    elif unit == "words":
        yield from (len(text.split()) for text in texts)
    else:
        for start in range(0, len(texts), BATCH):
            batch = list(texts[start : start + BATCH])
            encoded = tokenizer(batch, add_special_tokens=False, truncation=False, verbose=False)
            yield from map(len, encoded["input_ids"])


def _by_pattern(slicing: Slicing, pattern: str, rows: Rows, key: str) -> list[Slice]:
    import numpy as np

    search = re.compile(pattern).search
    texts = rows.texts if slicing.column is None else _texts(rows, slicing.column, key)
    found = np.fromiter((search(text) is not None for text in texts), dtype=bool)
    return [
        Slice(slicing.title, np.flatnonzero(found)),
        Slice(f"not {slicing.title}", np.flatnonzero(~found)),
    ]


def _texts(rows: Rows, column: str, key: str) -> Iterator[str]:
    for number, value in enumerate(_column(rows.rows, column)):
        if not isinstance(value, str):
            what = "is empty (null)" if value is None else f"holds no text (got {show(value)})"
            raise UserError(f"{rows.locate(number)}: {key}: the column {column} {what}")
        yield value


def _by_values(slicing: Slicing, rows: Rows, key: str) -> Sliced:
    import numpy as np

    columns = slicing.read_columns
    held: dict[tuple[Any, ...], list[int]] = {}
    missing = 0
    for number, combination in enumerate(_combinations(rows, columns, key)):
        if None in combination:
            missing += 1
        else:
            held.setdefault(combination, []).append(number)
    least = slicing.min_rows or MIN_ROWS
    notes = []
    if missing:
        what = "rows have" if missing > 1 else "row has"
        notes.append(f"slices by {slicing.title}: {missing} {what} no value, and no slice")
    if slicing.values is not None:
        texts = [text_of(value) for value in slicing.values]
        chosen = {(text,): held.get((text,), []) for text in texts}
    else:
        chosen = {each: held[each] for each in sorted(held, key=_rank) if len(held[each]) >= least}
        few = [",".join(each) for each in sorted(held, key=_rank) if len(held[each]) < least]
        if few:
            notes.append(
                f"slices by {slicing.title}: left out for having fewer than {least} rows: "
                + _some(few)
            )
    most = slicing.max_values or MAX_VALUES
    if slicing.values is None and len(chosen) > most:
        raise UserError(
            f"{key}: {slicing.title} makes {len(chosen)} slices, more than max_values ({most}): "
            f"{_some([','.join(each) for each in chosen])}; name some as values, or raise min_rows "
            "or max_values"
        )
    if not chosen:
        raise UserError(f"{key}: {slicing.title} makes no slice; {'; '.join(notes)}")
    return Sliced(
        slicing,
        [
            Slice(_name(slicing, columns, each), np.array(numbers, dtype=np.intp))
            for each, numbers in chosen.items()
        ],
        notes,
    )


def _name(slicing: Slicing, columns: Sequence[str], combination: Sequence[str]) -> str:
    if slicing.name is not None:
        return f"{slicing.name}={','.join(combination)}"
    pairs = zip(columns, combination, strict=True)
    return ",".join(f"{column}={text}" for column, text in pairs)


def _combinations(rows: Rows, columns: Sequence[str], key: str) -> Iterator[tuple[str | None, ...]]:
    """The values of each row as texts; None where there is none."""
    return zip(*(_values(rows, column, key) for column in columns), strict=True)


def _values(rows: Rows, column: str, key: str) -> Iterator[str | None]:
    feature: Any = rows.rows.features[column]
    names = getattr(feature, "names", None)  # of a hub data set's class labels
    for number, value in enumerate(_column(rows.rows, column)):
        if value is None or (isinstance(value, float) and math.isnan(value)) or value == "":
            yield None
        elif not isinstance(value, str | int | float):
            raise UserError(
                f"{rows.locate(number)}: {key}: the column {column} holds {show(value)}; slices "
                "need a text, a number or a truth"
            )
        else:
            yield names[value] if names and value in range(len(names)) else text_of(value)


def _column(rows: Dataset, column: str) -> Iterator[Any]:
    for batch in rows.select_columns([column]).with_format(None).iter(BATCH):
        yield from batch[column]


def _rank(combination: Sequence[str]) -> list[tuple[float, str]]:
    """Numbers by their size, before texts by the alphabet."""

    def rank(text: str) -> tuple[float, str]:
        try:
            return float(text), ""
        except ValueError:
            return math.inf, text

    return [rank(text) for text in combination]


def _some(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
