"""Accuracy, balanced accuracy and MCC against scikit-learn and against hand arithmetic."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from nlpbench.evaluation.metrics.accuracy import Accuracy
from nlpbench.evaluation.metrics.balanced_accuracy import BalancedAccuracy
from nlpbench.evaluation.metrics.mcc import Mcc

REFERENCES = np.array([0, 0, 0, 0, 1, 1])
PREDICTIONS = np.array([0, 0, 0, 1, 1, 0])


@pytest.mark.parametrize(
    ("metric", "oracle"),
    [
        (Accuracy(), sklearn_metrics.accuracy_score),
        (BalancedAccuracy(), sklearn_metrics.balanced_accuracy_score),
        (Mcc(), sklearn_metrics.matthews_corrcoef),
    ],
    ids=["accuracy", "balanced-accuracy", "mcc"],
)
@pytest.mark.parametrize("classes", [2, 5])
def test_agrees_with_scikit_learn(metric, oracle, classes):
    random = np.random.default_rng(classes)
    references, predictions = random.integers(0, classes, (2, 200))
    score = metric.compute(predictions, references, [str(label) for label in range(classes)])
    assert score == {metric.key: pytest.approx(oracle(references, predictions), abs=1e-12)}


def test_by_hand():
    assert Accuracy().compute(PREDICTIONS, REFERENCES)["accuracy"] == pytest.approx(4 / 6)
    balanced = BalancedAccuracy().compute(PREDICTIONS, REFERENCES)["balanced_accuracy"]
    assert balanced == pytest.approx((3 / 4 + 1 / 2) / 2)
    # TP 1, TN 3, FP 1, FN 1: (1*3 - 1*1) / sqrt(2 * 2 * 4 * 4)
    assert Mcc().compute(PREDICTIONS, REFERENCES)["mcc"] == pytest.approx(2 / 8)


def test_a_label_set_is_right_as_a_whole():
    references = np.array([[1, 0, 1], [0, 1, 0], [0, 0, 0], [1, 1, 1]])
    predictions = np.array([[1, 0, 1], [0, 1, 1], [0, 0, 0], [1, 1, 1]])
    assert Accuracy().compute(predictions, references, "abc") == {"accuracy": 0.75}
    one_column = Accuracy().compute(predictions[:, 2:], references[:, 2:], "c")
    assert one_column == {"accuracy": 0.75}


def test_balanced_accuracy_ignores_a_predicted_class_that_no_reference_holds():
    score = BalancedAccuracy().compute(np.array([0, 2, 1, 1]), np.array([0, 0, 1, 1]), "abc")
    assert score == {"balanced_accuracy": 0.75}


def test_mcc_of_a_collapsed_model_is_that_of_chance():
    assert Mcc().compute(np.zeros(6, dtype=int), REFERENCES, "ab") == {"mcc": 0.0}
    assert Mcc().compute(np.zeros(4, dtype=int), np.zeros(4, dtype=int), "ab") == {"mcc": 0.0}


def test_many_classes_in_few_examples_do_not_warn():
    references = np.arange(30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for metric in (Accuracy(), BalancedAccuracy(), Mcc()):
            score = metric.compute(references, references, [str(label) for label in references])
            assert score[metric.key] == pytest.approx(1)


def test_without_examples_there_is_no_score():
    empty = np.array([], dtype=int)
    for metric in (Accuracy(), BalancedAccuracy(), Mcc()):
        assert math.isnan(metric.compute(empty, empty, "ab")[metric.key])
