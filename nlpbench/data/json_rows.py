"""json and jsonl: one object a row, every error with its row."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show

if TYPE_CHECKING:
    import pyarrow as pa

KINDS = {bool: "true or false", int: "a number", float: "a number", str: "a string"}
KINDS |= {list: "a list", dict: "an object", type(None): "null"}


def read_jsonl(data: bytes, place: str) -> pa.Table:
    rows: list[dict[str, Any]] = []
    # Only \n ends a row: json allows U+2028 and the like inside strings.
    for line_number, line in enumerate(data.decode("utf-8").split("\n"), 1):
        if not line.strip():
            continue
        where = f"{place}, row {len(rows) + 1}"
        if line_number != len(rows) + 1:
            where += f" (line {line_number})"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(
                f"{where}: not JSON ({error.msg} at column {error.colno}): {shorten(line)}"
            ) from None
        except RecursionError:
            raise UserError(f"{where}: is nested too deeply") from None
        check_object(row, where)
        rows.append(row)
    return table_of(rows, place)


def read_json(data: bytes, place: str) -> pa.Table:
    """A list of objects, or an object with such a list under one key."""
    try:
        content = json.loads(data)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and data.lstrip()[:1] == b"{":
            return read_jsonl(data, place)
        raise UserError(
            f"{place}, line {error.lineno}, column {error.colno}: not JSON ({error.msg})"
        ) from None
    except RecursionError:
        raise UserError(f"{place}: is nested too deeply to be rows") from None
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
    return table_of(rows, place)


def check_object(row: Any, where: str) -> None:
    if not isinstance(row, dict):
        raise UserError(
            f'{where}: must be an object such as {{"text": …}}; got {kind_of(row)} '
            f"({show_value(row)})"
        )


def table_of(rows: list[dict[str, Any]], place: str) -> pa.Table:
    """One column a key, in order of appearance; a key that a row lacks is a null."""
    import pyarrow as pa

    columns = {}
    for name in dict.fromkeys(key for row in rows for key in row):
        if not storable([name]):
            number = next(number for number, row in enumerate(rows, 1) if name in row)
            raise UserError(f"{place}, row {number}: the key {show_value(name)} is not valid text")
        values = [row.get(name) for row in rows]
        try:
            columns[name] = pa.array(values)
        except (pa.ArrowException, OverflowError, UnicodeError, TypeError, ValueError) as error:
            raise UserError(explain(values, f"{place}, row", name, error)) from None
    return pa.table(columns)


def explain(values: list[Any], place: str, name: str, error: Exception) -> str:
    """Find the first value that does not go with those before it."""
    low, high = 0, len(values)
    while high - low > 1:  # values[:low] can be stored, values[:high] cannot
        middle = (low + high) // 2
        low, high = (middle, high) if storable(values[:middle]) else (low, middle)
    value = values[high - 1]
    where = f"{place} {high}, column {show(name)}: {show_value(value)}"
    if not storable([value]):
        return f"{where} cannot be stored ({error})"
    kinds = [kind_of(earlier) for earlier in values[: high - 1] if earlier is not None]
    if kinds and kinds[0] != kind_of(value):
        return f"{where} is {kind_of(value)} where the rows before hold {kinds[0]}"
    return f"{where} is of another type than the rows before ({error})"


def storable(values: list[Any]) -> bool:
    import pyarrow as pa

    try:
        pa.array(values)
    except (pa.ArrowException, OverflowError, UnicodeError, TypeError, ValueError):
        return False
    return True


def kind_of(value: Any) -> str:
    return KINDS[type(value)]


def show_value(value: Any) -> str:
    return printable(show(value))


def printable(text: str) -> str:
    """Half a surrogate pair, which no terminal takes, as its escape."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def shorten(line: str) -> str:
    line = line.strip()
    return line if len(line) <= 60 else line[:57] + "..."
