"""The rules that a run must hold: bounds on scores and costs, by themselves or against a baseline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from pydantic import Field, model_validator

from nlpbench.config.component import Section
from nlpbench.config.costs import COSTS
from nlpbench.config.problems import Invalid, Path, Problem, suggest

OF_A_DROP = ("max_degradation", "percent_max_degradation", "significant")
OF_SLICES = ("slices", "every_slice")
OF_A_BASELINE = (*OF_A_DROP, "min_improvement")


class Bounds(Section):
    """What a score or a cost must hold; worse and better are meant in its own direction."""

    min: float | None = Field(None, description="the least value that passes")
    max: float | None = Field(None, description="the greatest value that passes")
    max_degradation: float | None = Field(
        None, ge=0, description="how much worse than the baseline it may be, in its own unit"
    )
    percent_max_degradation: float | None = Field(
        None, ge=0, description="how much worse than the baseline it may be, in percent of that"
    )
    min_improvement: float | None = Field(
        None, ge=0, description="how much better than the baseline it must be, in its own unit"
    )
    significant: bool = Field(
        False,
        description="a drop counts only if a paired test on the same examples confirms it, at the "
        "level of evaluation.confidence; by itself, any drop that it confirms",
    )

    @model_validator(mode="after")
    def can_be_held(self) -> Bounds:
        problems = []
        if self.is_empty:
            advice = "write min, max, max_degradation or another rule"
            problems.append(Problem((), "holds no rule", advice, at_key=True))
        if self.min is not None and self.max is not None and self.min > self.max:
            message = f"is below min (got {self.max:g}, and min is {self.min:g})"
            problems.append(Problem(("max",), message))
        if self.min_improvement is not None:
            problems += [
                Problem((key,), "excludes min_improvement", "keep one of them", at_key=True)
                for key in OF_A_DROP
                if self.asks(key)
            ]
        if problems:
            raise Invalid(*problems)
        return self

    @property
    def is_empty(self) -> bool:
        return not any(self.asks(key) for key in Bounds.model_fields)

    def asks(self, key: str) -> bool:
        """Whether a rule is set."""
        value = getattr(self, key)
        return value is not None and value is not False


class Rule(Bounds):
    """What a score or a cost must hold on all rows and, with `slices`, on parts of them.

    YAML: `f1_macro: {min: 0.85, slices: {"language=de": {min: 0.8}}, every_slice: {min: 0.7}}`
    """

    slices: dict[str, Bounds] | None = Field(
        None, min_length=1, description="by the name of a slice, what its rows must hold"
    )
    every_slice: Bounds | None = Field(None, description="what the rows of each slice must hold")

    @property
    def is_empty(self) -> bool:
        return super().is_empty and not self.slices and self.every_slice is None

    def parts(self) -> Iterator[tuple[Path, Bounds]]:
        """All bounds of the rule, each with the keys that lead to it."""
        yield (), self
        for name, bounds in (self.slices or {}).items():
            yield ("slices", name), bounds
        if self.every_slice is not None:
            yield ("every_slice",), self.every_slice


Rules = dict[str, Rule]


class GateFile(Section):
    """A file of rules: `gate` and `baseline`, as they may stand in a config."""

    baseline: str | None = Field(
        None, min_length=1, description="the run, or its record, that rules compare with"
    )
    gate: Rules = Field(min_length=1, description="by score, metric or cost, what it must hold")


class _Metric(Protocol):
    key: str

    def gives(self, key: str) -> bool: ...


def problems_of(
    rules: Mapping[str, Rule], metrics: Sequence[_Metric], sliced: bool
) -> list[Problem]:
    """What cannot be meant, as far as it shows before a run.

    Args:
        metrics: that will be computed.
        sliced: whether slices will be scored, too.
    """
    problems = []
    known = [*(metric.key for metric in metrics), *COSTS]
    for key, rule in rules.items():
        path: Path = ("gate", key)
        if key in COSTS:
            problems += _of_a_cost(path, rule)
        elif not any(metric.gives(key) for metric in metrics):
            message = "is neither a score of evaluation.metrics nor a cost"
            problems.append(Problem(path, message, suggest(key, known), at_key=True))
        elif not sliced:
            advice = "write evaluation.slices"
            problems += [
                Problem((*path, name), "needs slices to be scored", advice, at_key=True)
                for name in OF_SLICES
                if getattr(rule, name) is not None
            ]
    return problems


def _of_a_cost(path: Path, rule: Rule) -> list[Problem]:
    problems = [
        Problem((*path, key), "a cost is of all rows", "take it away", at_key=True)
        for key in OF_SLICES
        if getattr(rule, key) is not None
    ]
    if rule.significant:
        message = "no paired test is of a cost"
        problems.append(Problem((*path, "significant"), message, "take it away", at_key=True))
    return problems


def without_baseline(rules: Mapping[str, Rule]) -> Rules:
    """What can be held where there is no baseline yet; empty if every rule compares with one."""
    nothing = {**dict.fromkeys(OF_A_BASELINE), "significant": False}
    kept = {}
    for key, rule in rules.items():
        slices = {
            name: bounds.model_copy(update=nothing) for name, bounds in (rule.slices or {}).items()
        }
        every = rule.every_slice and rule.every_slice.model_copy(update=nothing)
        further = {
            "slices": {name: each for name, each in slices.items() if not each.is_empty} or None,
            "every_slice": None if every is None or every.is_empty else every,
        }
        kept[key] = rule.model_copy(update=nothing | further)
    return {key: rule for key, rule in kept.items() if not rule.is_empty}


def needs_baseline(rules: Mapping[str, Rule]) -> str | None:
    """The first rule that compares with a baseline, as it stands in the file; None without one."""
    for key, rule in rules.items():
        for path, bounds in rule.parts():
            for name in OF_A_BASELINE:
                if bounds.asks(name):
                    return ".".join(map(str, (key, *path, name)))
    return None
