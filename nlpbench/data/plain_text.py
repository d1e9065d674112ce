"""txt files: a row a line, a paragraph or a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nlpbench.config.errors import UserError
from nlpbench.data.encoding import open_unpacked

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK_ROWS = 10_000
CHUNK_CHARACTERS = 16 << 20
LARGEST = 2**31 - 1  # bytes of one value of an Arrow column of strings

TextUnit = Literal["line", "paragraph", "document"]


def read_text(path: Path, place: str, unit: TextUnit) -> Iterator[pa.Table]:
    """One column `text`; the lines of a longer unit are joined by line ends, the last has none."""
    import pyarrow as pa

    found = lines(path, place)
    if unit == "paragraph":
        found = paragraphs(found)
    elif unit == "document":
        found = document(found)
    for texts in chunks(found, place):
        yield pa.table({"text": pa.array(texts, pa.string())})


def lines(path: Path, place: str) -> Iterator[str]:
    r"""Lines without their ends. Only \n and \r\n end one: U+2028 and the like are text."""
    with open_unpacked(path, place) as stream:
        for line in stream:
            yield line.decode("utf-8").removesuffix("\n").removesuffix("\r")


def paragraphs(found: Iterable[str]) -> Iterator[str]:
    """What stands between blank lines."""
    paragraph: list[str] = []
    for line in found:
        if line.strip():
            paragraph.append(line)
        elif paragraph:
            yield "\n".join(paragraph)
            paragraph = []
    if paragraph:
        yield "\n".join(paragraph)


def document(found: Iterable[str]) -> Iterator[str]:
    """All of the file, if it is more than whitespace."""
    text = "\n".join(found)
    if text.strip():
        yield text


def chunks(texts: Iterable[str], place: str) -> Iterator[list[str]]:
    """As many at a time as fit a little memory, and at least one chunk."""
    chunk: list[str] = []
    size = 0
    for number, text in enumerate(texts, 1):
        if len(text) > LARGEST // 4 and len(text.encode()) > LARGEST:
            raise UserError(
                f"{place}, row {number}: is longer than a row can be ({LARGEST} bytes); "
                "set data.text_unit to paragraph or line, or cut the file in pieces"
            )
        chunk.append(text)
        size += len(text)
        if len(chunk) == CHUNK_ROWS or size >= CHUNK_CHARACTERS:
            yield chunk
            chunk, size = [], 0
    yield chunk
