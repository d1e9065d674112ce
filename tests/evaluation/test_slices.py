"""Scores of slices against scikit-learn's, their gaps, and what is undefined."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from sliced_rows import answered, rows_of

from nlpbench.config.sections import EvaluationSection
from nlpbench.evaluation import slices
from nlpbench.evaluation.answered import Answered
from nlpbench.evaluation.metrics.accuracy import Accuracy
from nlpbench.evaluation.metrics.entity_f1 import EntityF1
from nlpbench.evaluation.metrics.f1 import F1
from nlpbench.evaluation.metrics.mcc import Mcc
from nlpbench.evaluation.metrics.pearson import Pearson
from nlpbench.evaluation.metrics.roc_auc import RocAuc
from nlpbench.evaluation.score import score as score_all
from nlpbench.evaluation.slices import SliceScores
from nlpbench.tasks import Predictions, objects

METRICS = [Accuracy(), F1()]


def scored(
    one: Answered, columns: dict[str, list[Any]], *slicings: Any, metrics=None, **more: Any
) -> SliceScores:
    section = EvaluationSection.model_validate({"slices": list(slicings), "resamples": 200, **more})
    metrics = METRICS if metrics is None else metrics
    overall = score_all(
        metrics, one.predictions, one.references, one.labels, section, one.answer, one.clusters
    )
    rows = rows_of(columns, one.references, one.labels)
    return slices.score(section, metrics, one, overall, rows, None)


def drawn(n: int, seed: int = 0, right: float = 0.8) -> tuple[np.ndarray, np.ndarray]:
    """References of two classes, and answers of which that share is right."""
    random = np.random.default_rng(seed)
    references = random.integers(0, 2, n)
    return references, np.where(random.random(n) < right, references, 1 - references)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_slice_scores_as_scikit_learn_does_on_its_rows(data):
    n = data.draw(st.integers(1, 40))
    references, answers = (
        np.array(data.draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))) for _ in "ab"
    )
    groups = data.draw(st.lists(st.sampled_from("xyz"), min_size=n, max_size=n))
    found = scored(answered(references, answers), {"group": groups}, "group")
    for group in set(groups):
        at = np.array(groups) == group
        part = found.slices[f"group={group}"]
        assert part.rows == at.sum()
        assert part.scores["accuracy"].value == pytest.approx(
            sk.accuracy_score(references[at], answers[at])
        )
        if references[at].any():
            assert part.scores["f1"].value == pytest.approx(
                sk.f1_score(references[at], answers[at], zero_division=0)
            )
        else:
            assert part.scores["f1"].value is None
            assert "f1" in part.notes
    assert sum(part.rows for part in found.slices.values()) == n
    right = sum(part.rows * part.scores["accuracy"].value for part in found.slices.values())
    assert right / n == pytest.approx((references == answers).mean())


def test_an_interval_is_as_wide_as_the_rows_of_the_slice_make_it():
    references, answers = drawn(1000)
    groups = ["small"] * 100 + ["large"] * 900
    found = scored(answered(references, answers), {"group": groups}, "group", resamples=1000)
    for name, rows in (("small", slice(0, 100)), ("large", slice(100, None))):
        score = found.slices[f"group={name}"].scores["accuracy"]
        share = (references == answers)[rows].mean()
        n = len(references[rows])
        assert score.high - score.low == pytest.approx(
            2 * 1.96 * np.sqrt(share * (1 - share) / n), rel=0.15
        )
        assert score.low < share < score.high


def test_signatures_and_directions_are_those_of_all_rows():
    references, answers = drawn(20)
    found = scored(answered(references, answers), {"group": ["a", "b"] * 10}, "group")
    part = found.slices["group=a"]
    assert part.of == "group"
    assert part.scores["f1"].signature.startswith("average:binary|positive:positive")
    assert part.scores["f1"].higher_is_better


def test_every_row_tells_its_slices():
    references, answers = drawn(3)
    found = scored(
        answered(references, answers), {"group": ["a", "b", "a"], "text": ["x", "", "y"]},
        "group", {"pattern": "x"},
    )  # fmt: skip
    assert found.tell([{"id": 1}, {"id": 2}, {"id": 3}]) == [
        {"id": 1, "slices": ["group=a", "/x/"]},
        {"id": 2, "slices": ["group=b", "not /x/"]},
        {"id": 3, "slices": ["group=a", "not /x/"]},
    ]


def test_without_slices_nothing_is_told():
    references, answers = drawn(3)
    section = EvaluationSection()
    found = slices.score(section, METRICS, answered(references, answers), {}, None, None)
    assert (found.slices, found.gaps, found.notes) == ({}, {}, [])
    assert found.tell([{"id": 1}]) == [{"id": 1}]


def test_an_empty_slice_has_no_score():
    references, answers = drawn(10)
    found = scored(
        answered(references, answers),
        {"group": ["a"] * 10},
        {"column": "group", "values": ["a", "b"]},
    )
    part = found.slices["group=b"]
    assert part.rows == 0
    assert part.notes == {"accuracy": "no rows", "f1": "no rows"}
    for score in part.scores.values():
        assert (score.value, score.low, score.high) == (None, None, None)
    assert found.gaps["group"]["accuracy"].value is None


def test_one_class_leaves_what_asks_for_two_undefined_with_the_reason():
    references = np.array([0, 0, 0, 1, 1, 0])
    shares = np.linspace(0.1, 0.9, 6)
    one = answered(references, [0, 0, 1, 1, 0, 0], np.stack([1 - shares, shares], axis=1))
    groups = {"group": ["a"] * 3 + ["b"] * 3}
    found = scored(one, groups, "group", metrics=[RocAuc(), F1(), Mcc(), Accuracy()])
    part = found.slices["group=a"]
    assert {key: score.value for key, score in part.scores.items()} == {
        "roc_auc": None,
        "f1": None,
        "mcc": None,
        "accuracy": pytest.approx(2 / 3),
    }
    assert part.notes == {
        "roc_auc": "every reference is negative",
        "f1": "even right answers score 0 here, as every reference is negative",
        "mcc": "even right answers score 0 here, as every reference is negative",
    }
    assert found.slices["group=b"].scores["f1"].value is not None
    assert found.slices["group=b"].notes == {}


def test_a_slice_without_entities_has_no_entity_f1():
    tags = objects([["B-PER", "O"], ["O", "O"], ["O", "B-PER"]])
    one = Answered("tags", ["O", "B-PER", "I-PER"], [0, 1, 2], tags, Predictions(tags))
    found = scored(one, {"domain": ["a", "b", "a"]}, "domain", metrics=[EntityF1()])
    assert found.slices["domain=a"].scores["entity_f1"].value == 1
    assert found.slices["domain=b"].scores["entity_f1"].value is None
    assert found.slices["domain=b"].notes["entity_f1"] == "no reference holds an entity"


@pytest.mark.parametrize(
    ("references", "why"),
    [([1.0, 1.0, 1.0], "all references are 1"), ([1.0], "there is one row")],
)
def test_equal_numbers_have_no_correlation(references, why):
    n = len(references)
    values = np.array([*references, 1.0, 2.0, 3.0])
    one = Answered("values", [], list(range(n + 3)), values, Predictions(values * 2))
    found = scored(one, {"part": ["a"] * n + ["b"] * 3}, "part", metrics=[Pearson()])
    assert found.slices["part=a"].notes == {"pearson": why}
    assert found.slices["part=b"].scores["pearson"].value == pytest.approx(1)


def test_a_gap_names_its_slices():
    references = np.zeros(40, dtype=int)
    answers = np.array([0] * 18 + [1] * 2 + [0] * 10 + [1] * 10)
    found = scored(
        answered(references, answers), {"group": ["a"] * 20 + ["b"] * 20}, "group",
        metrics=[Accuracy()],
    )  # fmt: skip
    gap = found.gaps["group"]["accuracy"]
    assert gap.value == pytest.approx(0.4)
    assert (gap.highest, gap.lowest) == ("group=a", "group=b")
    assert 0 < gap.low < 0.4 < gap.high < 0.8


def test_slices_of_clusters_are_as_uncertain_as_the_clusters_are():
    """Ten rows of a cluster, all right or all wrong, say no more than one."""
    references = np.zeros(400, dtype=int)
    answers = np.repeat(np.random.default_rng(1).integers(0, 2, 40), 10)
    clusters = np.repeat(np.arange(40), 10).tolist()
    groups = {"group": ["a", "b"] * 200}
    alone = scored(answered(references, answers), groups, "group", metrics=[Accuracy()])
    one = answered(references, answers, clusters=clusters)
    together = scored(one, groups, "group", metrics=[Accuracy()])

    def width(found):
        score = found.slices["group=a"].scores["accuracy"]
        return score.high - score.low

    assert width(together) > 1.8 * width(alone)
    # Both slices hold a half of every cluster, so that nothing tells them apart.
    assert together.gaps["group"]["accuracy"].value == 0
    assert together.gaps["group"]["accuracy"].high == 0


def test_a_slice_of_one_cluster_has_no_interval():
    references, answers = drawn(20)
    one = answered(references, answers, clusters=["x"] * 10 + ["y"] * 10)
    found = scored(one, {"group": ["a"] * 10 + ["b"] * 10}, "group", metrics=[Accuracy()])
    score = found.slices["group=a"].scores["accuracy"]
    assert score.value is not None
    assert (score.low, score.high) == (None, None)
    assert found.gaps["group"]["accuracy"].low is None


def test_label_sets_are_cut_by_each_of_their_labels():
    references = np.array([[1, 0], [1, 1], [0, 1], [0, 0]])
    answers = np.array([[1, 0], [1, 0], [0, 1], [0, 1]])
    found = scored(
        answered(references, answers), {"text": [""] * 4}, "label", metrics=[F1(average="micro")]
    )
    assert {name: part.rows for name, part in found.slices.items()} == {
        "label=negative": 2,
        "label=positive": 2,
    }
    at = references[:, 1] > 0
    assert found.slices["label=positive"].scores["f1_micro"].value == pytest.approx(
        sk.f1_score(references[at], answers[at], average="micro")
    )


def test_names_do_not_collide_with_a_metric_of_many_keys():
    references, answers = drawn(30)
    found = scored(
        answered(references, answers), {"group": ["a", "b", "c"] * 10}, "group",
        metrics=[F1(average="per-class")],
    )  # fmt: skip
    assert set(found.gaps["group"]) == {"f1[negative]", "f1[positive]"}
    for part in found.slices.values():
        assert list(part.scores) == ["f1[negative]", "f1[positive]"]
