"""One thing wrong in a config: where it stands, what it is, and what to do about it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from nlpbench.config.hints import HINTS

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Mark:
    """The place of a key or a value: a file with line and column (from 1), or an override's text."""

    source: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        if self.line is None:
            return self.source
        return f"{self.source}:{self.line}:{self.column}"


@dataclass(frozen=True)
class Problem:
    """A problem at a path; `advice` is what to do, `at_key` says that the key itself is at fault."""

    path: Path
    message: str
    advice: str = ""
    at_key: bool = False

    def inside(self, prefix: Path) -> Problem:
        return Problem((*prefix, *self.path), self.message, self.advice, self.at_key)

    def render(self, marks: Mapping[tuple[Path, bool], Mark], origin: str) -> str:
        parts = [str(find_mark(self.path, self.at_key, marks, origin))]
        parts += [part for part in (dotted(self.path), self.message, self.advice) if part]
        return "  ".join(parts)


class Invalid(ValueError):  # noqa: N818
    """Raised by a validator that knows where inside its own mapping the problems are."""

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{dotted(p.path)} {p.message}".strip() for p in problems))


def dotted(path: Path) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def find_mark(
    path: Path, at_key: bool, marks: Mapping[tuple[Path, bool], Mark], origin: str
) -> Mark:
    """The mark of the path, or of the nearest thing around it that stands in a file."""
    if (path, at_key) in marks:
        return marks[path, at_key]
    for length in range(len(path), -1, -1):
        for key in (True, False):
            if (path[:length], key) in marks:
                return marks[path[:length], key]
    return Mark(origin, 1, 1)


def suggest(word: str, allowed: Iterable[str]) -> str:
    """`did you mean …` where a close name exists, else `allowed: …`."""
    names = sorted(allowed)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    return "allowed: " + ", ".join(names) if names else ""


def show(value: Any) -> str:
    """A value as it would be written in YAML, shortened."""
    if hasattr(value, "model_dump"):
        value = value.model_dump(mode="json")
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


EXPECTED = {
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "string_type": "must be a string",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "finite_number": "must be a finite number",
}
BOUNDS = {
    "greater_than": ("gt", "must be greater than {}"),
    "greater_than_equal": ("ge", "must be at least {}"),
    "less_than": ("lt", "must be less than {}"),
    "less_than_equal": ("le", "must be at most {}"),
}


def flatten(error: ValidationError, allowed: Iterable[str] = ()) -> list[Problem]:
    """pydantic's errors, those of nested sections included, in nlpbench's words.

    `allowed` are the keys of the section that was validated, for a did-you-mean.
    """
    problems: list[Problem] = []
    for item in error.errors(include_url=False):
        path: Path = item["loc"]
        kind, value, context = item["type"], item["input"], item.get("ctx", {})
        cause = context.get("error")
        if isinstance(cause, Invalid):
            problems += [problem.inside(path) for problem in cause.problems]
        elif kind == "missing":
            problems.append(Problem(path[:-1], f"needs the key {path[-1]}", at_key=True))
        elif kind == "extra_forbidden":
            key = str(path[-1])
            advice = HINTS.get(key) or suggest(key, allowed)
            problems.append(Problem(path, "unknown key", advice, at_key=True))
        elif kind == "literal_error":
            allowed = context["expected"].replace("'", "").replace(" or ", ", ").split(", ")
            problems.append(
                Problem(path, f"unknown value (got {show(value)})", suggest(str(value), allowed))
            )
        elif kind in BOUNDS:
            bound, text = BOUNDS[kind]
            problems.append(Problem(path, f"{text.format(context[bound])} (got {show(value)})"))
        else:
            message = EXPECTED.get(kind) or (str(cause) if cause else item["msg"])
            problems.append(Problem(path, f"{message} (got {show(value)})"))
    return problems
