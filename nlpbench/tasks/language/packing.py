"""Documents of tokens to blocks that a language model is trained on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

Document = tuple[int, list[int]]  # the number of its row, and its tokens


@dataclass(frozen=True)
class Borders:
    """The tokens at the beginning and at the end of a document; one token may be both."""

    begin: int | None
    end: int | None

    def around(self, ids: list[int], after: int | None = None) -> list[int]:
        """The tokens between their borders.

        Args:
            after: the token that these follow. An end that is a beginning as well, as GPT-2's
                `<|endoftext|>`, stands between two documents once.
        """
        begun = self.begin is None or after == self.begin
        return [
            *([] if begun or self.begin is None else [self.begin]),
            *ids,
            *([] if self.end is None else [self.end]),
        ]


def packed(documents: Iterable[Document], borders: Borders, size: int) -> Iterator[Document]:
    """Blocks of `size` + 1 tokens out of one stream of all documents; the last may be shorter.

    Each begins with the last token of the one before it: a model is trained to say all tokens of a
    block but the first, and so every token of the stream once. A block's row is that of its first
    token.
    """
    stream: list[int] = []
    rows: list[int] = []
    for row, ids in documents:
        bordered = borders.around(ids, stream[-1] if stream else None)
        stream += bordered
        rows += [row] * len(bordered)
        whole = max(0, len(stream) - 1) // size * size
        for begin in range(0, whole, size):
            yield rows[begin], stream[begin : begin + size + 1]
        if whole:
            stream, rows = stream[whole:], rows[whole:]
    if len(stream) > 1:
        yield rows[0], stream


def separate(documents: Iterable[Document], borders: Borders, size: int) -> Iterator[Document]:
    """Blocks as those of `packed`, but of one document each."""
    for row, ids in documents:
        bordered = borders.around(ids)
        for begin in range(0, len(bordered) - 1, size):
            yield row, bordered[begin : begin + size + 1]
