"""The worst examples, confused labels, and references that may be wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest
from cleanlab.filter import find_label_issues
from sklearn.metrics import confusion_matrix, log_loss

from nlpbench.evaluation.answered import Answered
from nlpbench.evaluation.confused_pairs import confused_pairs
from nlpbench.evaluation.error_analysis import analyse
from nlpbench.evaluation.example_losses import losses
from nlpbench.evaluation.label_errors import suspected_label_errors
from nlpbench.evaluation.metrics.bleu import Bleu
from nlpbench.evaluation.metrics.distinct import Distinct
from nlpbench.evaluation.metrics.entity_f1 import EntityF1
from nlpbench.evaluation.metrics.ndcg import Ndcg
from nlpbench.evaluation.metrics.squad_f1 import SquadF1
from nlpbench.evaluation.metrics.wer import Wer
from nlpbench.tasks import Predictions, objects

NAMES = ["cat", "dog", "owl"]


def of_labels(references, probabilities=None, answers=None, labels=NAMES):
    shares = None if probabilities is None else np.asarray(probabilities, dtype=np.float64)
    answers = shares.argmax(axis=1) if answers is None else np.asarray(answers)
    ids = [f"row {number}" for number in range(len(references))]
    return Answered("labels", labels, ids, np.asarray(references), Predictions(answers, shares))


def of_sets(references, answers, probabilities=None):
    shares = None if probabilities is None else np.asarray(probabilities)
    ids = list(range(len(references)))
    predictions = Predictions(np.asarray(answers), shares)
    return Answered("label-sets", NAMES, ids, np.asarray(references), predictions)


def of_objects(answer, references, answers, labels=()):
    ids = list(range(len(references)))
    return Answered(answer, list(labels), ids, objects(references), Predictions(objects(answers)))


# Losses


def test_the_loss_of_a_label_is_its_share_of_the_log_loss():
    random = np.random.default_rng(1)
    shares, references = random.dirichlet(np.ones(3), 40), random.integers(0, 3, 40)
    found = losses(of_labels(references, shares), [])
    assert found.name == "negative log-likelihood"
    assert found.values.mean() == pytest.approx(log_loss(references, shares, labels=[0, 1, 2]))
    assert found.values[7] == pytest.approx(-math.log(shares[7, references[7]]))


def test_a_label_that_is_ruled_out_has_a_finite_loss():
    [loss] = losses(of_labels([0], [[0.0, 1.0, 0.0]]), []).values
    assert 600 < loss < math.inf


def test_without_probabilities_an_error_is_an_error():
    assert losses(of_labels([0, 1], answers=[0, 2]), []).values.tolist() == [0, 1]
    found = losses(of_sets([[1, 0, 0]], [[1, 1, 0]]), [])
    assert (found.name, found.values.tolist()) == ("share of wrong labels", [1 / 3])


def test_the_loss_of_a_set_of_labels():
    found = losses(of_sets([[1, 0, 1]], [[1, 0, 0]], [[0.8, 0.1, 0.25]]), [])
    expected = -(math.log(0.8) + math.log(0.9) + math.log(0.25)) / 3
    assert found.values.tolist() == pytest.approx([expected])


def test_the_losses_of_numbers_and_of_documents():
    values = Answered("values", [], [1, 2], np.array([1.0, 2]), Predictions(np.array([1.5, 0])))
    assert losses(values, []).values.tolist() == [0.25, 4]
    sums = np.array([[-6.0, 3], [-1.0, 2], [0.0, 0]])
    sizes = np.array([[2, 9], [1, 3], [0, 0]])
    documents = Answered("log-likelihoods", [], [1, 2, 3], sizes, Predictions(sums))
    assert losses(documents, []).values.tolist() == pytest.approx([2, 0.5, math.nan], nan_ok=True)


def test_the_loss_of_a_span_is_what_its_f1_lacks():
    right = [["a red car"], [], ["blue"], []]
    answered = of_objects("spans", right, ["red car park", "", "green", "something"])
    found = losses(answered, [SquadF1(name="squad-f1", answerability=True)])
    assert found.name == "squad_f1 short of that of the reference"
    assert found.values.tolist() == pytest.approx([0.2, 0, 1, 1])


def test_the_loss_of_a_text_has_the_unit_and_the_direction_of_its_metric():
    right = [["the cat sat on the mat today"], ["a dog ran off"]]
    answered = of_objects("texts", right, ["the cat sat on the mat today", "no words match"])
    bleu, wer = Bleu(name="bleu"), Wer(name="wer")
    assert losses(answered, [bleu]).values[0] == pytest.approx(0, abs=1e-9)
    assert losses(answered, [bleu]).values[1] > 90
    assert losses(answered, [wer]).values[0] == 0
    assert losses(answered, [wer]).values[1] > 0
    # Distinct words are of a corpus, not of a text; what scores a text counts.
    assert losses(answered, [Distinct(name="distinct"), wer]).name.startswith("wer ")
    assert losses(answered, [Distinct(name="distinct")]) is None


def test_more_texts_than_are_scored_in_one_go():
    right = [[f"number {row} of many"] for row in range(600)]
    answers = [one if row != 555 else "something else" for row, [one] in enumerate(right)]
    found = losses(of_objects("texts", right, answers), [Wer(name="wer")])
    assert np.flatnonzero(found.values).tolist() == [555]


def test_a_sentence_without_entities_that_none_are_found_in_has_no_loss():
    right = [["O", "O"], ["B-PER", "O"], ["B-PER", "O"], ["O", "O"]]
    given = [["O", "O"], ["B-PER", "O"], ["O", "O"], ["B-PER", "O"]]
    metric = EntityF1(name="entity-f1")
    assert losses(of_objects("tags", right, given), [metric]).values.tolist() == [0, 0, 1, 1]
    assert losses(of_objects("tags", right[:1], given[:1]), [metric]).values.tolist() == [0]


def test_the_loss_of_a_ranking():
    grades = [{"a": 2, "b": 1}, {"a": 2, "b": 1}]
    found = losses(of_objects("rankings", grades, [["a", "b"], ["b", "a"]]), [Ndcg(name="ndcg")])
    assert found.values[0] == pytest.approx(0)
    assert 0 < found.values[1] < 1


# Confused pairs


def test_the_pairs_are_those_beside_the_diagonal_of_the_confusion_matrix():
    random = np.random.default_rng(3)
    references, answers = random.integers(0, 3, 200), random.integers(0, 3, 200)
    matrix = confusion_matrix(references, answers)
    found = confused_pairs(of_labels(references, answers=answers))
    assert len(found) == 6
    counts = [one["count"] for one in found]
    assert counts == sorted(counts, reverse=True)
    for one in found:
        row, column = NAMES.index(one["reference"]), NAMES.index(one["prediction"])
        assert one["count"] == matrix[row, column]
        assert one["share"] == matrix[row, column] / matrix[row].sum()
        places = np.flatnonzero((references == row) & (answers == column))[:10]
        assert one["ids"] == [f"row {place}" for place in places]


def test_sets_of_labels_pair_what_is_missing_with_what_is_too_much():
    references = [[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 1]]
    answers = [[0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 1, 1]]
    found = confused_pairs(of_sets(references, answers))
    assert [(one["reference"], one["prediction"], one["share"]) for one in found] == [
        ("cat", "dog", 1 / 2),
        ("dog", None, 1 / 2),
        (None, "owl", None),
    ]


def test_tags_are_counted_by_word():
    right = [["B-PER", "I-PER", "O"], ["B-PER", "B-PER"]]
    given = [["B-LOC", "I-PER", "O"], ["B-LOC", "B-LOC"]]
    [one] = confused_pairs(of_objects("tags", right, given, ["O", "B-PER", "I-PER", "B-LOC"]))
    assert one == {
        "reference": "B-PER",
        "prediction": "B-LOC",
        "count": 3,
        "share": 1.0,
        "ids": [0, 1],
    }


# Label errors


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("seed", range(5))
def test_the_suspected_are_those_of_cleanlab(seed):
    random = np.random.default_rng(seed)
    truth = random.integers(0, 4, 400)
    logits = random.normal(0, 1, (400, 4)) + 3 * np.eye(4)[truth]
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    noisy = np.where(random.random(400) < 0.2, random.integers(0, 4, 400), truth)
    found = suspected_label_errors(shares, noisy)
    issues = find_label_issues(
        noisy,
        shares,
        filter_by="confident_learning",
        return_indices_ranked_by="normalized_margin",
        n_jobs=1,
    )
    assert len(issues) > 20
    assert found.examples.tolist() == issues.tolist()
    swapped = noisy[found.examples] != truth[found.examples]
    assert swapped.mean() > 0.7
    right = found.labels == truth[found.examples]
    assert right[swapped].mean() > 0.9


def test_a_label_that_no_row_bears_is_not_suspected():
    shares = np.array([[0.1, 0.0, 0.9], [0.8, 0.1, 0.1], [0.2, 0.7, 0.1]])
    assert suspected_label_errors(shares, np.array([0, 0, 1])).examples.tolist() == []


# All together


def test_the_tables_and_the_summary():
    shares = [
        [0.9, 0.05, 0.05],
        [0.85, 0.1, 0.05],
        [0.2, 0.7, 0.1],
        [0.3, 0.6, 0.1],
        [0.95, 0.05, 0],
    ]
    answered = of_labels([0, 0, 1, 1, 1], shares)
    texts = [f"text {number}" for number in range(5)]
    found = analyse(answered, [], texts, examples=2)
    assert list(found.tables) == [
        "highest_loss.jsonl",
        "confused_pairs.jsonl",
        "suspected_label_errors.jsonl",
    ]
    first, second = found.tables["highest_loss.jsonl"]
    assert first == {
        "id": "row 4",
        "text": "text 4",
        "reference": "dog",
        "prediction": "cat",
        "confidence": 0.95,
        "loss": pytest.approx(-math.log(0.05)),
    }
    assert (second["id"], second["prediction"]) == ("row 3", "dog")
    [pair] = found.tables["confused_pairs.jsonl"]
    assert (pair["reference"], pair["prediction"], pair["ids"]) == ("dog", "cat", ["row 4"])
    assert found.tables["suspected_label_errors.jsonl"] == [
        {
            "id": "row 4",
            "text": "text 4",
            "reference": "dog",
            "prediction": "cat",
            "confidence": 0.95,
            "reference_probability": 0.05,
        }
    ]
    assert found.summary == {
        "loss": {
            "name": "negative log-likelihood",
            "mean": pytest.approx(losses(answered, []).values.mean()),
            "highest": first["loss"],
        },
        "confused_pairs": [{"reference": "dog", "prediction": "cat", "count": 1, "share": 1 / 3}],
        "suspected_label_errors": 1,
    }


def test_a_label_that_is_given_below_a_half_is_told_with_its_own_confidence():
    answered = of_labels([0], [[0.7, 0.3]], answers=[1], labels=["no", "yes"])
    [row] = analyse(answered, []).tables["highest_loss.jsonl"]
    assert (row["prediction"], row["confidence"]) == ("yes", 0.3)


def test_other_answers_have_the_tables_that_apply():
    spans = of_objects("spans", [["a"], ["b"]], ["a", "c"])
    found = analyse(spans, [SquadF1(name="squad-f1")], ["one", "two"], examples=1)
    assert found.tables == {
        "highest_loss.jsonl": [
            {"id": 1, "text": "two", "reference": ["b"], "prediction": "c", "loss": 1.0}
        ]
    }
    sets = of_sets([[1, 0, 0]], [[0, 0, 0]], [[0.4, 0.1, 0.1]])
    [row] = analyse(sets, []).tables["highest_loss.jsonl"]
    assert (row["reference"], row["prediction"]) == (["cat"], [])
    assert row["probabilities"] == {"cat": 0.4, "dog": 0.1, "owl": 0.1}


def test_nothing_to_analyse():
    empty = of_labels(np.empty(0, np.int64), np.empty((0, 3)))
    assert analyse(empty, []).tables == {
        "confused_pairs.jsonl": [],
        "suspected_label_errors.jsonl": [],
    }
