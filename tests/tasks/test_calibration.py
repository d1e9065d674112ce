"""Temperature scaling and decision thresholds, fitted on validation rows."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, matthews_corrcoef

from nlpbench.config.errors import UserError
from nlpbench.evaluation.metrics.expected_calibration_error import ExpectedCalibrationError
from nlpbench.tasks import Bundle
from nlpbench.tasks.calibration import temperature, thresholds
from nlpbench.tasks.text_classification import TextClassification

MULTI = {"problem_type": "multi_label_classification"}
SCORES = {
    "f1": lambda truth, given: f1_score(truth, given, zero_division=0),
    "accuracy": accuracy_score,
    "balanced-accuracy": balanced_accuracy_score,
    "mcc": matthews_corrcoef,
}


def overconfident(rows=2000, classes=4, times=3.0, seed=1):
    """Logits that are `times` as far apart as the probabilities that the labels are drawn from."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1.5, (rows, classes))
    labels = np.array([random.choice(classes, p=shares) for shares in softmax(logits, axis=1)])
    return times * logits, labels


def bundle(labels, **entries):
    return Bundle(None, SimpleNamespace(config=SimpleNamespace(**entries)), labels)


def classifier(**options):
    return TextClassification(name="text-classification", **options)


def settled(this, logits, references, labels):
    """What is settled, and the bundle of the model that then holds it."""
    found = this.settle(logits, None, None, references, bundle(labels))
    return found, bundle(labels, **found.entries)


# Temperature


def test_the_temperature_that_logits_were_multiplied_by_is_found_again():
    logits, labels = overconfident(times=3.0)
    found = temperature.fit(logits, labels)
    assert found.temperature == pytest.approx(3.0, rel=0.1)
    assert found.after < found.before
    assert temperature.fit(logits / found.temperature, labels).temperature == pytest.approx(1.0)


@pytest.mark.parametrize("times", [0.2, 1.0, 7.0])
def test_no_temperature_of_a_fine_grid_is_better(times):
    logits, labels = overconfident(rows=300, times=times)
    found = temperature.fit(logits, labels)

    def loss(one):
        return -log_softmax(logits / one, axis=1)[np.arange(len(labels)), labels].mean()

    assert found.before == pytest.approx(loss(1.0))
    assert found.after == pytest.approx(loss(found.temperature))
    grid = np.geomspace(0.01, 100, 4001)
    losses = [loss(one) for one in grid]
    assert found.after <= min(losses) + 1e-12
    assert grid[np.argmin(losses)] == pytest.approx(found.temperature, rel=0.01)


def test_no_temperature_of_a_fine_grid_is_better_for_sets_of_labels():
    random = np.random.default_rng(3)
    plain = random.normal(0, 1, (400, 3))
    flags = (random.random((400, 3)) < expit(plain)).astype(np.int64)
    found = temperature.fit(2.5 * plain, flags)

    def loss(one):
        return -log_expit(np.where(flags == 1, 2.5, -2.5) * plain / one).mean()

    assert found.before == pytest.approx(loss(1.0))
    assert found.after <= min(loss(one) for one in np.geomspace(0.01, 100, 2001)) + 1e-12
    assert found.temperature == pytest.approx(2.5, rel=0.2)


@pytest.mark.parametrize(
    ("logits", "references", "reason"),
    [
        ([[3.0, 0.0], [0.0, 1.0]], [0, 1], "every prediction is right"),
        ([[3.0, 0.0], [1.0, 1.0]], [0, 1], "every prediction is right"),
        ([[3.0, 0.0], [0.0, 1.0]], [1, 0], "the logits say nothing about the labels"),
        ([[1.0, 1.0], [2.0, 2.0]], [1, 0], "the logits say nothing about the labels"),
        ([[3.0, -1.0]], [[1, 0]], "every prediction is right"),
        ([[3.0, -1.0]], [[0, 1]], "the logits say nothing about the labels"),
    ],
)
def test_where_no_temperature_fits_best_it_is_1(logits, references, reason):
    found = temperature.fit(np.array(logits), np.array(references))
    assert (found.temperature, found.reason) == (1.0, reason)
    assert found.before == found.after


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_temperature_is_above_0_and_makes_nothing_worse(data):
    rows, classes = data.draw(st.integers(1, 6)), data.draw(st.integers(2, 4))
    logits = data.draw(arrays(np.float32, (rows, classes), elements=st.floats(-50, 50, width=32)))
    labels = data.draw(arrays(np.int64, rows, elements=st.integers(0, classes - 1)))
    found = temperature.fit(logits, labels)
    assert 0 < found.temperature < np.inf
    assert found.after <= found.before + 1e-9 * max(1, found.before)


