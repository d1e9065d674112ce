"""Files of answers or references from anywhere: JSON, delimited or plain text, to rows with places."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show, suggest
from nlpbench.data.delimited import read_delimited
from nlpbench.data.encoding import check_text, open_unpacked
from nlpbench.data.formats import split_suffix
from nlpbench.data.json_values import check_object
from nlpbench.data.plain_text import lines
from nlpbench.data.squad_json import is_squad, read_squad
from nlpbench.evaluation.json_lines import json_lines

TEXT = "text"  # the one column of plain text
REFUSED = {"parquet": "save it as jsonl", "conll": "save words and tags as lists in jsonl"}


@dataclass(frozen=True)
class AnswerFile:
    """The rows of a file.

    Attributes:
        rows: a mapping each, by column.
        places: such as `answers.csv:3`.
        plain: whether it is plain text, whose only column is the line.
        untyped: whether all values are text, whatever they mean, as in csv.
    """

    file: Path
    rows: list[dict[str, Any]]
    places: list[str]
    plain: bool = False
    untyped: bool = False

    @property
    def columns(self) -> list[str]:
        return list(dict.fromkeys(key for row in self.rows for key in row))

    def has(self, column: str) -> bool:
        return any(column in row for row in self.rows)

    def column(self, name: str, option: str) -> list[Any]:
        """The values of a column, which may be nested, as in `answers.text`.

        Args:
            option: of the command, that names it.

        Raises:
            UserError: there is none, or a row lacks it.
        """
        found = [_reach(row, name) for row in self.rows]
        if all(value is _NONE for value in found):
            near = suggest(name, self.columns)
            hint = f"{near} " if near.startswith("did you mean") else ""
            raise UserError(
                f"{self.file} has no column {name}; {hint}columns: {', '.join(self.columns)}; "
                f"name another with {option}"
            )
        if _NONE in found:
            raise UserError(f"{self.places[found.index(_NONE)]} has no {name}")
        return found


_NONE = object()


def read(file: Path) -> AnswerFile:
    """The rows of a file, whose suffix tells what it is; an unknown suffix is plain text.

    Raises:
        UserError: a file that cannot be read, or is damaged, with its line or row.
    """
    kind = split_suffix(file.name)[1] or "txt"
    if kind in REFUSED:
        raise UserError(f"{file} is a {kind} file, which is not scored; {REFUSED[kind]}")
    if kind == "jsonl":
        found = json_lines(file)
        return AnswerFile(file, [row for _, row in found], [place for place, _ in found])
    check_text(file, str(file), kind)
    if kind == "json":
        return _json(file)
    if kind in ("csv", "tsv"):
        return _delimited(file, "\t" if kind == "tsv" else ",")
    return _plain(file)


def _plain(file: Path) -> AnswerFile:
    found = list(lines(file, str(file)))
    rows = [{TEXT: line} for line in found]
    places = [f"{file}:{number}" for number in range(1, len(rows) + 1)]
    return AnswerFile(file, rows, places, plain=True, untyped=True)


def _delimited(file: Path, delimiter: str) -> AnswerFile:
    rows: list[dict[str, Any]] = []
    for table in read_delimited(file, str(file), delimiter, None):
        rows += table.to_pylist()
    if not rows:
        raise UserError(f"{file} holds no rows below its header")
    for name in list(rows[0]):
        _read_lists(rows, name)
    places = [f"{file}, row {number}" for number in range(1, len(rows) + 1)]
    return AnswerFile(file, rows, places, untyped=True)


def _read_lists(rows: Sequence[dict[str, Any]], name: str) -> None:
    """Turns a column of JSON lists, such as ["B-PER", "O"], into lists."""
    found = []
    for row in rows:
        text = row[name].strip()
        if not (text.startswith("[") and text.endswith("]")):
            return
        try:
            found.append(json.loads(text))
        except ValueError:
            return
    for row, value in zip(rows, found, strict=True):
        row[name] = value


def _json(file: Path) -> AnswerFile:
    """A list of rows, a mapping of ids to answers as SQuAD's predictions are, or SQuAD's own data."""
    with open_unpacked(file, str(file)) as stream:
        text = stream.read()
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file} is damaged: {error}") from error
    if is_squad(content):
        rows = [
            {"id": row["id"], "reference": row["answers"]["text"]}
            for table in read_squad(content, str(file))
            for row in table.to_pylist()
        ]
        return AnswerFile(file, rows, [f"{file}, question {show(row['id'])}" for row in rows])
    if isinstance(content, dict) and content:
        rows = [{"id": key, "prediction": value} for key, value in content.items()]
        return AnswerFile(file, rows, [f"{file}, {show(key)}" for key in content], untyped=True)
    if not (isinstance(content, list) and content):
        raise UserError(f"{file} must be a list of objects, or an object of ids and answers")
    places = [f"{file}, row {number}" for number in range(1, len(content) + 1)]
    for row, place in zip(content, places, strict=True):
        check_object(row, place, '{"id": …}')
    return AnswerFile(file, content, places)


def _reach(row: dict[str, Any], name: str) -> Any:
    if name in row:
        return row[name]
    outer, dot, inner = name.partition(".")
    inside = row.get(outer) if dot else None
    return _reach(inside, inner) if isinstance(inside, dict) else _NONE
