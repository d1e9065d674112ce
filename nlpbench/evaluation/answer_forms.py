"""Answers as people write them, to the form of predictions.jsonl."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from nlpbench.evaluation.answer_arrays import Side
from nlpbench.evaluation.metrics import Answer

NUMBER = re.compile(r"\s*[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?\s*")
WHOLE = re.compile(r"-?\d+")


def in_form(answer: Answer, side: Side, value: Any) -> Any:
    """A value in the form of predictions.jsonl; one that has none there is left as it is.

    Whole numbers and true or false are labels too, a text of a number is the number, tags may stand
    in one text with blanks between them, one reference need not stand in a list, and a list of
    relevant documents gives each the grade 1.
    """
    if answer == "labels":
        return _label(value)
    if answer == "label-sets" and isinstance(value, list):
        return [_label(item) for item in value]
    if isinstance(value, str):
        if answer == "values" and NUMBER.fullmatch(value):
            return float(value)
        if answer == "tags":
            return value.split()
        if side == "reference" and answer == "texts":
            return [value]
        if side == "reference" and answer == "spans":
            return [value] if value else []
    if answer == "rankings" and side == "reference" and isinstance(value, list):
        return dict.fromkeys(value, 1) if all(isinstance(item, str) for item in value) else value
    return value


def labels_in(answer: Answer, values: Iterable[Any]) -> list[str]:
    """The labels among values that are in form, sorted; whole numbers by size."""
    found: set[str] = set()
    for value in values:
        found.update(
            item for item in (value if isinstance(value, list) else [value]) if _named(item)
        )
    if answer not in ("labels", "label-sets", "tags"):
        return []
    if all(WHOLE.fullmatch(label) for label in found):
        return sorted(found, key=int)
    return sorted(found)


def _named(item: Any) -> bool:
    return isinstance(item, str) and item != ""


def _label(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else value
