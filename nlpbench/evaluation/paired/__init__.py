"""Two systems compared on the same examples: the difference, its interval and a test of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from nlpbench.config.errors import UserError
from nlpbench.evaluation.metrics import Metric

if TYPE_CHECKING:
    from nlpbench.evaluation.answered import Answered

Test = Literal["mcnemar", "randomisation", "bootstrap"]


@dataclass(frozen=True)
class Difference:
    """How far two systems are apart in one score; None where it is undefined.

    Attributes:
        key: of the score.
        value: `one` minus `other`, in the score's own unit.
        low: the lower bound of the value's interval, from a paired bootstrap.
        high: the upper bound.
        p_value: two-sided, of the hypothesis that the two do not differ.
        test: where the p-value comes from.
        one: the score of the first system.
        other: the score of the second.
    """

    key: str
    value: float | None
    low: float | None
    high: float | None
    p_value: float | None
    test: Test
    one: float | None
    other: float | None


def compare(
    metric: Metric,
    key: str,
    one: Answered,
    other: Answered,
    *,
    confidence: float,
    resamples: int,
    seed: int,
    test: Test | None = None,
) -> Difference:
    """How far two systems are apart in the score `key`, and whether chance explains it.

    See `differences`.

    Raises:
        UserError: as `differences`, or the metric gives no such score.
    """
    found = differences(
        metric,
        [one],
        [other],
        confidence=confidence,
        resamples=resamples,
        seed=seed,
        test=test,
        keys=[key],
    )
    return found[key]


def differences(
    metric: Metric,
    ones: Sequence[Answered],
    others: Sequence[Answered],
    *,
    confidence: float,
    resamples: int,
    seed: int,
    test: Test | None = None,
    keys: Sequence[str] | None = None,
) -> dict[str, Difference]:
    """How far two systems are apart in the scores of a metric, by key.

    A system is what one model answered, or several that differ by their seed: then its score is
    the mean over them, and what is drawn or exchanged of an example is drawn or exchanged for all
    of them together. The interval is that of the paired bootstrap. The test is the exact one of
    McNemar where each example is right or wrong, and approximate randomisation elsewhere: over
    several seeds, and where examples come in clusters, which are then exchanged whole.

    Args:
        ones: of the first system, an item a seed; the same examples in the same order everywhere.
        others: of the second system.
        confidence: level of the interval, such as 0.95.
        resamples: how often examples are drawn, and how often answers are exchanged.
        test: another test than that one.
        keys: the scores that are asked for; all of them unless told.

    Raises:
        UserError: the systems did not answer the same examples, the metric cannot read their
            answers or gives no such score, or the test does not go with it.
    """
    from nlpbench.evaluation.paired import bootstrap, randomisation
    from nlpbench.evaluation.paired.pair import Pair

    pair = Pair.of(metric, ones, others)
    wanted = list(pair.scores if keys is None else keys)
    if missing := [key for key in wanted if key not in pair.scores]:
        told = ", ".join(pair.scores)
        raise UserError(f"{metric.name} gives no score {missing[0]} here, but {told}")
    chosen = test or ("mcnemar" if pair.is_right_or_wrong else "randomisation")
    if chosen == "mcnemar" and not pair.is_right_or_wrong:
        raise UserError(
            f"McNemar's test needs examples that are right or wrong one by one, which {metric.name} "
            "does not say of them here; take randomisation or bootstrap"
        )
    drawn = bootstrap.drawn_differences(pair, resamples, seed)
    exchanged = randomisation.exchanged(pair, resamples, seed) if chosen == "randomisation" else {}
    found = {}
    for key in wanted:
        one, other = pair.scores[key]
        interval = bootstrap.interval(drawn.get(key), confidence)
        p_value: float | None
        if chosen == "mcnemar":
            p_value = pair.mcnemar(key)
        elif chosen == "randomisation":
            p_value = randomisation.p_value(exchanged[key])
        else:
            p_value = bootstrap.p_value(drawn.get(key), one - other)
        found[key] = Difference(
            key=key,
            value=_defined(one - other),
            low=interval.low,
            high=interval.high,
            p_value=p_value,
            test=chosen,
            one=_defined(one),
            other=_defined(other),
        )
    return found


def _defined(value: float) -> float | None:
    return None if value != value else value
