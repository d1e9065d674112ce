"""json and jsonl: one object a row, every error with its row."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show
from nlpbench.data.encoding import open_unpacked
from nlpbench.data.json_values import (
    check_object,
    kind_of,
    printable,
    shorten,
    show_value,
    storing_errors,
)
from nlpbench.data.squad_json import is_squad, read_squad

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK_ROWS = 10_000
CHUNK_BYTES = 16 << 20

Row = dict[str, Any]


def read_jsonl(path: Path, place: str) -> Iterator[pa.Table]:
    return tables_of(jsonl_chunks(path, place), place)


def jsonl_chunks(path: Path, place: str) -> Iterator[list[Row]]:
    """Rows, as many at a time as fit a little memory."""
    chunk: list[Row] = []
    count = size = 0
    with open_unpacked(path, place) as stream:
        # Only \n ends a row: json allows U+2028 and the like inside strings.
        for line_number, raw in enumerate(stream, 1):
            line = raw.decode("utf-8").removesuffix("\n")
            if not line.strip():
                continue
            count += 1
            where = f"{place}, row {count}"
            if line_number != count:
                where += f" (line {line_number})"
            chunk.append(parse(line, where))
            size += len(raw)
            if len(chunk) == CHUNK_ROWS or size >= CHUNK_BYTES:
                yield chunk
                chunk, size = [], 0
    yield chunk


def parse(line: str, where: str) -> Row:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{where}: not JSON ({error.msg} at column {error.colno}): {shorten(line)}"
        ) from None
    except RecursionError:
        raise UserError(f"{where}: is nested too deeply") from None
    check_object(row, where)
    return row  # type: ignore[no-any-return]


def read_json(path: Path, place: str) -> Iterator[pa.Table]:
    """A list of objects, or an object with such a list under one key, or SQuAD's; read as a whole."""
    with open_unpacked(path, place) as stream:
        data = stream.read()
    try:
        content = json.loads(data)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and data.lstrip()[:1] == b"{":
            return read_jsonl(path, place)
        raise UserError(
            f"{place}, line {error.lineno}, column {error.colno}: not JSON ({error.msg})"
        ) from None
    except RecursionError:
        raise UserError(f"{place}: is nested too deeply to be rows") from None
    if is_squad(content):
        return read_squad(content, place)
    rows = content
    if isinstance(content, dict):
        lists = [value for value in content.values() if isinstance(value, list)]
        rows = lists[0] if len(lists) == 1 else None
    if not isinstance(rows, list):
        found = f"{kind_of(content)} ({show_value(content)})"
        if isinstance(content, dict) and content:
            found = f"an object with the keys {', '.join(map(printable, content))}"
        raise UserError(
            f"{place}: must be a list of objects, or an object with one list under a key "
            f"such as data; got {found}"
        )
    for number, row in enumerate(rows, 1):
        check_object(row, f"{place}, row {number}")
    starts = range(0, len(rows), CHUNK_ROWS)
    return tables_of((rows[start : start + CHUNK_ROWS] for start in starts), place)


def tables_of(chunks: Iterable[list[Row]], place: str) -> Iterator[pa.Table]:
    """Tables that follow one another; the types of a later one hold the values of all before."""
    columns = Columns(place)
    unnamed: list[Row] = []  # rows before the first key: what they lack is not known yet
    for chunk in chunks:
        rows = [*unnamed, *chunk]
        if columns.types or any(rows):
            yield columns.table(rows)
            unnamed = []
        else:
            unnamed = rows


class Columns:
    """One column a key, in order of appearance; a key that a row lacks is a null."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.rows = 0
        self.types: dict[str, pa.DataType] = {}
        self.kinds: dict[str, str] = {}  # of the first value that is not null

    def table(self, rows: list[Row]) -> pa.Table:
        import pyarrow as pa

        for name in dict.fromkeys(key for row in rows for key in row):
            if name not in self.types:
                self.check_name(name, rows)
                self.types[name] = pa.null()
        columns = {}
        for name, known in self.types.items():
            values = [row.get(name) for row in rows]
            try:
                columns[name] = typed(values, known)
            except storing_errors() as error:
                raise UserError(self.explain(values, name, error)) from None
            kind = next((kind_of(value) for value in values if value is not None), None)
            if kind is not None:
                self.kinds.setdefault(name, kind)
        self.types = {name: column.type for name, column in columns.items()}
        self.rows += len(rows)
        return pa.table(columns)

    def check_name(self, name: str, rows: list[Row]) -> None:
        if not storable([name]):
            number = self.rows + next(n for n, row in enumerate(rows, 1) if name in row)
            raise UserError(
                f"{self.place}, row {number}: the key {show_value(name)} is not valid text"
            )

    def explain(self, values: list[Any], name: str, error: Exception) -> str:
        """Find the first value that does not go with those before it."""
        known = self.types[name]
        low, high = 0, len(values)
        while high - low > 1:  # values[:low] can be stored, values[:high] cannot
            middle = (low + high) // 2
            low, high = (middle, high) if storable(values[:middle], known) else (low, middle)
        value = values[high - 1]
        where = f"{self.place}, row {self.rows + high}, column {show(name)}: {show_value(value)}"
        if not storable([value]):
            return f"{where} cannot be stored ({error})"
        before = (kind_of(earlier) for earlier in values[: high - 1] if earlier is not None)
        kind = self.kinds.get(name) or next(before, None)
        if kind is not None and kind != kind_of(value):
            return f"{where} is {kind_of(value)} where the rows before hold {kind}"
        return f"{where} is of another type than the rows before ({error})"


def typed(values: list[Any], known: pa.DataType) -> pa.Array:
    """An array of a type that holds these values and those before, which are of the type `known`."""
    import pyarrow as pa

    array = pa.array(values)
    merged = merge(known, array.type)
    if _truths_among_numbers(values, merged):
        raise pa.ArrowTypeError("true or false among numbers")
    return array if array.type == merged else pa.array(values, type=merged)


def _truths_among_numbers(values: list[Any], kind: pa.DataType) -> bool:
    """Whether a true or false stands where numbers do: pyarrow takes it for 1.0 after a 2.5."""
    import pyarrow as pa

    there = [value for value in values if value is not None]
    if pa.types.is_floating(kind):
        return any(isinstance(value, bool) for value in there)
    if pa.types.is_list(kind):
        return _truths_among_numbers([item for value in there for item in value], kind.value_type)
    if pa.types.is_struct(kind):
        return any(
            _truths_among_numbers([value.get(each.name) for value in there], each.type)
            for each in kind
        )
    return False


def merge(one: pa.DataType, two: pa.DataType) -> pa.DataType:
    """The type of a column that holds both; ArrowTypeError where there is none.

    What pyarrow infers for all values at once, it must be for any cut of them into chunks.
    """
    import pyarrow as pa

    if one == two or pa.types.is_null(two):
        return one
    if pa.types.is_null(one):
        return two
    if {one, two} == {pa.int64(), pa.float64()}:
        return pa.float64()
    if pa.types.is_list(one) and pa.types.is_list(two):
        return pa.list_(merge(one.value_type, two.value_type))
    if pa.types.is_struct(one) and pa.types.is_struct(two):
        fields = {field.name: field.type for field in one}
        for field in two:
            fields[field.name] = merge(fields.get(field.name, pa.null()), field.type)
        return pa.struct(list(fields.items()))
    raise pa.ArrowTypeError(f"{one} before, {two} now")


def storable(values: list[Any], known: pa.DataType | None = None) -> bool:
    import pyarrow as pa

    try:
        typed(values, known or pa.null())
    except storing_errors():
        return False
    return True
