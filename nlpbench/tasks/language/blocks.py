"""Documents to the blocks that a model with special tokens around its input is trained on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count

from nlpbench.tasks.language.framing import Tokens

NO_WORD = -1
Document = tuple[int, Tokens]  # the number of its row, and what it says


@dataclass(frozen=True)
class Block:
    """Consecutive tokens, without the special ones around them.

    Attributes:
        row: of the first token.
        words: the word of each token; NO_WORD for what separates documents.
    """

    row: int
    ids: list[int]
    words: list[int]


def packed(documents: Iterable[Document], separator: int | None, size: int) -> Iterator[Block]:
    """Blocks of `size` tokens out of one stream of all documents; the last one may be shorter.

    A document goes on in the next block. Between two documents in a block stands the separator, as
    in RoBERTa's FULL-SENTENCES (Liu et al. 2019).
    """
    ids: list[int] = []
    words: list[int] = []
    rows: list[int] = []
    for row, tokens in documents:
        if not tokens.ids:
            continue
        if ids and separator is not None:
            ids.append(separator)
            words.append(NO_WORD)
            rows.append(row)
        first = max(words, default=NO_WORD) + 1
        ids += tokens.ids
        words += [first + word for word in tokens.words]
        rows += [row] * len(tokens.ids)
        whole = len(ids) // size * size
        for begin in range(0, whole, size):
            end = begin + size
            yield Block(rows[begin], ids[begin:end], words[begin:end])
        ids, words, rows = ids[whole:], words[whole:], rows[whole:]
    if ids:
        yield Block(rows[0], ids, words)


def separate(documents: Iterable[Document], size: int) -> Iterator[Block]:
    """Blocks of one document each, side by side where it is longer than `size`."""
    for row, tokens in documents:
        for begin in range(0, len(tokens.ids), size):
            end = begin + size
            yield Block(row, tokens.ids[begin:end], tokens.words[begin:end])


def numbered(documents: Iterable[Tokens]) -> Iterator[Document]:
    return zip(count(), documents)
