"""Correlations and errors of values against scipy and against hand arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn_metrics

from nlpbench.evaluation.metrics.mae import Mae
from nlpbench.evaluation.metrics.mse import Mse
from nlpbench.evaluation.metrics.pearson import Pearson
from nlpbench.evaluation.metrics.spearman import Spearman

CORRELATIONS = [Pearson(), Spearman()]
every_correlation = pytest.mark.parametrize("metric", CORRELATIONS, ids=["pearson", "spearman"])


def test_agrees_with_scipy_and_scikit_learn():
    random = np.random.default_rng(1)
    references = random.integers(0, 6, 100) / 1.0
    predictions = (references + random.normal(size=100)).round(1)
    oracles = {
        Pearson(): stats.pearsonr(predictions, references).statistic,
        Spearman(): stats.spearmanr(predictions, references).statistic,
        Mse(): sklearn_metrics.mean_squared_error(references, predictions),
        Mae(): sklearn_metrics.mean_absolute_error(references, predictions),
    }
    for metric, expected in oracles.items():
        assert metric.compute(predictions, references) == {metric.key: pytest.approx(expected)}


def test_by_hand():
    predictions, references = np.array([1.0, 2.0, 4.0]), np.array([1.0, 3.0, 1.0])
    assert Mse().compute(predictions, references)["mse"] == pytest.approx((0 + 1 + 9) / 3)
    assert Mae().compute(predictions, references)["mae"] == pytest.approx((0 + 1 + 3) / 3)
    # Ranks 1 2 3 and 1.5 3 1.5: covariance 0.
    assert Spearman().compute(predictions, references)["spearman"] == pytest.approx(0, abs=1e-12)
    line = Pearson().compute(references * -2 + 5, references)
    assert line == {"pearson": pytest.approx(-1)}


@every_correlation
def test_a_constant_side_or_a_single_example_leaves_a_correlation_undefined(metric):
    values, constant = np.array([0.1, 0.2, 0.4]), np.full(3, 0.1)
    for predictions, references in [(constant, values), (values, constant), (values[:1],) * 2]:
        assert math.isnan(metric.compute(predictions, references)[metric.key])
        counts = np.ones((2, len(values)), dtype=int)[:, : len(references)]
        assert np.isnan(metric.resample(predictions, references, counts)[metric.key]).all()


@every_correlation
def test_a_resample_that_draws_one_value_only_is_undefined(metric):
    random = np.random.default_rng(2)
    predictions, references = random.normal(size=(2, 5)) / 3
    counts = np.array([[5, 0, 0, 0, 0], [1, 1, 1, 1, 1], [0, 3, 2, 0, 0]])
    first, second, third = metric.resample(predictions, references, counts)[metric.key]
    assert math.isnan(first)
    assert second == pytest.approx(metric.compute(predictions, references)[metric.key])
    assert abs(third) == pytest.approx(1)


@every_correlation
def test_resamples_without_the_one_outlier_keep_their_digits(metric):
    random = np.random.default_rng(3)
    predictions, references = random.normal(size=(2, 30))
    predictions[0], references[0] = 1e9, -1e9
    draws = random.integers(0, 30, (50, 30))
    counts = np.stack([np.bincount(row, minlength=30) for row in draws])
    expected = [metric.compute(predictions[row], references[row])[metric.key] for row in draws]
    found = metric.resample(predictions, references, counts)[metric.key]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("metric", [*CORRELATIONS, Mse(), Mae()], ids=lambda metric: metric.name)
def test_a_diverged_model_has_no_score(metric):
    references = np.arange(4.0)
    for broken in (math.nan, math.inf):
        predictions = np.array([0.0, 1.0, broken, 2.0])
        assert math.isnan(metric.compute(predictions, references)[metric.key])
        counts = np.array([[1, 1, 1, 1], [1, 2, 0, 1]])
        with_it, without = metric.resample(predictions, references, counts)[metric.key]
        assert math.isnan(with_it)
        assert math.isfinite(without)
