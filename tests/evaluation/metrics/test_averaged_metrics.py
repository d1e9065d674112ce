"""Precision, recall and F1: every average against scikit-learn, and the options that cannot apply."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn import metrics as sklearn_metrics

from nlpbench.config.errors import UserError
from nlpbench.config.problems import flatten
from nlpbench.evaluation.metrics.f1 import F1
from nlpbench.evaluation.metrics.precision import Precision
from nlpbench.evaluation.metrics.recall import Recall

METRICS = [
    (Precision, sklearn_metrics.precision_score),
    (Recall, sklearn_metrics.recall_score),
    (F1, sklearn_metrics.f1_score),
]
every_metric = pytest.mark.parametrize(
    ("metric", "oracle"), METRICS, ids=["precision", "recall", "f1"]
)
AVERAGES = ["macro", "micro", "weighted", "per-class"]


def labels_of(classes: int) -> list[str]:
    return [f"label {number}" for number in range(classes)]


def expected_by_key(key, oracle, average, references, predictions, classes):
    if average != "per-class":
        score = oracle(references, predictions, average=average, zero_division=0)
        return {f"{key}_{average}": pytest.approx(score, abs=1e-12)}
    columns = range(classes)
    scores = oracle(references, predictions, average=None, labels=columns, zero_division=0)
    names = labels_of(classes)
    return {f"{key}[{names[i]}]": pytest.approx(scores[i], abs=1e-12) for i in columns}


@every_metric
@pytest.mark.parametrize("average", AVERAGES)
@pytest.mark.parametrize("label_sets", [False, True], ids=["labels", "label-sets"])
def test_agrees_with_scikit_learn_on_rows_and_on_resamples(metric, oracle, average, label_sets):
    classes, random = 6, np.random.default_rng(1)
    shape = (2, 50, classes) if label_sets else (2, 50)
    # The last class occurs in no reference; the one before it in no prediction.
    references, predictions = random.integers(0, 2 if label_sets else classes - 2, shape)
    if label_sets:
        references[:, -1], predictions[:, -2] = 0, 0
    else:
        references[:2], predictions[-2:] = classes - 2, classes - 1
    metric = metric(average=average)

    def expected(rows):
        return expected_by_key(
            metric.key, oracle, average, references[rows], predictions[rows], classes
        )

    assert metric.compute(predictions, references, labels_of(classes)) == expected(slice(None))
    draws = random.integers(0, 50, (20, 50))
    counts = np.stack([np.bincount(row, minlength=50) for row in draws])
    resampled = metric.resample(predictions, references, counts, labels_of(classes))
    for number, row in enumerate(draws):
        assert {key: scores[number] for key, scores in resampled.items()} == expected(row)


@every_metric
@pytest.mark.parametrize(("positive_label", "pos_label"), [(None, 1), ("yes", 1), ("no", 0)])
def test_two_labels_score_the_positive_one(metric, oracle, positive_label, pos_label):
    random = np.random.default_rng(2)
    references, predictions = random.integers(0, 2, (2, 60))
    metric = metric(positive_label=positive_label)
    score = metric.compute(predictions, references, ["no", "yes"])
    assert score == {
        metric.key: pytest.approx(oracle(references, predictions, pos_label=pos_label))
    }
    positive = positive_label or "yes"
    assert f"positive:{positive}|" in metric.signature(["no", "yes"])


def test_by_hand():
    references, predictions = np.array([1, 1, 1, 0, 0]), np.array([1, 1, 0, 1, 0])
    assert F1().compute(predictions, references, ["no", "yes"]) == {"f1": pytest.approx(4 / 6)}
    macro = F1(average="macro").compute(predictions, references, ["no", "yes"])
    assert macro == {"f1_macro": pytest.approx((4 / 6 + 2 / 4) / 2)}


def test_auto_is_macro_for_three_labels_and_for_label_sets():
    references = np.array([0, 1, 2])
    assert list(F1().compute(references, references, "abc")) == ["f1_macro"]
    sets = np.array([[0, 1], [1, 1]])
    assert list(F1().compute(sets, sets, "ab")) == ["f1_macro"]


def test_macro_takes_the_classes_present_and_label_sets_all_columns():
    references, predictions = np.array([0, 0, 1]), np.array([0, 0, 1])
    assert F1().compute(predictions, references, "abc") == {"f1_macro": 1.0}
    sets = np.eye(3, dtype=int)[references]
    assert F1().compute(sets, sets, "abc") == {"f1_macro": pytest.approx(2 / 3)}


def test_label_sets_over_a_single_label():
    references, predictions = np.array([[1], [1], [0]]), np.array([[1], [0], [0]])
    for average in ("macro", "micro", "weighted"):
        metric = F1(average=average)
        expected = {f"f1_{average}": pytest.approx(2 / 3)}
        assert metric.compute(predictions, references, ["only"]) == expected
        counts = np.ones((1, 3), dtype=int)
        found = metric.resample(predictions, references, counts, ["only"])
        assert {key: scores[0] for key, scores in found.items()} == expected
    per_class = F1(average="per-class").compute(predictions, references, ["only"])
    assert per_class == {"f1[only]": pytest.approx(2 / 3)}


def test_the_signature_holds_the_conventions():
    library = f"zero_division:0|scikit-learn:{version('scikit-learn')}"
    macro = f"average:macro|classes:present|{library}"
    assert F1(average="macro").signature(["no", "yes"]) == macro
    assert F1().signature("abc") == macro
    assert F1(average="micro").signature("abc") == f"average:micro|{library}"
    binary = f"average:binary|positive:yes|{library}"
    assert F1(average="binary").signature(["no", "yes"]) == binary
    assert F1().signature(["no", "yes"]) == binary
    sets = f"average:macro|classes:all|{library}"
    assert F1().signature(["no", "yes"], "label-sets") == sets


LABELS = np.array([0, 1, 1])
SETS = np.array([[0, 1], [1, 1], [0, 0]])


@pytest.mark.parametrize(
    ("metric", "answers", "labels", "parts"),
    [
        (F1(average="binary"), LABELS, "abcde", ["f1: average: binary", "got 5 labels", "macro"]),
        (F1(average="binary"), SETS, "ab", ["label sets", "allowed: macro, micro"]),
        (Recall(positive_label="c"), LABELS, "ab", ["recall: ", 'got "c"', 'allowed: "a", "b"']),
        (F1(positive_label="a"), LABELS, "abc", ["positive_label", "got 3 labels", "leave it out"]),
        (F1(positive_label="a"), SETS, "ab", ["positive_label", "label sets"]),
        (F1(average="per-class"), LABELS, "", ["per-class", "got none", "allowed: macro"]),
    ],
)
def test_an_option_that_cannot_apply_is_the_users_mistake(metric, answers, labels, parts):
    calls = [
        lambda: metric.compute(answers, answers, labels),
        lambda: metric.resample(answers, answers, np.ones((1, 3), dtype=int), labels),
    ]
    calls.append(lambda: metric.signature(labels, "labels" if answers is LABELS else "label-sets"))
    for call in calls:
        with pytest.raises(UserError) as caught:
            call()
        for part in parts:
            assert part in str(caught.value)


def test_a_positive_label_beside_another_average_is_refused_on_loading():
    with pytest.raises(ValidationError) as caught:
        F1(average="macro", positive_label="yes")
    (problem,) = flatten(caught.value, {})
    assert problem.path == ("positive_label",)
    assert "got average: macro" in problem.message
