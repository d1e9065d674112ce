"""csv and tsv: strict about rows and quotes, and guessing no nulls, dates or truth values."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show
from nlpbench.data.encoding import blocks, open_unpacked

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK = 16 << 20  # bytes; more than the longest row
# A number is what prints back as it stands: 007 and 1_000 are texts. 18 digits fit 64 bits.
WHOLE = r"^-?(0|[1-9][0-9]{0,17})$"
NUMBER = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$"


def read_delimited(
    path: Path, place: str, delimiter: str, column_names: Sequence[str] | None
) -> Iterator[pa.Table]:
    """Every column as text; `find_numbers` follows once all files of a split are together."""
    import pyarrow as pa

    if column_names:
        names, start = list(column_names), 0
    else:
        names, start = read_header(path, place, delimiter)
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise UserError(
            f"{place}: two columns are called {show(repeated)} (columns: {', '.join(names)}); "
            "rename one"
        )
    schema = pa.schema([(name, pa.string()) for name in names])
    filled, quotes = look_over(path, place, start)
    yield schema.empty_table()
    if not filled:
        return
    if quotes % 2:
        find_bad_row(path, start, place, delimiter, len(names), bool(column_names))
    rows = 0
    try:
        for table in parse(path, start, place, delimiter, schema):
            if delimiter == "\t":
                refuse_swallowed_rows(table, place, rows)
            rows += table.num_rows
            yield table
    except pa.ArrowInvalid as error:
        find_bad_row(path, start, place, delimiter, len(names), bool(column_names))
        raise UserError(f"{place}: cannot be read ({error})") from None


def parse(
    path: Path, start: int, place: str, delimiter: str, schema: pa.Schema
) -> Iterator[pa.Table]:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    with open_unpacked(path, place) as stream:
        stream.read(start)
        reader = arrow_csv.open_csv(
            pa.PythonFile(stream, mode="r"),
            read_options=arrow_csv.ReadOptions(column_names=schema.names, block_size=BLOCK),
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                column_types=schema, null_values=[], strings_can_be_null=False
            ),
        )
        for batch in reader:
            yield pa.Table.from_batches([batch])


def read_header(path: Path, place: str, delimiter: str) -> tuple[list[str], int]:
    """The column names, and the offset of the byte after them."""
    start = 0

    def lines(stream: io.BufferedReader) -> Iterator[str]:
        nonlocal start
        for line in stream:
            start += len(line)
            yield line.decode("utf-8")

    with open_unpacked(path, place) as stream:
        try:
            for record in csv.reader(lines(stream), delimiter=delimiter):
                if record:
                    return record, start
        except csv.Error as error:
            raise UserError(f"{place}: the header line cannot be read ({error})") from None
    raise UserError(f"{place}: holds only blank lines, where a header line is due")


def look_over(path: Path, place: str, start: int) -> tuple[bool, int]:
    """Whether more than line ends follow the header, and the double quotes of the whole file."""
    with open_unpacked(path, place) as stream:
        quotes = stream.read(start).count(b'"')
        filled = False
        for block in blocks(stream):
            filled = filled or bool(block.strip(b"\r\n"))
            quotes += block.count(b'"')
    return filled, quotes


def find_bad_row(
    path: Path, start: int, place: str, delimiter: str, columns: int, named: bool
) -> None:
    """Raise an error for the first row with a number of values or a quote that is wrong."""
    limit = csv.field_size_limit(sys.maxsize)
    row = 0
    stream = open_unpacked(path, place)
    stream.read(start)
    try:
        text = io.TextIOWrapper(stream, "utf-8", newline="")
        for record in csv.reader(text, delimiter=delimiter, strict=True):
            if not record:
                continue
            row += 1
            if len(record) != columns:
                due = "data.column_names names" if named else "the header has"
                raise UserError(
                    f"{place}, row {row}: {counted(len(record), 'value')} where {due} "
                    f"{counted(columns, 'column')}; "
                    "put values that hold the delimiter between double quotes"
                )
    except csv.Error as error:
        # Other slips, such as text after a closing quote, are read as everybody reads them.
        if "unexpected end of data" in str(error):
            raise UserError(
                f"{place}, row {row + 1}: a double quote opens and never closes; "
                "close it, or write the quotes of a quoted value twice"
            ) from None
    finally:
        csv.field_size_limit(limit)
        stream.close()


def refuse_swallowed_rows(table: pa.Table, place: str, rows_before: int) -> None:
    """A tsv value with a tab and a line end in it is a stray quote that swallowed rows."""
    import pyarrow.compute as pc

    for name in table.column_names:
        found = pc.index(pc.match_substring_regex(table[name], r"(?s)\t.*\n|\n.*\t"), True).as_py()
        if found >= 0:
            raise UserError(
                f"{place}, row {rows_before + found + 1}, column {show(name)}: a value runs over "
                "several lines and columns because a double quote opens it; write the quotes of a "
                'value as "" and put the value between double quotes, or save the file as jsonl'
            )


class NumberColumns:
    """Finds the columns of text of which every value is a number, or an empty cell."""

    def __init__(self, names: Sequence[str]) -> None:
        import pyarrow as pa

        self.kinds: dict[str, pa.DataType] = dict.fromkeys(names, pa.int64())
        self.filled: set[str] = set()

    def look_at(self, table: pa.Table) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        for name, kind in list(self.kinds.items()):
            column = table[name]
            if kind == pa.int64() and not all_match(column, WHOLE):
                kind = self.kinds[name] = pa.float64()
            if kind == pa.float64() and not all_match(column, NUMBER):
                del self.kinds[name]
            if name not in self.filled and not pc.all(pc.equal(column, "")).as_py():
                self.filled.add(name)

    def found(self) -> dict[str, pa.DataType]:
        return {name: kind for name, kind in self.kinds.items() if name in self.filled}


def all_match(column: pa.ChunkedArray, pattern: str) -> bool:
    import pyarrow.compute as pc

    def match(values: pa.ChunkedArray) -> bool:
        matches = pc.or_(pc.match_substring_regex(values, pattern), pc.equal(values, ""))
        return bool(pc.all(matches).as_py())

    return match(column[:100]) and match(column)


def as_numbers(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """An empty cell of a column of numbers is a null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    cells = pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
    return pc.cast(cells, kind)


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
