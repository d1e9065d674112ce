"""Words to tokens, long sentences in windows, and the window that answers for each word."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nlpbench.tasks._columns import BATCH

if TYPE_CHECKING:
    import numpy as np
    from datasets import Dataset
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

NO_WORD = -1


def encode(
    tokenizer: PreTrainedTokenizerBase,
    column: str,
    max_length: int,
    stride: int,
    batches: Iterable[Mapping[str, Any]],
) -> Iterator[dict[str, list[Any]]]:
    """The windows of every sentence: what the model takes, `words`, `length` and `example`.

    `words` gives for each token the number of its word, where this window answers for the word, and
    -1 elsewhere. One window answers for each word that has tokens.

    Args:
        column: of the word lists.
        max_length: tokens of a window, special ones included.
        stride: tokens that windows next to each other share, at least.
    """
    leading = " " if words_need_space(tokenizer) else ""
    example = 0
    for batch in batches:
        sentences = [[word and leading + word for word in words] for words in batch[column]]
        # The tokenizer takes no sentence without words.
        whole = tokenizer(
            [words or [""] for words in sentences],
            is_split_into_words=True,
            truncation=False,
            verbose=False,
        )
        names = [name for name in tokenizer.model_input_names if name in whole]
        features: dict[str, list[Any]] = {name: [] for name in (*names, "words", "example")}
        for row in range(len(sentences)):
            tokens = {name: whole[name][row] for name in names}
            for window in _windows(tokens, whole.word_ids(row), max_length, stride, tokenizer):
                for name, values in window.items():
                    features[name].append(values)
                features["example"].append(example)
            example += 1
        lengths = [len(ids) for ids in features["input_ids"]]
        yield {**features, "length": lengths, "whole_length": lengths}


def words_need_space(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a word by itself is not what it is inside of a text, unless a space leads it.

    So it is where the space belongs to the word behind it, as in byte-level BPE and with Gemma, and
    the tokenizer has not been set to put one in front of every word.
    """

    def tokens(of: str | list[str]) -> Any:
        split = not isinstance(of, str)
        found = tokenizer(of, is_split_into_words=split, add_special_tokens=False, verbose=False)
        return found["input_ids"]

    in_text = tokens(" a a")
    unlike: bool = tokens(["a", "a"]) != in_text
    return unlike and bool(tokens([" a", " a"]) == in_text)


def answered(features: Dataset) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """For every window the number of its row, and (L,) `words` as `encode` gives them."""
    import numpy as np

    for batch in features.select_columns(["example", "words"]).with_format(None).iter(BATCH):
        for example, words in zip(batch["example"], batch["words"], strict=True):
            yield example, np.array(words, dtype=np.int64)


def to_column(targets: Iterable[NDArray[np.int64]]) -> Any:
    """(L,) numbers a window, for a column of a data set."""
    import numpy as np
    import pyarrow as pa

    parts = list(targets)
    ends = np.cumsum([0, *(len(part) for part in parts)])
    return pa.ListArray.from_arrays(ends.astype(np.int32), np.concatenate(parts))


def first_tokens(words: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where in a window the words that it answers for begin.

    Args:
        words: (L,) of a window, as `encode` gives them.
    """
    import numpy as np

    before = np.concatenate([[NO_WORD], words[:-1]])
    return np.flatnonzero((words != NO_WORD) & (words != before))


def cuts(length: int, size: int, stride: int) -> list[tuple[int, int]]:
    """Windows of `size` that cover `length` tokens, the last one full too."""
    if length <= size:
        return [(0, length)]
    last = length - size
    starts = [*range(0, last, size - stride), last]
    return [(start, start + size) for start in starts]


def best_window(position: int, windows: Sequence[tuple[int, int]], length: int) -> int:
    """The window in which a token sees most on its poorer side; the ends of a sentence are no loss.

    Args:
        position: of the token, among `length`.
        windows: as `cuts` gives them.
    """

    def context(number: int) -> float:
        start, stop = windows[number]
        left = position - start if start else math.inf
        right = stop - 1 - position if stop < length else math.inf
        return min(left, right)

    first = bisect_right(windows, position, key=lambda window: window[1])
    behind = bisect_right(windows, position, key=lambda window: window[0])
    return max(range(first, behind), key=context)


def _windows(
    tokens: Mapping[str, list[int]],
    word_ids: Sequence[int | None],
    max_length: int,
    stride: int,
    tokenizer: PreTrainedTokenizerBase,
) -> Iterator[dict[str, list[int]]]:
    """Each with the special tokens that stood around the whole sentence."""
    inside = [place for place, word in enumerate(word_ids) if word is not None]
    if not inside:
        # A tokenizer without special tokens makes nothing of an empty sentence, and a model
        # cannot read nothing: it reads one token of padding.
        only = {"input_ids": tokenizer.pad_token_id, "attention_mask": 1}
        filled = tokens if word_ids else {name: [only.get(name, 0)] for name in tokens}
        yield {**filled, "words": [NO_WORD] * len(filled["input_ids"])}
        return
    first, last = inside[0], inside[-1] + 1
    length = last - first
    size = max_length - (len(word_ids) - length)
    windows = cuts(length, size, stride)
    begins = [n for n in range(length) if not n or word_ids[first + n] != word_ids[first + n - 1]]
    owners = {word_ids[first + n]: best_window(n, windows, length) for n in begins}
    for number, (start, stop) in enumerate(windows):
        numbers = word_ids[first + start : first + stop]
        owned = [
            word if word is not None and owners[word] == number else NO_WORD for word in numbers
        ]
        if all(word == NO_WORD for word in owned):
            continue
        window = {
            name: [*values[:first], *values[first + start : first + stop], *values[last:]]
            for name, values in tokens.items()
        }
        yield {
            **window,
            "words": [NO_WORD] * first + owned + [NO_WORD] * (len(word_ids) - last),
        }
