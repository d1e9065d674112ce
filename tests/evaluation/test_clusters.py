"""Rows that share a source: the bootstrap draws them together, and rows without one are refused."""

from __future__ import annotations

import datasets
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpbench.config.errors import UserError
from nlpbench.evaluation import clusters
from nlpbench.evaluation.answered import Answered, read, rows_of
from nlpbench.evaluation.bootstrap import Interval, draw_counts, intervals
from nlpbench.evaluation.metrics.accuracy import Accuracy
from nlpbench.evaluation.metrics.f1 import F1
from nlpbench.evaluation.metrics.mse import Mse
from nlpbench.results.files import write_jsonl
from nlpbench.tasks import Predictions

SURE = {"confidence": 0.95, "resamples": 500, "seed": 3}


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40))
@settings(deadline=None, max_examples=50, database=None, derandomize=True)
def test_as_many_clusters_are_drawn_as_there_are_each_with_all_its_rows(names):
    numbers = clusters.numbered(names)
    counts = np.concatenate(list(draw_counts(len(names), 30, seed=1, clusters=numbers)))
    assert counts.shape == (30, len(names))
    first = [names.index(name) for name in sorted(set(names))]
    assert (counts[:, first].sum(axis=1) == len(set(names))).all()
    for row, name in enumerate(names):
        assert (counts[:, row] == counts[:, names.index(name)]).all()


def test_the_block_size_does_not_change_what_is_drawn():
    numbers = clusters.numbered("aabbbcd")
    whole = np.concatenate(list(draw_counts(7, 20, seed=3, clusters=numbers)))
    blocks = list(draw_counts(7, 20, seed=3, cells=22, clusters=numbers))
    assert [len(block) for block in blocks] == [3, 3, 3, 3, 3, 3, 2]
    assert (np.concatenate(blocks) == whole).all()


def test_clusters_are_numbered_as_they_come_up():
    assert clusters.numbered(["b", 3, "a", "b", 3]).tolist() == [0, 1, 2, 0, 1]


def test_clusters_of_one_row_each_are_the_bootstrap_over_rows():
    random = np.random.default_rng(0)
    predictions, references = random.normal(size=(2, 80))
    plain = intervals(Mse(), predictions, references, (), **SURE)
    alone = intervals(Mse(), predictions, references, (), **SURE, clusters=np.arange(80))
    assert alone == plain


def test_clusters_of_one_size_are_as_good_as_one_row_with_their_mean():
    random = np.random.default_rng(1)
    errors = random.gamma(1.0, size=(30, 4)) + random.gamma(1.0, size=(30, 1))
    means = errors.mean(axis=1)
    zeros = np.zeros(120)
    whole = intervals(
        Mse(), np.sqrt(errors.ravel()), zeros, (), **SURE, clusters=np.repeat(np.arange(30), 4)
    )["mse"]
    of_means = intervals(Mse(), np.sqrt(means), zeros[:30], (), **SURE)["mse"]
    assert whole.low == pytest.approx(of_means.low, rel=1e-12)
    assert whole.high == pytest.approx(of_means.high, rel=1e-12)


def test_rows_that_stand_twice_are_no_more_evidence():
    random = np.random.default_rng(2)
    references, predictions = random.integers(0, 2, (2, 100))
    once = intervals(F1(), predictions, references, "ab", **SURE)
    twice = intervals(
        F1(),
        np.repeat(predictions, 2),
        np.repeat(references, 2),
        "ab",
        **SURE,
        clusters=np.repeat(np.arange(100), 2),
    )
    assert twice == once


def test_one_cluster_has_no_interval():
    found = intervals(
        Accuracy(), np.ones(9), np.arange(9), "ab", **SURE, clusters=np.zeros(9, dtype=int)
    )
    assert found == {"accuracy": Interval(None, None)}


def test_too_few_clusters_are_told():
    assert clusters.doubts(None, "speaker") == []
    assert clusters.doubts(list(range(20)), "speaker") == []
    [few] = clusters.doubts([*range(19), 3, 4], "speaker")
    assert "19 clusters of speaker" in few
    [one] = clusters.doubts(["ann", "ann"], "speaker")
    assert 'one cluster of speaker ("ann")' in one
    assert "no score has an interval" in one


def locate(row: int) -> str:
    return f"test.jsonl, row {row + 1}"


def test_the_values_of_the_column_are_the_clusters_and_class_labels_their_names():
    named = datasets.ClassLabel(names=["ann", "bob"])
    rows = datasets.Dataset.from_dict(
        {"speaker": [1, 0, 1], "page": [7, 7, 9], "url": ["a", "b", "a"]},
        features=datasets.Features(
            speaker=named, page=datasets.Value("int64"), url=datasets.Value("string")
        ),
    )
    assert clusters.values(rows, "speaker", locate) == ["bob", "ann", "bob"]
    assert clusters.values(rows, "page", locate) == [7, 7, 9]
    assert clusters.values(rows, "url", locate) == ["a", "b", "a"]


@pytest.mark.parametrize(
    ("held", "told"),
    [
        (["a", None], 'test.jsonl, row 2, column "speaker": no value'),
        (["", "a"], 'test.jsonl, row 1, column "speaker": no value'),
        ([1.0, float("nan")], 'test.jsonl, row 2, column "speaker": no value'),
        ([["a"], ["b"]], 'test.jsonl, row 1, column "speaker": ["a"] names no cluster'),
    ],
)
def test_a_row_without_a_cluster_is_refused(held, told):
    rows = datasets.Dataset.from_dict({"speaker": held})
    with pytest.raises(UserError) as error:
        clusters.values(rows, "speaker", locate)
    assert str(error.value).startswith(told)


def answered(names) -> Answered:
    ids = np.arange(3) % 2
    return Answered("labels", ["no", "yes"], [1, 2, 3], ids, Predictions(ids), names)


@pytest.mark.parametrize("names", [None, ["a", "b", "a"], [1, 2, 1], [0.5, 1.5, 0.5]])
def test_predictions_jsonl_keeps_the_clusters(names, tmp_path):
    file = tmp_path / "predictions.jsonl"
    write_jsonl(file, list(rows_of(answered(names))))
    found = read(file, "labels", ["no", "yes"])
    assert found.clusters == names
    assert found.predictions.details is None


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["a", None, "b"], "predictions.jsonl:2 has no cluster, and"),
        (["a", ["b"], "b"], 'predictions.jsonl:2 has the cluster ["b"], which is a list'),
    ],
)
def test_damaged_clusters_are_told_with_their_line(names, told, tmp_path):
    file = tmp_path / "predictions.jsonl"
    write_jsonl(file, list(rows_of(answered(names))))
    with pytest.raises(UserError) as error:
        read(file, "labels", ["no", "yes"])
    assert told in str(error.value)
