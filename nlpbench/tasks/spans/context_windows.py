"""Questions with their contexts to windows of tokens that know their characters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from datasets import Dataset
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

    Numbers = NDArray[np.integer[Any]]

LAYOUT = 1  # of the features: another one, and those in the cache are made anew
READ = 2_000  # windows at a time
SPECIAL = -1


@dataclass(frozen=True)
class Sizes:
    """In tokens: of a window, of the context that two windows share, of a question at most."""

    max_length: int
    doc_stride: int
    max_question_length: int


@dataclass(frozen=True)
class Window:
    """The m context tokens of one window.

    Attributes:
        example: the number of its row.
        place: of the first of them among the tokens of the window.
        null: of the token that stands for no answer.
        starts, ends: (m,) of their characters in the context, whitespace left out. A token of
            nothing else ends before it starts, or where.
    """

    example: int
    place: int
    null: int
    starts: Numbers
    ends: Numbers


def check(tokenizer: PreTrainedTokenizerBase, sizes: Sizes) -> None:
    """Raises UserError for a tokenizer or sizes that no windows can be made with."""
    if not tokenizer.is_fast:
        raise UserError(
            f"{type(tokenizer).__name__} does not tell where in a text its tokens stand, so no answer "
            "could be cut out; take a model with a tokenizer.json"
        )
    special = tokenizer.num_special_tokens_to_add(pair=True) + 1
    if sizes.max_length - special - sizes.max_question_length <= sizes.doc_stride:
        raise UserError(
            f"task.max_length is {sizes.max_length}, and up to {special} special tokens, "
            f"{sizes.max_question_length} of a question (max_question_length) and "
            f"{sizes.doc_stride} that windows share (doc_stride) leave no room; make it longer, or "
            "one of these shorter"
        )


def encode(
    tokenizer: PreTrainedTokenizerBase,
    question_column: str,
    context_column: str,
    sizes: Sizes,
    batches: Iterable[Mapping[str, Any]],
) -> Iterator[dict[str, list[Any]]]:
    """The windows of every row, in order: what the model takes, and what `windows` reads.

    The question comes first, and behind the context where the tokenizer puts its CLS token last, as
    XLNet's does. A context that is too long is cut as by a tokenizer's `return_overflowing_tokens`.
    """
    example = 0
    context_first = cls_comes_last(tokenizer)
    for batch in batches:
        # Spaces before a question are no part of it, and some tokenizers make tokens of them.
        questions = [question.lstrip() for question in batch[question_column]]
        contexts = batch[context_column]
        pairs = (contexts, questions) if context_first else (questions, contexts)
        whole = tokenizer(*pairs, truncation=False, return_offsets_mapping=True, verbose=False)
        features: list[dict[str, Any]] = []
        for row, context in enumerate(contexts):
            types = whole["token_type_ids"][row] if "token_type_ids" in whole else None
            tokens = _Tokens.of(whole["input_ids"][row], types, whole.sequence_ids(row))
            offsets = tokens.of_text(int(not context_first), whole["offset_mapping"][row])
            tokens, cut = tokens.with_short_question(context_first, sizes.max_question_length)
            tokens, null = tokens.with_null(tokenizer)
            for feature in _cut(tokens, null, context_first, sizes, _visible(context, offsets)):
                feature["whole_length"] = feature["length"] + cut
                features.append({**feature, "example": example})
            example += 1
        yield {name: [feature[name] for feature in features] for name in features[0]}


def windows(features: Dataset) -> Iterator[Window]:
    """The windows of `encode`, in order."""
    names = ("example", "context_place", "null_place", "starts", "ends")
    for table in features.select_columns([*names]).with_format("arrow").iter(READ):
        numbers = (table.column(name).to_pylist() for name in names[:3])
        lists = (_pieces(table.column(name)) for name in names[3:])
        for values in zip(*numbers, *lists, strict=True):
            yield Window(*values)


def label_places(features: Dataset, spans: Numbers) -> Numbers:
    """(windows, 2) the first and the last token of each window's answer.

    In a window that does not hold the whole answer, and where there is none, both are the token
    that stands for no answer.

    Args:
        spans: (n, 2) of each row's answer in characters, the end behind it; -1 for none.
    """
    import numpy as np

    found = list(windows(features))
    examples = np.array([window.example for window in found])
    # What a tokenizer drops at either end of a context belongs to the window there.
    opens = np.r_[True, examples[1:] != examples[:-1]]
    closes = np.r_[opens[1:], True]
    places = np.array([[window.null, window.null] for window in found])
    for number, window in enumerate(found):
        start, end = spans[window.example]
        if start < 0 or not len(window.starts):
            continue
        if not opens[number] and start < window.starts[0]:
            continue
        if not closes[number] and end > window.ends[-1]:
            continue
        first = int(np.searchsorted(window.ends, start, side="right"))
        last = int(np.searchsorted(window.starts, end, side="left")) - 1
        if first <= last:
            places[number] = window.place + first, window.place + last
    return places


def cls_comes_last(tokenizer: PreTrainedTokenizerBase) -> bool:
    ids: Any = tokenizer("a", "b", verbose=False)["input_ids"]
    return bool(ids) and ids[-1] == tokenizer.cls_token_id


def cuts(length: int, size: int, shared: int) -> list[tuple[int, int]]:
    """Windows of `size`, the last one at most so, that share `shared` tokens with the next."""
    starts = range(0, max(length - shared, 1), size - shared)
    return [(start, min(start + size, length)) for start in starts]


@dataclass(frozen=True)
class _Tokens:
    """A question and its context.

    Attributes:
        types: segment ids, where the model takes them.
        sequence: the number of the text that a token is of, -1 for special tokens.
    """

    ids: Numbers
    types: Numbers | None
    sequence: Numbers

    @classmethod
    def of(cls, ids: list[int], types: list[int] | None, sequence: list[int | None]) -> _Tokens:
        import numpy as np

        numbers = [SPECIAL if number is None else number for number in sequence]
        return cls(
            np.array(ids, np.int32),
            None if types is None else np.array(types, np.int32),
            np.array(numbers, np.int32),
        )

    def of_text(self, number: int, offsets: list[tuple[int, int]]) -> Numbers:
        """(m, 2) the offsets of the tokens of one of the texts."""
        import numpy as np

        found: Numbers = np.array(offsets, np.int64).reshape(-1, 2)[self.sequence == number]
        return found

    def taken(self, places: Any) -> _Tokens:
        types = None if self.types is None else self.types[places]
        return _Tokens(self.ids[places], types, self.sequence[places])

    def with_short_question(self, context_first: bool, longest: int) -> tuple[_Tokens, int]:
        """With at most so many tokens of the question, and how many are gone."""
        import numpy as np

        gone = np.flatnonzero(self.sequence == int(context_first))[longest:]
        if not len(gone):
            return self, 0
        return self.taken(np.delete(np.arange(len(self.ids)), gone)), len(gone)

    def with_null(self, tokenizer: PreTrainedTokenizerBase) -> tuple[_Tokens, int]:
        """With a token that can stand for no answer, and its place.

        It is CLS, or the special token at the end. To a tokenizer that puts none there, as those of
        decoders, an end-of-text token is added: decoders have read all only when they come to it.
        """
        import numpy as np

        special = self.sequence == SPECIAL
        cls = np.flatnonzero(special & (self.ids == tokenizer.cls_token_id))
        if len(cls):
            return self, int(cls[0])
        if len(special) and special[-1]:
            return self, len(special) - 1
        if tokenizer.eos_token_id is None:
            raise UserError(
                "the tokenizer has neither a CLS nor an end-of-text token that could stand for no "
                "answer; take another model"
            )
        types = None
        if self.types is not None:
            types = np.append(self.types, self.types[-1] if len(self.types) else 0)
        ids = np.append(self.ids, tokenizer.eos_token_id)
        return _Tokens(ids, types, np.append(self.sequence, SPECIAL)), len(self.ids)


def _cut(
    tokens: _Tokens,
    null: int,
    context_first: bool,
    sizes: Sizes,
    characters: tuple[Numbers, Numbers],
) -> Iterator[dict[str, Any]]:
    """The features of one row, whose context tokens stand at these `characters`, from and to."""
    import numpy as np

    starts, ends = characters
    length = len(starts)
    found = np.flatnonzero(tokens.sequence == int(not context_first))
    first = int(found[0]) if len(found) else len(tokens.ids)
    around = len(tokens.ids) - length
    for start, stop in cuts(length, sizes.max_length - around, sizes.doc_stride):
        behind = np.arange(first + length, len(tokens.ids))
        places = np.r_[np.arange(first), np.arange(first + start, first + stop), behind]
        window = tokens.taken(places)
        types = {} if window.types is None else {"token_type_ids": window.types}
        yield {
            "input_ids": window.ids,
            **types,
            "attention_mask": np.ones(len(places), np.int32),
            "length": len(places),
            "context_place": first,
            "null_place": null if null < first else null - length + stop - start,
            "starts": starts[start:stop],
            "ends": ends[start:stop],
        }


def _visible(context: str, offsets: Numbers) -> tuple[Numbers, Numbers]:
    """(m,) and (m,) where the characters of (m, 2) offsets begin and end without whitespace."""
    import numpy as np

    count = len(context)
    filled = ~np.fromiter(map(str.isspace, context), bool, count)
    numbers = np.arange(count)
    following = np.append(np.where(filled, numbers, count), count)
    following = np.minimum.accumulate(following[::-1])[::-1]
    preceding = np.maximum.accumulate(np.r_[0, np.where(filled, numbers + 1, 0)])
    starts, ends = following[offsets[:, 0]], preceding[offsets[:, 1]]
    return starts.astype(np.int32), ends.astype(np.int32)


def _pieces(column: pa.ChunkedArray) -> list[Numbers]:
    """Every list of a column, as numbers; nothing is copied."""
    import numpy as np

    found: list[Numbers] = []
    for chunk in column.chunks:
        offsets = chunk.offsets.to_numpy()
        values = chunk.values.to_numpy()
        found += np.split(values[offsets[0] : offsets[-1]], offsets[1:-1] - offsets[0])
    return found