# Thresholds


@pytest.mark.parametrize("criterion", SCORES)
@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.1, 0.3, 0.49, 0.5, 0.7, 0.9, 1.0]), st.booleans()),
        min_size=2,
        max_size=12,
    )
)
def test_no_threshold_of_a_grid_has_a_better_score(criterion, rows):
    probabilities = np.array([one for one, _ in rows])
    applies = np.array([one for _, one in rows])
    found = thresholds.tune(probabilities, applies, criterion)
    assert 0 < found.threshold < 1
    if applies.all() or not applies.any():
        assert found.threshold == 0.5
        assert found.reason == ("every row has it" if applies.all() else "no row has it")
        return

    def score(threshold):
        return SCORES[criterion](applies, probabilities >= threshold)

    assert found.before == pytest.approx(score(0.5))
    assert found.after == pytest.approx(score(found.threshold))
    assert found.after >= max(score(one) for one in np.linspace(0.05, 0.95, 19)) - 1e-9


def test_of_equally_good_thresholds_the_nearest_to_a_half_is_taken():
    probabilities, applies = np.array([0.2, 0.4, 0.9, 0.95]), np.array([False, False, True, True])
    assert thresholds.tune(probabilities, applies, "f1").threshold == 0.5
    low = thresholds.tune(np.array([0.1, 0.2, 0.4]), np.array([False, True, True]), "f1")
    assert low.threshold == pytest.approx(0.15)


def test_neighbouring_floats_are_told_apart():
    one = 0.3
    other = np.nextafter(one, 1)
    found = thresholds.tune(np.array([one, other]), np.array([False, True]), "accuracy")
    assert (found.threshold, found.after) == (other, 1.0)


# The task


def test_a_task_settles_only_what_it_is_asked_for():
    assert not classifier().settles
    assert classifier(temperature_scaling=True).settles
    assert classifier(tune_thresholds="f1").settles
    head = classifier().head(["a", "b"])
    assert (head["nlpbench_temperature"], head["nlpbench_thresholds"]) == (None, None)


def test_scaling_makes_an_overconfident_model_as_sure_as_it_is_right():
    logits, labels = overconfident(times=4.0)
    names = ["a", "b", "c", "d"]
    this = classifier(temperature_scaling=True)
    found, model = settled(this, logits[:1000], labels[:1000], names)
    assert list(found.entries) == ["nlpbench_temperature"]
    assert found.notes[0].startswith("temperature 4")
    assert found.warnings == []
    before, after = this.decode(logits[1000:]), this.decode(logits[1000:], bundle=model)
    assert after.answers.tolist() == before.answers.tolist()  # so is the accuracy
    metric = ExpectedCalibrationError(name="expected-calibration-error")
    errors = [metric.compute(one.probabilities, labels[1000:]) for one in (before, after)]
    one, other = (error["expected_calibration_error"] for error in errors)
    assert other < one / 4
    expected = softmax(logits[1000:] / found.entries["nlpbench_temperature"], axis=1)
    assert after.probabilities == pytest.approx(expected, abs=1e-15)


def test_thresholds_of_several_labels_have_the_best_f1_on_the_validation_rows():
    random = np.random.default_rng(5)
    flags = (random.random((120, 3)) < [0.1, 0.2, 0.5]).astype(np.int64)
    logits = random.normal(0, 1, (120, 3)) + 2 * flags - [3, 1.5, 0.5]
    names = ["rare", "some", "half"]
    this = classifier(tune_thresholds="f1", temperature_scaling=True, **MULTI)
    found, model = settled(this, logits, flags, names)
    assert list(found.entries["nlpbench_thresholds"]) == names
    given = this.decode(logits, bundle=model).answers
    tuned, usual = (
        f1_score(flags, one, average=None, zero_division=0)
        for one in (given, this.decode(logits).answers)
    )
    assert (tuned >= usual).all()
    assert tuned[0] > usual[0] + 0.2
    for column in range(3):
        best = max(
            f1_score(flags[:, column], logits[:, column] >= cut, zero_division=0)
            for cut in np.sort(logits[:, column])
        )
        assert tuned[column] == pytest.approx(best)
    assert found.notes[1].startswith("thresholds rare 0.")


