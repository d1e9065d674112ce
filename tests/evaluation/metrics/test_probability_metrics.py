"""ROC AUC, average precision, calibration error and Brier score against outside arithmetic."""

from __future__ import annotations

import math
from importlib.metadata import version

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from nlpbench.config.errors import UserError
from nlpbench.evaluation.metrics.average_precision import AveragePrecision
from nlpbench.evaluation.metrics.brier import Brier
from nlpbench.evaluation.metrics.expected_calibration_error import ExpectedCalibrationError
from nlpbench.evaluation.metrics.roc_auc import RocAuc


def probabilities_of(n: int, classes: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(classes), n).round(2)


def normalised(probabilities: np.ndarray) -> np.ndarray:
    return probabilities / probabilities.sum(axis=1, keepdims=True)


def test_two_labels_rank_by_the_second():
    references = np.random.default_rng(1).integers(0, 2, 80)
    probabilities = probabilities_of(80, 2, seed=2)
    positive = probabilities[:, 1]
    expected = sklearn_metrics.roc_auc_score(references, positive)
    assert RocAuc().compute(probabilities, references, "ab") == {"roc_auc": pytest.approx(expected)}
    expected = sklearn_metrics.average_precision_score(references, positive)
    score = AveragePrecision().compute(probabilities, references, "ab")
    assert score == {"average_precision": pytest.approx(expected)}


def test_more_labels_are_one_against_the_rest():
    references = np.random.default_rng(3).integers(0, 4, 80)
    probabilities = normalised(probabilities_of(80, 4, seed=4))
    expected = sklearn_metrics.roc_auc_score(references, probabilities, multi_class="ovr")
    score = RocAuc().compute(probabilities, references, "abcd")
    assert score == {"roc_auc": pytest.approx(expected)}
    expected = sklearn_metrics.average_precision_score(references, probabilities)
    score = AveragePrecision().compute(probabilities, references, "abcd")
    assert score == {"average_precision": pytest.approx(expected)}


@pytest.mark.parametrize("labels", ["ab", "abc"])
def test_label_sets_are_a_question_per_label(labels):
    random = np.random.default_rng(5)
    references = random.integers(0, 2, (60, len(labels)))
    probabilities = random.random((60, len(labels))).round(1)
    expected = sklearn_metrics.roc_auc_score(references, probabilities)
    score = RocAuc().compute(probabilities, references, labels)
    assert score == {"roc_auc": pytest.approx(expected)}
    expected = sklearn_metrics.average_precision_score(references, probabilities)
    score = AveragePrecision().compute(probabilities, references, labels)
    assert score == {"average_precision": pytest.approx(expected)}


def test_ranking_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.5, 0.5], [0.5, 0.5], [0.2, 0.8]])
    references = np.array([0, 1, 0, 1])
    # Of four pairs three are in order and one is a tie.
    assert RocAuc().compute(probabilities, references, "ab") == {"roc_auc": 3.5 / 4}
    # The first positive at precision 1, the second in a tie at 2 of 3.
    average_precision = AveragePrecision().compute(probabilities, references, "ab")
    assert average_precision == {"average_precision": pytest.approx((1 + 2 / 3) / 2)}


def test_a_label_that_the_references_lack_is_left_out_of_the_mean():
    probabilities = normalised(probabilities_of(40, 3, seed=6))
    references = np.random.default_rng(7).integers(0, 2, 40)
    expected = np.mean(
        [sklearn_metrics.roc_auc_score(references == k, probabilities[:, k]) for k in (0, 1)]
    )
    score = RocAuc().compute(probabilities, references, "abc")
    assert score == {"roc_auc": pytest.approx(expected)}


