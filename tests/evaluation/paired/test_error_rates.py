"""Many simulated comparisons: how often two equal systems are told apart, and unequal ones found."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom
from two_systems import answered, labelled, of_accuracy

from nlpbench.evaluation.metrics.accuracy import Accuracy
from nlpbench.evaluation.metrics.f1 import F1
from nlpbench.evaluation.metrics.mse import Mse
from nlpbench.evaluation.paired import compare
from nlpbench.evaluation.paired.mcnemar import p_value
from nlpbench.evaluation.paired.seeds import over_seeds

ROWS, LEVEL = 500, 0.05
SURE = {"confidence": 1 - LEVEL, "resamples": 499}


def of_values(one: float, other: float, seed: int):
    """Systems whose squared errors have these means, and in part the same causes."""
    chance = np.random.default_rng(seed)
    shared, *own = chance.normal(size=(3, ROWS))
    errors = [
        (shared + each) / 2**0.5 * mean**0.5 for each, mean in zip(own, (one, other), strict=True)
    ]
    return [answered("values", np.zeros(ROWS), each) for each in errors]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("metric", "test"),
    [
        (Accuracy(), "mcnemar"),
        (Accuracy(), "randomisation"),
        (F1(), "randomisation"),
        (F1(), "bootstrap"),
        (Mse(), "randomisation"),
        (Mse(), "bootstrap"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_of_two_equal_systems_one_in_twenty_is_found_better(metric, test):
    """The intervals of the difference leave out 0 as often."""
    found = []
    for number in range(1000):
        if metric.name == "mse":
            sides = of_values(1.0, 1.0, number)
        else:
            sides = of_accuracy(0.8, 0.8, ROWS, number)
        found.append(compare(metric, metric.key, *sides, **SURE, seed=number, test=test))
    assert 0.03 <= np.mean([each.p_value < LEVEL for each in found]) <= 0.07
    assert 0.03 <= np.mean([not each.low <= 0 <= each.high for each in found]) <= 0.07


@pytest.mark.slow
@pytest.mark.parametrize("metric", [Accuracy(), F1(), Mse()], ids=lambda metric: metric.name)
def test_a_real_difference_is_found_as_often_as_its_size_tells(metric):
    """With a difference of 2.8 standard errors, four times out of five."""
    found, truth = [], {"accuracy": 0.065, "f1": 0.065, "mse": -0.2}[metric.key]
    for number in range(300):
        if metric.name == "mse":
            sides = of_values(0.8, 1.0, number)
        else:
            sides = of_accuracy(0.865, 0.8, ROWS, number)
        found.append(compare(metric, metric.key, *sides, **SURE, seed=number))
    assert 0.7 <= np.mean([each.p_value < LEVEL for each in found]) <= 0.9
    assert 0.91 <= np.mean([each.low <= truth <= each.high for each in found]) <= 0.985
    assert np.mean([each.value for each in found]) == pytest.approx(truth, rel=0.08)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_mcnemar_rejects_a_little_less_often_than_its_level_says(share):
    """Exactly, over all numbers of rows on which two equal systems differ."""
    differ = np.arange(ROWS + 1)
    rejected = []
    for count in differ:
        right = np.arange(count + 1)
        one, other = np.ones(count, int), np.zeros(count, int)
        low = next(
            (
                wins
                for wins in right
                if p_value(np.r_[one[:wins], other[wins:]], np.r_[other[:wins], one[wins:]])
                >= LEVEL
            ),
            0,
        )
        rejected.append(2 * binom.cdf(low - 1, count, 0.5) if low else 0.0)
    size = float(np.sum(binom.pmf(differ, ROWS, share) * rejected))
    assert 0.03 <= size <= LEVEL


@pytest.mark.slow
def test_clusters_that_go_unseen_find_what_is_not_there():
    """Rows that come in tens: exchanged one by one they are told apart too often, whole rightly."""
    rejected = {True: [], False: []}
    for number in range(400):
        chance = np.random.default_rng(number)
        cluster = np.repeat(np.arange(50), 10)
        easy = chance.normal(size=(2, 50))[:, cluster] + chance.normal(size=(2, ROWS))
        right = (easy > -1).astype(int)
        for together in rejected:
            sides = [
                labelled(np.ones(ROWS, int), each, clusters=cluster.tolist() if together else None)
                for each in right
            ]
            found = compare(Accuracy(), "accuracy", *sides, **SURE, seed=number)
            rejected[together].append(found.p_value < LEVEL)
    assert np.mean(rejected[False]) > 0.2
    assert 0.025 <= np.mean(rejected[True]) <= 0.08


def test_over_seeds_one_in_twenty_equal_methods_is_found_better():
    chance = np.random.default_rng(0)
    scores = chance.normal(0.9, 0.01, size=(4000, 2, 5))
    found = [over_seeds(*pair, confidence=1 - LEVEL).p_value < LEVEL for pair in scores.tolist()]
    assert 0.04 <= np.mean(found) <= 0.06
