"""The key evaluation.perturbations, and which tasks and perturbations go together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Protocol

from nlpbench.config.component import Component, ComponentField
from nlpbench.config.problems import Path, Problem, dotted

Perturbations = list[Annotated[Component, ComponentField("perturbation")]]


class _Task(Protocol):
    name: str
    reads_words: bool
    altered_columns: list[str]


def problems(task: _Task, perturbations: Sequence[Any]) -> list[Problem]:
    """What is wrong with the perturbations for a task."""
    found = []
    key: Path = ("evaluation", "perturbations")
    if perturbations and not task.altered_columns:
        message = f"{task.name} has no text that could be altered without its reference here"
        return [Problem(key, message, "leave the key out", at_key=True)]
    labels = [each.label for each in perturbations]
    for number, each in enumerate(perturbations):
        path: Path = (*key, number)
        if labels[number] in labels[:number]:
            first = dotted((*key, labels.index(labels[number])))
            found.append(Problem(path, f"is the same perturbation as {first}", "keep one of them"))
        elif task.reads_words and not each.alters_words:
            message = f"{each.name} alters what stands between words, and {task.name} reads words"
            found.append(Problem(path, message, "take it away"))
    return found