def test_one_class_leaves_nothing_to_rank():
    probabilities, zeros = probabilities_of(10, 2, seed=8), np.zeros(10, dtype=int)
    assert math.isnan(RocAuc().compute(probabilities, zeros, "ab")["roc_auc"])
    assert math.isnan(RocAuc().compute(probabilities, zeros + 1, "ab")["roc_auc"])
    assert math.isnan(AveragePrecision().compute(probabilities, zeros, "ab")["average_precision"])
    three = probabilities_of(10, 3, seed=9)
    assert math.isnan(RocAuc().compute(three, zeros, "abc")["roc_auc"])


def test_average_precision_of_another_positive_label():
    references = np.random.default_rng(10).integers(0, 2, 50)
    probabilities = probabilities_of(50, 2, seed=11)
    metric = AveragePrecision(positive_label="spam")
    expected = sklearn_metrics.average_precision_score(references == 0, probabilities[:, 0])
    score = metric.compute(probabilities, references, ["spam", "ham"])
    assert score == {"average_precision": pytest.approx(expected)}
    assert "positive:spam" in metric.signature(["spam", "ham"])
    with pytest.raises(UserError, match=r'got "spam".*allowed: "ham", "eggs"'):
        metric.compute(probabilities, references, ["ham", "eggs"])
    with pytest.raises(UserError, match="got 3 labels"):
        metric.signature(["spam", "ham", "eggs"])
    with pytest.raises(UserError, match="label sets"):
        metric.compute(probabilities, np.eye(2, dtype=int)[references], ["spam", "ham"])


def test_the_calibration_error_by_hand():
    # Bins of a quarter: two answers at 0.75 (in the third, closed above), one right; one at 0.95.
    probabilities = np.array([[0.75, 0.25], [0.25, 0.75], [0.95, 0.05]])
    references = np.array([0, 0, 0])
    metric = ExpectedCalibrationError(bins=4)
    score = metric.compute(probabilities, references, "ab")["expected_calibration_error"]
    assert score == pytest.approx(2 / 3 * abs(0.5 - 0.75) + 1 / 3 * abs(1 - 0.95))
    assert metric.signature("ab") == "bins:4|widths:equal|confidence:top-label|norm:l1"


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_the_calibration_error_is_that_of_guo(bins):
    """The loop of equations 2 and 3, written out."""
    probabilities = normalised(probabilities_of(300, 4, seed=12))
    references = np.random.default_rng(13).integers(0, 4, 300)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == references
    expected = 0.0
    for number in range(bins):
        inside = (confidence > number / bins) & (confidence <= (number + 1) / bins)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    metric = ExpectedCalibrationError(bins=bins)
    score = metric.compute(probabilities, references, "abcd")
    assert score == {"expected_calibration_error": pytest.approx(expected)}


def test_the_brier_score_by_hand_and_by_scikit_learn():
    probabilities, references = np.array([[0.2, 0.8], [0.6, 0.4]]), np.array([1, 1])
    score = Brier().compute(probabilities, references, "ab")
    assert score == {"brier": pytest.approx((0.2**2 + 0.6**2) / 2)}
    assert score["brier"] == pytest.approx(
        sklearn_metrics.brier_score_loss(references, probabilities[:, 1])
    )
    three = np.array([[0.2, 0.3, 0.5]])
    score = Brier().compute(three, np.array([2]), "abc")
    assert score == {"brier": pytest.approx(0.2**2 + 0.3**2 + 0.5**2)}
    library = f"scale_by_half:auto|scikit-learn:{version('scikit-learn')}"
    assert Brier().signature("ab") == f"range:0-1|{library}"
    assert Brier().signature("abc") == f"range:0-2|{library}"


@pytest.mark.parametrize("classes", [2, 3])
def test_single_precision_probabilities_do_not_warn(classes):
    probabilities = normalised(probabilities_of(50, classes, seed=14).astype(np.float32))
    probabilities[0] = [1.0000001, *[0.0] * (classes - 1)]  # as a softmax in float32 may give
    references = np.arange(50) % classes
    for metric in (RocAuc(), AveragePrecision(), ExpectedCalibrationError(), Brier()):
        score = metric.compute(probabilities, references, "abc"[:classes])
        assert math.isfinite(score[metric.key])
