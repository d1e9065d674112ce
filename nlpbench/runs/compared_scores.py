"""The scores of several systems beside those of the first: over rows, and over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nlpbench.evaluation import paired
from nlpbench.evaluation.metrics import Metric
from nlpbench.evaluation.paired import Difference, Test
from nlpbench.evaluation.paired.holm import holm
from nlpbench.evaluation.paired.seeds import ENOUGH_SEEDS, SeedDifference, over_seeds
from nlpbench.results.comparison import Compared, ScoreComparison, Verdict
from nlpbench.runs.compared_system import System

TESTS = {
    "mcnemar": "exact McNemar test",
    "randomisation": "approximate randomisation",
    "bootstrap": "paired bootstrap test",
}


def by_score(
    metric: Metric,
    keys: Sequence[str],
    systems: Sequence[System],
    test: Test | None,
    *,
    confidence: float,
    resamples: int,
    seed: int,
) -> list[ScoreComparison]:
    """Each score of a metric over rows and, where there are several seeds, over those.

    Args:
        systems: the first is what the others are compared with.
        test: of rows, in place of the one that fits the metric.

    Raises:
        UserError: the test does not go with the metric.
    """
    first, others = systems[0], systems[1:]
    over_rows = [
        paired.differences(
            metric,
            other.answered,
            first.answered,
            confidence=confidence,
            resamples=resamples,
            seed=seed,
            test=test,
            keys=keys,
        )
        for other in others
    ]
    comparisons = []
    for key in keys:
        found = [of_run[key] for of_run in over_rows]
        means = " of means over seeds" * bool(first.seeds)
        told = f"{TESTS[found[0].test]}{means}"
        comparisons.append(_comparison(metric, key, systems, told, found, confidence))
        if first.seeds:
            base = first.scores(metric)[key]
            of_seeds = [
                over_seeds(other.scores(metric)[key], base, confidence=confidence)
                for other in others
            ]
            tested = "paired t-test" if len(base) >= ENOUGH_SEEDS else "no test"
            told = f"{tested}, {len(base)} seeds"
            comparisons.append(_comparison(metric, key, systems, told, of_seeds, confidence))
    return comparisons


def _comparison(
    metric: Metric,
    key: str,
    systems: Sequence[System],
    test: str,
    found: Sequence[Difference | SeedDifference],
    confidence: float,
) -> ScoreComparison:
    corrected = holm([each.p_value for each in found])
    deviations: list[Any] = [
        (each.one_deviation, each.other_deviation)
        if isinstance(each, SeedDifference)
        else (None, None)
        for each in found
    ]
    return ScoreComparison(
        key=key,
        signature=systems[0].signature(metric),
        higher_is_better=metric.higher_is_better,
        over="seeds" if isinstance(found[0], SeedDifference) else "rows",
        test=test,
        baseline=found[0].other,
        baseline_deviation=deviations[0][1],
        runs=[
            Compared(
                run=system.name,
                score=each.one,
                deviation=deviation,
                difference=each.value,
                low=each.low,
                high=each.high,
                p_value=each.p_value,
                corrected_p_value=p_value,
                verdict=_verdict(metric, each.value, p_value, confidence),
            )
            for system, each, p_value, (deviation, _) in zip(
                systems[1:], found, corrected, deviations, strict=True
            )
        ],
    )


def _verdict(
    metric: Metric, difference: float | None, p_value: float | None, confidence: float
) -> Verdict:
    if p_value is None or difference is None:
        return "not tested"
    level = round(1 - confidence, 12)  # as 1 - 0.95 is a little more than 0.05
    if p_value >= level or not difference:
        return "unclear"
    return "better" if (difference > 0) == metric.higher_is_better else "worse"
