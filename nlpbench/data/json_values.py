"""How messages speak of the values of a JSON file, and which of them a table cannot store."""

from __future__ import annotations

from typing import Any

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show

KINDS = {bool: "true or false", int: "a number", float: "a number", str: "a string"}
KINDS |= {list: "a list", dict: "an object", type(None): "null"}


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


def storing_errors() -> tuple[type[Exception], ...]:
    import pyarrow as pa

    return (pa.ArrowException, OverflowError, UnicodeError, TypeError, ValueError)


def check_object(row: Any, where: str, example: str = '{"text": …}') -> None:
    if not isinstance(row, dict):
        raise UserError(
            f"{where}: must be an object such as {example}; got {kind_of(row)} ({show_value(row)})"
        )


def check_text(text: str, where: str) -> None:
    """Refuse half a surrogate pair, which JSON can write and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError(f"{where}: {show_value(text)} cannot be stored ({error})") from None
