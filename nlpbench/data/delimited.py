"""csv and tsv: strict about rows and quotes, and guessing no nulls, dates or truth values."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show

if TYPE_CHECKING:
    import pyarrow as pa

# A number is what prints back as it stands: 007 and 1_000 are texts. 18 digits fit 64 bits.
WHOLE = r"^-?(0|[1-9][0-9]{0,17})$"
NUMBER = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$"


def read_delimited(
    data: bytes, place: str, delimiter: str, column_names: Sequence[str] | None
) -> pa.Table:
    """Every column as text; `find_numbers` follows once all files of a split are together."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    names, start = (list(column_names), 0) if column_names else read_header(data, place, delimiter)
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise UserError(
            f"{place}: two columns are called {show(repeated)} (columns: {', '.join(names)}); "
            "rename one"
        )
    schema = pa.schema([(name, pa.string()) for name in names])
    body = pa.py_buffer(data)[start:]
    if not data[start:].strip(b"\r\n"):
        return schema.empty_table()
    if data.count(b'"') % 2:
        find_bad_row(data, start, place, delimiter, len(names), bool(column_names))
    try:
        table = arrow_csv.read_csv(
            body,
            read_options=arrow_csv.ReadOptions(column_names=names, block_size=64 << 20),
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                column_types=schema, null_values=[], strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        find_bad_row(data, start, place, delimiter, len(names), bool(column_names))
        raise UserError(f"{place}: cannot be read ({error})") from None
    if delimiter == "\t":
        refuse_swallowed_rows(table, place)
    return table


def read_header(data: bytes, place: str, delimiter: str) -> tuple[list[str], int]:
    """The column names, and the offset of the byte after them."""
    start = 0

    def lines() -> Iterator[str]:
        nonlocal start
        for line in io.BytesIO(data):
            start += len(line)
            yield line.decode("utf-8")

    try:
        for record in csv.reader(lines(), delimiter=delimiter):
            if record:
                return record, start
    except csv.Error as error:
        raise UserError(f"{place}: the header line cannot be read ({error})") from None
    raise UserError(f"{place}: holds only blank lines, where a header line is due")


def find_bad_row(
    data: bytes, start: int, place: str, delimiter: str, columns: int, named: bool
) -> None:
    """Raise an error for the first row with a number of values or a quote that is wrong."""
    limit = csv.field_size_limit(sys.maxsize)
    text = io.TextIOWrapper(io.BytesIO(data[start:]), "utf-8", newline="")
    row = 0
    try:
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


def refuse_swallowed_rows(table: pa.Table, place: str) -> None:
    """A tsv value with a tab and a line end in it is a stray quote that swallowed rows."""
    import pyarrow.compute as pc

    for name in table.column_names:
        found = pc.index(pc.match_substring_regex(table[name], r"(?s)\t.*\n|\n.*\t"), True).as_py()
        if found >= 0:
            raise UserError(
                f"{place}, row {found + 1}, column {show(name)}: a value runs over several lines "
                'and columns because a double quote opens it; write the quotes of a value as "" '
                "and put the value between double quotes, or save the file as jsonl"
            )


def find_numbers(table: pa.Table) -> pa.Table:
    """Columns where every value is a number become numbers; an empty cell there is a null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for position, name in enumerate(table.column_names):
        column = table[name]
        for pattern, kind in ((WHOLE, pa.int64()), (NUMBER, pa.float64())):
            if not all_match(column[:100], pattern) or not all_match(column, pattern):
                continue
            if pc.all(pc.equal(column, "")).as_py():
                break
            cells = pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
            table = table.set_column(position, name, pc.cast(cells, kind))
            break
    return table


def all_match(column: pa.ChunkedArray, pattern: str) -> bool:
    import pyarrow.compute as pc

    matches = pc.or_(pc.match_substring_regex(column, pattern), pc.equal(column, ""))
    return bool(pc.all(matches).as_py())


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
