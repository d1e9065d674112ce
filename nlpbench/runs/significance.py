"""Which scores are the best on their data and, by a paired test, better than the second best."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence

from nlpbench.config.errors import UserError
from nlpbench.evaluation.against_baseline import Comparison
from nlpbench.evaluation.quantity import quantity
from nlpbench.results.finished_run import FinishedRun
from nlpbench.results.record import Record
from nlpbench.results.seed_mean import same_but_for_the_seed

logger = logging.getLogger("nlpbench")
LEVEL = 0.05


def significant_best(runs: Sequence[FinishedRun]) -> set[tuple[int, str]]:
    """The number of a run and the key of a score, for each score that nothing comes close to.

    Of the runs on the same rows, the best and the second best value of each score are compared by
    a paired test on their stored predictions. Runs of one config with several seeds are left out:
    which of its seeds did best says nothing about it.

    A pair that cannot be tested, such as one whose predictions were deleted, is told as a warning.
    """
    found = set()
    comparisons: dict[tuple[int, int], Comparison | None] = {}
    for key, best, second in _leaders(runs):
        pair = best, second
        try:
            if pair not in comparisons:
                comparisons[pair] = None
                comparisons[pair] = Comparison(runs[best], runs[second])
            comparison = comparisons[pair]
            if comparison is None:
                continue
            difference = comparison.test(quantity(key, None, runs[best]))
        except UserError as error:
            comparisons[pair] = None
            reason = "; ".join(str(error).splitlines())
            logger.warning("no test of %s and %s: %s", runs[best].name, runs[second].name, reason)
            continue
        if difference.p_value is not None and difference.p_value < LEVEL:
            found.add((best, key))
    return found


def _leaders(runs: Sequence[FinishedRun]) -> Iterator[tuple[str, int, int]]:
    """A score, and the numbers of the runs with its best and its second best value."""
    for group in _on_the_same_rows(runs):
        records = {number: runs[number].record for number in group}
        for key in dict.fromkeys(key for record in records.values() for key in record.scores):
            scores = {
                number: score
                for number, record in records.items()
                if (score := record.scores.get(key)) is not None
                and score.value is not None
                and math.isfinite(score.value)
            }
            if len(scores) < 2 or len({score.signature for score in scores.values()}) > 1:
                continue
            sign = 1 if next(iter(scores.values())).higher_is_better else -1
            ranked = sorted(scores, key=lambda number: sign * (scores[number].value or 0.0))
            yield key, ranked[-1], ranked[-2]


def _on_the_same_rows(runs: Sequence[FinishedRun]) -> list[list[int]]:
    named = [(run.name, run.record) for run in runs]
    alone = [group[0] for group in same_but_for_the_seed(named) if len(group) == 1]
    groups: dict[tuple[str, ...], list[int]] = {}
    for number in alone:
        groups.setdefault(_rows(runs[number].record), []).append(number)
    return list(groups.values())


def _rows(record: Record) -> tuple[str, ...]:
    return record.task, record.split, record.data[record.split].fingerprint, *sorted(record.labels)