@pytest.mark.parametrize(("positive", "column"), [(None, 1), ("no", 0)])
def test_one_of_two_labels_gets_a_threshold(positive, column):
    random = np.random.default_rng(6)
    labels = (random.random(400) < 0.2).astype(np.int64)
    logits = np.stack([np.zeros(400), random.normal(0, 1, 400) + 1.5 * labels - 1.5], axis=1)
    this = classifier(tune_thresholds="balanced-accuracy", positive_label=positive)
    found, model = settled(this, logits, labels, ["no", "yes"])
    [(name, threshold)] = found.entries["nlpbench_thresholds"].items()
    assert name == ["no", "yes"][column]
    given = this.decode(logits, bundle=model)
    is_given = given.probabilities[:, column] >= threshold
    assert given.answers.tolist() == np.where(is_given, column, 1 - column).tolist()
    plain = this.decode(logits)
    assert given.probabilities.tolist() == plain.probabilities.tolist()
    scores = [balanced_accuracy_score(labels, one.answers) for one in (plain, given)]
    assert scores[1] > scores[0] + 0.03


def test_what_validation_rows_cannot_tell_stays_and_is_told():
    this = classifier(tune_thresholds="f1", temperature_scaling=True, **MULTI)
    flags = np.array([[1, 0, 1], [0, 0, 1]])
    found, _ = settled(this, np.where(flags == 1, 2.0, -2.0), flags, ["a", "never", "always"])
    assert found.entries == {
        "nlpbench_temperature": 1.0,
        "nlpbench_thresholds": {"a": 0.5, "never": 0.5, "always": 0.5},
    }
    assert found.warnings == [
        "temperature_scaling: on the 2 validation rows every prediction is right, so no temperature "
        "fits best; it stays 1",
        "tune_thresholds: the validation rows do not tell the threshold of 2 of 3 labels, which "
        "stays 0.5 (never: no row has it; always: every row has it)",
    ]


def test_a_threshold_that_is_told_counts_before_a_tuned_one():
    model = bundle(["a", "b"], nlpbench_thresholds={"a": 0.1, "b": 0.9})
    logits = np.array([[-1.0, 1.0]])  # probabilities 0.27 and 0.73
    assert classifier(**MULTI).decode(logits, bundle=model).answers.tolist() == [[1, 0]]
    told = classifier(threshold=0.5, **MULTI)
    assert told.decode(logits, bundle=model).answers.tolist() == [[0, 1]]


def test_labels_that_the_data_turns_out_to_have():
    from datasets import Dataset

    rows = Dataset.from_dict({"text": ["x"] * 3, "label": ["a", "b", "c"]})
    with pytest.raises(UserError) as caught:
        classifier(tune_thresholds="f1").find_labels(rows, str)
    assert str(caught.value) == (
        "task.tune_thresholds needs two labels, or several a row (got 3 labels)"
    )


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"nlpbench_temperature": 0}, "nlpbench_temperature 0, which is no number above 0"),
        ({"nlpbench_temperature": "2"}, 'nlpbench_temperature "2", which is no number above 0'),
        (
            {"nlpbench_thresholds": [0.5]},
            "nlpbench_thresholds [0.5], which is no mapping of labels to numbers between 0 and 1",
        ),
        (
            {"nlpbench_thresholds": {"a": 1.5}},
            'nlpbench_thresholds {"a": 1.5}, which is no mapping of labels to numbers between 0 '
            "and 1",
        ),
        (
            {"nlpbench_thresholds": {"z": 0.5}},
            'nlpbench_thresholds {"z": 0.5}, which is of another model: it has no label z',
        ),
    ],
)
def test_a_configuration_that_somebody_changed(entries, message):
    config = SimpleNamespace(problem_type=None, id2label={0: "a", 1: "b"}, **entries)
    with pytest.raises(UserError) as caught:
        classifier().labels_of(SimpleNamespace(config=config))
    assert str(caught.value) == (
        f"the model's configuration has {message}; take the entry away, or calibrate the model anew"
    )
