"""Holds a finished run to the rules of a gate, by its record and, for paired tests, its predictions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nlpbench.config.errors import ConfigError, UserError
from nlpbench.config.gate import OF_A_BASELINE, Bounds, Rule
from nlpbench.evaluation.against_baseline import Comparison
from nlpbench.evaluation.quantity import Quantity, quantity, score_key, told_path
from nlpbench.results.finished_run import FinishedRun
from nlpbench.results.numbers import apart, told
from nlpbench.results.record import CheckedRule, Gate


def check(rules: Mapping[str, Rule], run: FinishedRun, baseline: FinishedRun | None = None) -> Gate:
    """Every rule with whether it holds; an undefined value breaks its rule.

    Raises:
        UserError: rules that cannot be checked, each on a line: a score, cost or slice that was
            not computed, a baseline that is missing or of something else.
    """
    comparison = None if baseline is None else Comparison(run, baseline)
    problems: list[str] = []
    checked: list[CheckedRule] = []
    for name, rule in rules.items():
        try:
            checked += _check(name, rule, run, comparison)
        except UserError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError(problems)
    return Gate(
        passed=all(rule.holds for rule in checked),
        rules=checked,
        baseline=None if baseline is None else _described(baseline),
    )


def _described(baseline: FinishedRun) -> dict[str, Any]:
    record = baseline.record
    return {
        "path": str(baseline.file),
        "name": record.name,
        "model": record.model.get("name"),
        "finished": record.finished,
    }


def _check(
    name: str, rule: Rule, run: FinishedRun, comparison: Comparison | None
) -> Iterator[CheckedRule]:
    key = score_key(name, run)
    for slice_name, bounds in _parts(name, rule, run):
        asked = [bound for bound in OF_A_BASELINE if bounds.asks(bound)]
        if asked and comparison is None:
            raise UserError(
                f"{told_path(name)}: {asked[0]} needs a baseline; name one with --baseline, or "
                "write baseline beside gate"
            )
        found = quantity(key, slice_name, run)
        for bound in ("min", "max"):
            if bounds.asks(bound):
                yield _within(_Asked(found, bound, getattr(bounds, bound)))
        if asked and comparison is not None:
            yield from _against(comparison, found, bounds)


def _parts(name: str, rule: Rule, run: FinishedRun) -> Iterator[tuple[str | None, Bounds]]:
    """The bounds of a rule, each with the slice that they are about; None for all rows."""
    slices = run.record.slices
    if (rule.slices or rule.every_slice is not None) and not slices:
        raise UserError(
            f"{told_path(name)}: {run.name} has no slices; write evaluation.slices to score some"
        )
    yield None, rule
    yield from (rule.slices or {}).items()
    if rule.every_slice is not None:
        yield from ((slice_name, rule.every_slice) for slice_name in slices)


@dataclass(frozen=True)
class _Asked:
    """A bound of a rule for a quantity of a run."""

    quantity: Quantity
    bound: str
    limit: float | None

    def __str__(self) -> str:
        return self.bound if self.limit is None else f"{self.bound} {told(self.limit)}"

    def answered(self, holds: bool, sentence: str, **found: float | None) -> CheckedRule:
        return CheckedRule(
            key=self.quantity.key,
            slice=self.quantity.slice,
            bound=self.bound,
            limit=self.limit,
            value=self.quantity.value,
            holds=holds,
            told=f"{self.quantity} {sentence}",
            **found,
        )


def _within(asked: _Asked) -> CheckedRule:
    """`min` and `max`."""
    value, limit = asked.quantity.value, asked.limit
    assert limit is not None
    if value is None:
        return asked.answered(False, f"is undefined ({asked.quantity.why}), so {asked} is broken")
    holds = value >= limit if asked.bound == "min" else value <= limit
    words = ("is at least", "is below") if asked.bound == "min" else ("is at most", "is above")
    shown, of = apart(value, limit)
    return asked.answered(holds, f"{shown} {words[not holds]} {asked.bound} {of}")


def _against(comparison: Comparison, found: Quantity, bounds: Bounds) -> Iterator[CheckedRule]:
    """What compares with the baseline; `significant` by itself allows no confirmed drop at all."""
    base = comparison.base(found)
    limits: dict[str, float | None] = {
        bound: getattr(bounds, bound)
        for bound in OF_A_BASELINE
        if bound != "significant" and bounds.asks(bound)
    }
    for bound, limit in (limits or {"significant": None}).items():
        asked = _Asked(found, bound, limit)
        if found.value is None or base.value is None:
            whose, why = ("", found.why) if found.value is None else (" in the baseline", base.why)
            sentence = f"is undefined{whose} ({why}), so {asked} is broken"
            yield asked.answered(False, sentence, baseline=base.value)
        elif bound == "min_improvement":
            yield _improved(asked, found.value, base.value)
        else:
            test = comparison if bounds.significant else None
            yield _not_worse(asked, found.value, base.value, test)


def _improved(asked: _Asked, value: float, base: float) -> CheckedRule:
    gain, least = -_drop(asked.quantity, value, base), asked.limit or 0.0
    holds = gain > least or _equal(gain, least)
    shown, was = apart(value, base)
    change = f"improved by {told(gain)}" if gain > 0 else "did not improve"
    sentence = f"{change} from {was} to {shown}, {'as' if holds else 'and not as'} {asked} asks"
    return asked.answered(holds, sentence, baseline=base)


def _not_worse(
    asked: _Asked, value: float, base: float, comparison: Comparison | None
) -> CheckedRule:
    """The rules of a drop; with a comparison, one that its test does not confirm is forgiven."""
    percent = asked.bound == "percent_max_degradation"
    drop, most = _drop(asked.quantity, value, base), asked.limit or 0.0
    size = _percent(drop, base) if percent else drop
    holds = size < most or _equal(size, most)
    shown, was = apart(value, base)
    if drop <= 0:
        return asked.answered(
            True, f"{shown} is no worse than {was} of the baseline", baseline=base
        )
    verb = "fell" if asked.quantity.higher_is_better else "rose"
    sentence = f"{verb} by {told(size)}{' %' * percent} from {was} to {shown}"
    if asked.limit is not None:
        sentence += f", {'within' if holds else 'more than'} {asked}"
    if holds or comparison is None:
        return asked.answered(holds, sentence, baseline=base)
    found = comparison.test(asked.quantity)
    level = 1 - comparison.run.confidence
    holds = found.p_value is None or found.p_value >= level
    verdict = "does not confirm" if holds else "confirms"
    p_value = "undefined" if found.p_value is None else told(found.p_value, 3)
    sentence += f"; a paired {found.test} test {verdict} it (p {p_value})"
    return asked.answered(holds, sentence, baseline=base, p_value=found.p_value)


def _drop(of: Quantity, value: float, base: float) -> float:
    """How much worse a value is than the baseline's; below 0 where it is better."""
    if value == base:  # two infinities, too
        return 0.0
    return base - value if of.higher_is_better else value - base


def _percent(drop: float, base: float) -> float:
    """A drop in percent of the baseline's value; infinite where that is 0."""
    if drop == 0:
        return 0.0
    return 100 * drop / abs(base) if base else math.copysign(math.inf, drop)


def _equal(one: float, other: float) -> bool:
    """Whether two numbers differ by no more than what a subtraction rounds."""
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
