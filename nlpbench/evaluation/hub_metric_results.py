"""What a metric of the `evaluate` library returned, as numbers by key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from nlpbench.evaluation.hub_metric import Source, load, quiet, told

FEW = 16
Scores = dict[str, float | list[float]]


# A model behind a metric takes minutes: scores and intervals are to share one run of it.
@lru_cache(maxsize=2)
def results(source: Source, inputs: str, arguments: str) -> Scores:
    """The numbers of a metric's result: a score, or n values where it gives one an example.

    Nested keys become `inner[outer]`; what is neither a number nor n numbers is left out. A result
    without keys has the key "".

    Args:
        inputs: JSON of the predictions and references.
        arguments: JSON of what else goes to the metric's `compute`.

    Raises:
        UserError: the metric refuses its input, or fails, or returns no number.
    """
    given = json.loads(inputs)
    n = len(given["predictions"])
    found = _run(source, given, arguments)
    if n <= FEW and any(isinstance(value, list) for value in found.values()):
        # So short a list may be of anything, unless twice the examples make it twice as long.
        twice = _run(source, {key: 2 * rows for key, rows in given.items()}, arguments)
        found = {
            key: value
            for key, value in found.items()
            if not isinstance(value, list) or isinstance(twice.get(key), list)
        }
    if not found:
        raise source.error("returned no number")
    return found


def _run(source: Source, inputs: dict[str, list[Any]], arguments: str) -> Scores:
    module = load(source)
    with quiet():
        try:
            result = module.compute(**inputs, **json.loads(arguments))
        except Exception as error:
            load.cache_clear()  # the module keeps rows that it could not score
            kind = type(error).__name__
            raise source.error(f"cannot score this ({kind}: {told(error)})") from error
    return numbers(result, len(inputs["predictions"]))


def numbers(result: Any, n: int) -> Scores:
    """The numbers, and lists of n of them, in a result of any shape."""
    if not isinstance(result, Mapping):
        value = _number_or_list(result, n)
        return {} if value is None else {"": value}
    found: Scores = {}
    for key, item in result.items():
        for inner, value in numbers(item, n).items():
            found[f"{inner}[{key}]" if inner else str(key)] = value
    return found


def _number_or_list(item: Any, n: int) -> float | list[float] | None:
    plain = item.tolist() if hasattr(item, "tolist") else item
    if _is_number(plain):
        return float(plain)
    if isinstance(plain, list | tuple) and len(plain) == n and all(map(_is_number, plain)):
        return [float(number) for number in plain]
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
