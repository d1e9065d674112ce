"""Where a key belongs that stands in the wrong section."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from nlpbench.config import registry, training_arguments
from nlpbench.config.component import Section
from nlpbench.config.errors import UserError
from nlpbench.config.hints import HINTS
from nlpbench.config.problems import UNKNOWN_KEY, Problem
from nlpbench.config.run_config import RunConfig
from nlpbench.config.sections import DataSection, EvaluationSection, ModelSection
from nlpbench.config.training import TrainingSection

SECTIONS: dict[str, type[Section]] = {
    "model": ModelSection,
    "data": DataSection,
    "training": TrainingSection,
    "evaluation": EvaluationSection,
}


def with_home(problem: Problem) -> Problem:
    """The problem of an unknown key, with the place where the key is known."""
    key = problem.path[-1] if problem.path else None
    if problem.message != UNKNOWN_KEY or key in HINTS:
        return problem
    places = list(dict.fromkeys(place for name, place in _homes() if name == key))
    # A metric's own key is nearer than an option that some task or other has.
    of_metric = problem.path[:2] == ("evaluation", "metrics")
    if not places or (of_metric and problem.advice.startswith("did you mean")):
        return problem
    return replace(problem, advice="write " + " or ".join(places))


@cache
def _homes() -> tuple[tuple[str, str], ...]:
    return tuple(_every_home())


def _every_home() -> Iterator[tuple[str, str]]:
    for key in RunConfig.model_fields:
        yield key, f"{key} at the top of the config"
    yield "extends", "extends at the top of the config"
    yield "models", "models at the top of the config"
    for name, section in SECTIONS.items():
        for key in section.model_fields:
            yield key, f"{name}.{key}"
    for task in registry.names("task"):
        try:
            options = registry.load("task", task).model_fields
        except UserError:  # a broken plugin; told where it is used
            continue
        for key in options:
            if key != "name":
                yield key, f"task.{key}"
    for key in training_arguments.open_fields():
        yield key, f"training.arguments: {{{key}: …}}"
