"""Joins the lines of documents that a data set gives one by one, as WikiText does."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show
from nlpbench.config.sections import DataSection
from nlpbench.data import cache
from nlpbench.data.fingerprint import fingerprint
from nlpbench.data.origin import Original, Part, locate

if TYPE_CHECKING:
    import datasets

BATCH = 10_000  # rows
AT_ONCE = 100  # documents that are written together
VERSION = 1  # of how rows are joined


def join(original: Original, columns: Sequence[str], config: DataSection) -> Original:
    """A row for each document: the row that `data.document_start` is found in, and all after it.

    Rows are joined by line ends; blank ones stay, but not at either end of a document. What stands
    before the first start of a file is a document too. No document goes from one file into the
    next.

    Raises:
        UserError: the task reads several columns, rows hold no text, or are to keep an id.
    """
    assert config.document_start is not None
    if len(columns) != 1:
        raise UserError(
            "data.document_start: joins the rows of one column, and the task reads "
            f"{', '.join(columns)}; take the key away"
        )
    if config.id_column is not None:
        raise UserError(
            "data.document_start: joined rows have no ids of their own; take data.id_column away"
        )
    [column] = columns
    start = re.compile(config.document_start)
    counts = [part.rows for part in original.parts]
    key = {
        "rows": fingerprint(original.rows, columns),
        "column": column,
        "parts": counts,
        "start": start.pattern,
        "version": VERSION,
    }

    def write(path: Path) -> dict[str, Any]:
        from datasets.arrow_writer import ArrowWriter

        lines = texts(original, column)
        joined = [0] * len(counts)
        with ArrowWriter(path=str(path)) as writer:
            for place, count in enumerate(counts):
                own = (next(lines) for _ in range(count))
                for chunk in chunks(documents(own, start)):
                    joined[place] += len(chunk)
                    writer.write_batch({column: chunk})
            if not any(joined):
                raise UserError(f"{original.place}: holds no text in the column {column}")
            writer.finalize()
        return {"documents": joined}

    found = cache.stored("documents", key, write)
    joined = found.facts["documents"]
    parts = [
        Part(part.place, count, "document")
        for part, count in zip(original.parts, joined, strict=True)
    ]
    note = f"{original.place}: {sum(joined)} documents of {sum(counts)} rows"
    return Original(found.dataset(), tuple(parts), (*original.notes, note))


def texts(original: Original, column: str) -> Iterator[str]:
    rows: datasets.Dataset = original.rows.select_columns([column]).with_format(None)
    number = 0
    for batch in rows.iter(BATCH):
        for value in batch[column]:
            if not isinstance(value, str):
                what = "is empty (null)" if value is None else f"holds no text (got {show(value)})"
                raise UserError(f"{locate(original.parts, number)}: the column {column} {what}")
            yield value
            number += 1


def documents(lines: Iterable[str], start: re.Pattern[str]) -> Iterator[str]:
    document: list[str] = []
    for line in lines:
        if start.search(line):
            yield from whole(document)
            document = []
        document.append(line.removesuffix("\n").removesuffix("\r"))
    yield from whole(document)


def whole(lines: list[str]) -> Iterator[str]:
    """The lines as one document, if they say anything."""
    written = [number for number, line in enumerate(lines) if line.strip()]
    if written:
        yield "\n".join(lines[written[0] : written[-1] + 1])


def chunks(found: Iterator[str]) -> Iterator[list[str]]:
    from itertools import islice

    while chunk := list(islice(found, AT_ONCE)):
        yield chunk
