"""The percentile bootstrap against scipy's, and what it does where a score is undefined."""

from __future__ import annotations

import tracemalloc
from typing import ClassVar

import numpy as np
import pytest
from scipy import stats

from nlpbench.evaluation.bootstrap import Interval, draw_counts, intervals
from nlpbench.evaluation.metrics import Metric
from nlpbench.evaluation.metrics.accuracy import Accuracy
from nlpbench.evaluation.metrics.average_precision import AveragePrecision
from nlpbench.evaluation.metrics.f1 import F1
from nlpbench.evaluation.metrics.mse import Mse
from nlpbench.evaluation.metrics.pearson import Pearson
from nlpbench.evaluation.metrics.roc_auc import RocAuc


class Bias(Metric):
    """The mean difference, NaN without a rising value: a metric with the default `resample`."""

    answers: ClassVar = ("values",)

    def compute(self, predictions, references, labels=()):
        rising = predictions > references
        mean = float((predictions - references).mean()) if rising.any() else float("nan")
        return {"bias": mean, "always": 1.0}

    def signature(self, labels=(), answer="labels"):
        return "test"


def values(n: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(n)
    references = random.normal(size=n)
    return references + random.normal(size=n) / 2, references


def of(metric, predictions, references, labels=(), confidence=0.95, resamples=1000, seed=0):
    return intervals(
        metric,
        predictions,
        references,
        labels,
        confidence=confidence,
        resamples=resamples,
        seed=seed,
    )


def test_counts_are_n_draws_with_replacement():
    counts = np.concatenate(list(draw_counts(50, 2000, seed=1)))
    assert counts.shape == (2000, 50)
    assert counts.dtype == np.int64
    assert (counts.sum(axis=1) == 50).all()
    assert counts.mean(axis=0) == pytest.approx(np.ones(50), abs=0.12)
    assert counts.var() == pytest.approx(1 - 1 / 50, abs=0.02)


def test_counts_follow_from_n_and_seed_not_from_the_block_size():
    whole = np.concatenate(list(draw_counts(7, 20, seed=3)))
    blocks = list(draw_counts(7, 20, seed=3, cells=22))
    assert [len(block) for block in blocks] == [3, 3, 3, 3, 3, 3, 2]
    assert (np.concatenate(blocks) == whole).all()
    assert (np.concatenate(list(draw_counts(7, 20, seed=4))) != whole).any()


def test_agrees_with_scipys_percentile_bootstrap():
    predictions, references = values(150)
    for metric, statistic in [
        (Mse(), lambda p, r: np.mean((p - r) ** 2)),
        (Pearson(), lambda p, r: stats.pearsonr(p, r).statistic),
    ]:
        expected = stats.bootstrap(
            (predictions, references),
            statistic,
            paired=True,
            vectorized=False,
            n_resamples=4000,
            confidence_level=0.9,
            method="percentile",
            rng=np.random.default_rng(0),
        ).confidence_interval
        found = of(metric, predictions, references, confidence=0.9, resamples=4000)[metric.key]
        width = expected.high - expected.low
        assert found.low == pytest.approx(expected.low, abs=0.08 * width)
        assert found.high == pytest.approx(expected.high, abs=0.08 * width)


def test_the_interval_of_an_accuracy_is_that_of_the_binomial():
    references = np.zeros(400, dtype=int)
    predictions = (np.arange(400) < 80).astype(int)
    interval = of(Accuracy(), predictions, references, "ab", resamples=5000)["accuracy"]
    low, high = stats.binom(400, 0.8).ppf([0.025, 0.975]) / 400
    assert interval.low == pytest.approx(low, abs=0.006)
    assert interval.high == pytest.approx(high, abs=0.006)


def test_the_same_seed_gives_the_same_interval_and_more_confidence_a_wider_one():
    data = values(60)
    narrow, again = (of(Mse(), *data, confidence=0.8)["mse"] for _ in range(2))
    assert narrow == again
    wide = of(Mse(), *data, confidence=0.99)["mse"]
    assert wide.low < narrow.low < Mse().compute(*data)["mse"] < narrow.high < wide.high
    assert of(Mse(), *data, confidence=0.8, seed=1)["mse"] != narrow


def test_every_key_has_an_interval():
    random = np.random.default_rng(5)
    references, predictions = random.integers(0, 3, (2, 40))
    found = of(F1(average="per-class"), predictions, references, "abc")
    assert list(found) == ["f1[a]", "f1[b]", "f1[c]"]
    assert all(interval.low < interval.high for interval in found.values())


def test_a_metric_with_the_default_resample():
    predictions, references = values(30)
    found = of(Bias(), predictions, references, resamples=200)
    assert found["bias"].low < found["bias"].high
    assert found["always"] == Interval(1.0, 1.0)


def test_undefined_resamples_are_left_out():
    references = np.zeros(20)
    predictions = np.full(20, -1.0)
    predictions[:4] = 1.0  # 0.8 ** 20, about 1 in 87, draws none of them
    interval = of(Bias(), predictions, references, resamples=500)["bias"]
    assert -1 < interval.low < interval.high < 1


def test_fewer_than_half_defined_resamples_are_no_interval():
    references = np.zeros(20)
    predictions = np.full(20, -1.0)
    assert of(Bias(), predictions, references, resamples=200) == {
        "bias": Interval(None, None),
        "always": Interval(1.0, 1.0),
    }
    one_class = of(RocAuc(), np.full((9, 2), 0.5), np.zeros(9, dtype=int), "ab")
    assert one_class == {"roc_auc": Interval(None, None)}


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_examples_are_no_interval(n):
    assert of(Mse(), np.ones(n), np.zeros(n)) == {"mse": Interval(None, None)}


@pytest.mark.parametrize("metric", [AveragePrecision(), Pearson()], ids=lambda metric: metric.name)
def test_memory_stays_bounded(metric):
    n, random = 100_000, np.random.default_rng(6)
    if metric.answers == ("values",):
        predictions, references = values(n)
        labels = ""
    else:
        predictions, references = random.dirichlet(np.ones(3), n), random.integers(0, 3, n)
        labels = "abc"
    metric.compute(predictions[:9], references[:9], labels)  # imports do not count
    tracemalloc.start()
    of(metric, predictions, references, labels, resamples=80)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200e6
