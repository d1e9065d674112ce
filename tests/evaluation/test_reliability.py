"""Bins of confidence, against scikit-learn's curve and the metric that they explain."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from nlpbench.evaluation.answered import Answered
from nlpbench.evaluation.metrics.expected_calibration_error import ExpectedCalibrationError
from nlpbench.evaluation.reliability import reliability
from nlpbench.tasks import Predictions


def answered(references, probabilities, answer="labels"):
    shares = np.asarray(probabilities, dtype=np.float64)
    answers = shares.argmax(axis=1) if answer == "labels" else (shares >= 0.5).astype(np.int64)
    labels = [f"label {number}" for number in range(shares.shape[1])]
    ids = list(range(len(shares)))
    return Answered(answer, labels, ids, np.asarray(references), Predictions(answers, shares))


def drawn(rows=500, classes=3, seed=2):
    random = np.random.default_rng(seed)
    shares = random.dirichlet(np.full(classes, 0.7), rows)
    return random.integers(0, classes, rows), shares


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_the_gaps_of_the_bins_are_the_expected_calibration_error(bins):
    references, shares = drawn()
    found = reliability(answered(references, shares), bins)
    assert [one.low for one in found] == pytest.approx(np.arange(bins) / bins)
    assert [one.high for one in found] == pytest.approx(np.arange(1, bins + 1) / bins)
    assert sum(one.rows for one in found) == 500
    gaps = [one.rows * abs(one.confidence - one.accuracy) for one in found if one.rows]
    metric = ExpectedCalibrationError(name="expected-calibration-error", bins=bins)
    expected = metric.compute(shares, references)["expected_calibration_error"]
    assert sum(gaps) / 500 == pytest.approx(expected)


def test_the_bins_of_two_labels_are_the_curve_of_scikit_learn():
    references, shares = drawn(classes=2)
    right = shares.argmax(axis=1) == references
    accuracy, confidence = calibration_curve(right, shares.max(axis=1), n_bins=10)
    filled = [one for one in reliability(answered(references, shares), 10) if one.rows]
    assert [one.accuracy for one in filled] == pytest.approx(accuracy)
    assert [one.confidence for one in filled] == pytest.approx(confidence)


def test_the_bins_of_sets_of_labels_count_each_label():
    random = np.random.default_rng(4)
    shares = random.random((200, 3))
    flags = (random.random((200, 3)) < shares).astype(np.int64)
    accuracy, confidence = calibration_curve(flags.ravel(), shares.ravel(), n_bins=10)
    found = reliability(answered(flags, shares, "label-sets"), 10)
    assert [one.accuracy for one in found] == pytest.approx(accuracy)
    assert [one.confidence for one in found] == pytest.approx(confidence)
    assert sum(one.rows for one in found) == 600


def test_an_edge_belongs_to_the_bin_below_and_an_empty_bin_says_nothing():
    low, high = reliability(answered([0, 1], [[0.5, 0.5], [0.5, 0.5]]), 2)
    assert (low.rows, low.confidence, low.accuracy) == (2, 0.5, 0.5)
    assert (high.rows, high.confidence, high.accuracy) == (0, None, None)


def test_without_probabilities_there_are_no_bins():
    plain = Answered("labels", ["a", "b"], [1], np.array([0]), Predictions(np.array([1])))
    assert reliability(plain) == []
    assert reliability(answered([0], [[np.nan, 1.0]])) == []
    assert reliability(answered(np.empty(0, int), np.empty((0, 2)))) == []
