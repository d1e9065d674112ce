"""One thing wrong in a config: where it stands, what it is, and what to do about it."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

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
    mark: Mark | None = None

    def inside(self, prefix: Path) -> Problem:
        return replace(self, path=(*prefix, *self.path))

    def render(self, mark: Mark) -> str:
        parts = [str(mark)]
        parts += [part for part in (dotted(self.path), self.message, self.advice) if part]
        return "  ".join(parts)


YES_AND_NO = dict.fromkeys(("yes", "y", "on", "true"), "true")
YES_AND_NO |= dict.fromkeys(("no", "n", "off", "false"), "false")


class Invalid(ValueError):  # noqa: N818
    """Raised by a validator that knows where inside its own mapping the problems are."""

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{dotted(p.path)} {p.message}".strip() for p in problems))


def dotted(path: Path) -> str:
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        word = part if re.fullmatch(r"[\w<~-]+", part) else show(part)
        text += f".{word}" if text else word
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
    word = word.lower().replace("-" if any("_" in name for name in names) else "_", "_")
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    return "allowed: " + ", ".join(names) if names else ""


def show(value: Any) -> str:
    """A value as it would be written in YAML, shortened."""
    if hasattr(value, "model_dump"):
        value = value.model_dump(mode="json")
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    text = json.dumps(value, ensure_ascii=False, default=str)
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= 60 else text[:57] + "..."


UNKNOWN_KEY = "unknown key"
EXPECTED = {
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "string_type": "must be a string",
    "list_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "finite_number": "must be a finite number",
}
BOUNDS = {
    "greater_than": ("gt", "must be greater than {:g}"),
    "greater_than_equal": ("ge", "must be at least {:g}"),
    "less_than": ("lt", "must be less than {:g}"),
    "less_than_equal": ("le", "must be at most {:g}"),
    "too_short": ("min_length", "must hold at least {} item"),
    "string_too_short": ("min_length", "must have at least {} character"),
    "string_too_long": ("max_length", "must have at most {} character"),
}


def flatten(error: ValidationError, fields: Mapping[str, FieldInfo]) -> list[Problem]:
    """pydantic's errors, those of nested sections included, in nlpbench's words.

    `fields` are those of the section that was validated, by their keys.
    """
    problems: list[Problem] = []
    of_choices: dict[str, list[Any]] = {}
    for item in error.errors(include_url=False):
        path: Path = item["loc"]
        kind, value, context = item["type"], item["input"], item.get("ctx", {})
        if len(path) > 1 and _has_choices(fields.get(str(path[0]))):
            of_choices.setdefault(str(path[0]), []).append(item)
            continue
        cause = context.get("error")
        if isinstance(cause, Invalid):
            problems += [problem.inside(path) for problem in cause.problems]
        elif kind == "missing":
            problems.append(Problem(path[:-1], f"needs the key {path[-1]}", at_key=True))
        elif kind == "extra_forbidden":
            key = str(path[-1])
            advice = HINTS.get(key) or suggest(key, fields)
            problems.append(Problem(path, UNKNOWN_KEY, advice, at_key=True))
        elif kind == "literal_error":
            words = context["expected"].replace("'", "").replace(" or ", ", ").split(", ")
            advice = suggest(str(value), words)
            problems.append(Problem(path, f"unknown value (got {show(value)})", advice))
        else:
            known = fields.get(str(path[0])) if len(path) == 1 else None
            optional = known is not None and not known.is_required()
            advice = _mend(kind, value, optional)
            problems.append(
                Problem(path, f"{_expected(kind, context)} (got {show(value)})", advice)
            )
    for key, items in of_choices.items():
        problems += _none_fits(key, items)
    return problems


def _has_choices(field: FieldInfo | None) -> bool:
    """Whether a value may be of several types; then pydantic tells an error for each of them."""
    if field is None:
        return False
    return len([kind for kind in get_args(field.annotation) if kind is not type(None)]) > 1 and (
        get_origin(field.annotation) in (Union, UnionType)
    )


def _none_fits(key: str, items: list[Any]) -> list[Problem]:
    """The errors of a value that is of none of its types; of the one it is meant for, if that shows."""
    inside = [item for item in items if len(item["loc"]) > 2 or item["type"] in BOUNDS]
    problems = [
        Problem(
            (key, *item["loc"][2:]),
            f"{_expected(item['type'], item.get('ctx', {}))} (got {show(item['input'])})",
            _mend(item["type"], item["input"], False),
        )
        for item in inside
    ]
    if problems:
        return problems
    expected, advice = [], ""
    value = items[0]["input"]
    for item in items:
        if item["type"] == "literal_error":
            words = item["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
            expected += words
            close = suggest(value, words) if isinstance(value, str) else ""
            advice = advice or close * close.startswith("did")
        else:
            text = _expected(item["type"], item.get("ctx", {}))
            expected.append(text.removeprefix("must be ").removesuffix(f" (got {show(value)})"))
            advice = advice or _mend(item["type"], value, False)
    return [Problem((key,), f"must be {' or '.join(expected)} (got {show(value)})", advice)]


def _expected(kind: str, context: Mapping[str, Any]) -> str:
    if kind in BOUNDS:
        bound, text = BOUNDS[kind]
        counted = "length" in bound and context[bound] != 1
        return text.format(context[bound]) + "s" * counted
    return EXPECTED.get(kind) or str(context.get("error") or "cannot be used")


def _mend(kind: str, value: Any, optional: bool) -> str:
    """What to do about a value of the wrong type, where that can be told."""
    if value is None:
        empty = kind == "model_type"
        return "write keys under it, or leave it out" if empty else "leave the key out" * optional
    if kind in ("int_type", "float_type") and isinstance(value, str):
        try:
            number = int(value) if kind == "int_type" else float(value)
        except ValueError:
            return ""
        return f"write {number}" if "_" in value else "take away the quotes"
    if kind in ("int_type", "int_from_float") and isinstance(value, float) and value.is_integer():
        return f"write {int(value)}"
    if kind == "bool_type" and isinstance(value, str) and value.lower() in YES_AND_NO:
        return f"write {YES_AND_NO[value.lower()]}"
    if kind == "list_type" and isinstance(value, str):
        return f"write [{value}]"
    if kind == "string_type" and isinstance(value, bool | int | float):
        return "put it in quotes"
    return ""
