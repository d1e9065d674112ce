"""The metrics over rankings: against trec_eval's own code, and what is left out or doubtful."""

from __future__ import annotations

import gzip
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from nlpbench.config.errors import UserError
from nlpbench.evaluation.metrics.map import Map
from nlpbench.evaluation.metrics.mrr import Mrr
from nlpbench.evaluation.metrics.ndcg import Ndcg
from nlpbench.evaluation.metrics.recall_at_k import RecallAtK

# Our key, and the measure of trec_eval; its reciprocal rank knows no cut-off, so the run is cut.
AGAINST = [
    (Ndcg(), "ndcg_at_10", "ndcg_cut_10", None),
    (Ndcg(k=3), "ndcg_at_3", "ndcg_cut_3", None),
    (Ndcg(k=None), "ndcg", "ndcg", None),
    (Mrr(), "mrr_at_10", "recip_rank", 10),
    (Mrr(k=2), "mrr_at_2", "recip_rank", 2),
    (Mrr(k=None), "mrr", "recip_rank", None),
    (RecallAtK(), "recall_at_10", "recall_10", None),
    (RecallAtK(k=[1, 5]), "recall_at_5", "recall_5", None),
    (Map(), "map", "map", None),
    (Map(k=5), "map_at_5", "map_cut_5", None),
]
METRICS = [Ndcg, Mrr, RecallAtK, Map]
every_measure = pytest.mark.parametrize(
    ("metric", "key", "measure", "cut"), AGAINST, ids=[row[1] for row in AGAINST]
)
every_metric = pytest.mark.parametrize("metric", METRICS)


def objects(*values: object) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def by_trec_eval(rankings, judgements, measure: str, cut: int | None) -> float:
    """Mean over the queries with a relevant document, an empty ranking counting as 0."""
    wanted = {"ndcg_cut_": "ndcg_cut.", "recall_": "recall.", "map_cut_": "map_cut."}
    name = next(
        (new + measure.removeprefix(old) for old, new in wanted.items() if measure.startswith(old)),
        measure,
    )
    judged = {
        str(query): grades
        for query, grades in enumerate(judgements)
        if any(grade > 0 for grade in grades.values())
    }
    run = {
        query: {
            document: -float(place) for place, document in enumerate(rankings[int(query)][:cut])
        }
        for query in judged
    }
    found = pytrec_eval.RelevanceEvaluator(judged, {name}).evaluate(run)
    scores = [found.get(query, {measure: 0.0})[measure] for query in judged]
    return math.fsum(scores) / len(scores) if scores else math.nan


def random_rankings(queries: int, documents: int, seed: int):
    """Rankings of all lengths, none among them, of documents of which some are judged."""
    random = np.random.default_rng(seed)
    names = [f"d{number}" for number in range(documents)]
    rankings, judgements = [], []
    for _ in range(queries):
        size = int(random.integers(0, documents + 1))
        rankings.append([str(name) for name in random.permutation(names)[:size]])
        judged = random.permutation(names)[: int(random.integers(1, 15))]
        judgements.append({str(name): int(random.choice([-1, 0, 1, 2, 3])) for name in judged})
    return objects(*rankings), objects(*judgements)


@every_measure
def test_agrees_with_trec_eval_on_queries_and_on_resamples(metric, key, measure, cut):
    rankings, judgements = random_rankings(queries=200, documents=30, seed=1)
    assert metric.compute(rankings, judgements)[key] == pytest.approx(
        by_trec_eval(rankings, judgements, measure, cut), abs=1e-9
    )
    draws = np.random.default_rng(2).integers(0, 200, (5, 200))
    counts = np.stack([np.bincount(row, minlength=200) for row in draws])
    resampled = metric.resample(rankings, judgements, counts)[key]
    for found, row in zip(resampled, draws, strict=True):
        expected = by_trec_eval(rankings[row], judgements[row], measure, cut)
        assert found == pytest.approx(expected, abs=1e-9)


names = st.sampled_from([f"d{number}" for number in range(6)])


@every_measure
@given(ranking=st.lists(names, unique=True), grades=st.dictionaries(names, st.integers(-1, 3)))
@settings(deadline=None, max_examples=100, database=None, derandomize=True)
def test_agrees_with_trec_eval_on_one_query(metric, key, measure, cut, ranking, grades):
    rankings, judgements = objects(ranking), objects(grades)
    expected = by_trec_eval(rankings, judgements, measure, cut)
    found = metric.compute(rankings, judgements)[key]
    assert found == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_one_query_by_hand():
    rankings, judgements = objects(["x", "b", "a"]), objects({"a": 2, "b": 1, "c": 1})
    ideal = 2 + 1 / math.log2(3) + 1 / 2
    assert Ndcg().compute(rankings, judgements) == {
        "ndcg_at_10": pytest.approx((1 / math.log2(3) + 2 / 2) / ideal)
    }
    assert Mrr().compute(rankings, judgements) == {"mrr_at_10": 0.5}
    assert Mrr(k=1).compute(rankings, judgements) == {"mrr_at_1": 0.0}
    assert Map().compute(rankings, judgements) == {"map": pytest.approx((1 / 2 + 2 / 3) / 3)}
    assert RecallAtK(k=[3, 1, 2]).compute(rankings, judgements) == {
        "recall_at_3": pytest.approx(2 / 3),
        "recall_at_1": 0.0,
        "recall_at_2": pytest.approx(1 / 3),
    }


@every_metric
def test_a_query_without_a_relevant_document_is_left_out_and_told(metric):
    metric = metric()
    rankings, judgements = objects(["a"], ["a"]), objects({"a": 1}, {"a": 0})
    key = metric.score_keys()[0]
    assert metric.compute(rankings, judgements) == {key: 1.0}
    assert math.isnan(metric.compute(rankings[1:], judgements[1:])[key])
    told = metric.check(rankings, judgements)
    assert told[-1] == "1 of 2 queries have no relevant document and are left out"


@every_metric
def test_an_empty_ranking_counts_as_zero(metric):
    scores = metric().compute(objects([], ["a"]), objects({"a": 1}, {"a": 1}))
    assert list(scores.values()) == [0.5]


@every_metric
def test_ids_that_never_meet_are_told(metric):
    told = metric().check(objects(["doc-1"]), objects({"1": 1}))
    assert "name them by the same ids" in told[-1]
    assert "name them by" not in " ".join(metric().check(objects(["1"]), objects({"1": 1})))


@every_metric
def test_a_document_that_stands_twice_is_refused_with_its_row(metric):
    with pytest.raises(UserError, match=r"row 2: the ranking holds the document 'b' twice; keep"):
        metric().check(objects(["a"], ["b", "a", "b"]), objects({"a": 1}, {"a": 1}))


@every_metric
def test_rankings_and_queries_that_differ_in_number_are_refused(metric):
    with pytest.raises(UserError, match="1 rankings for 2 queries; give one ranking"):
        metric().check(objects(["a"]), objects({"a": 1}, {"a": 1}))


def test_a_cut_off_beyond_every_ranking_is_told():
    rankings, judgements = objects(["a", "b", "c"]), objects({"a": 1})
    assert RecallAtK(k=[2, 3, 100]).check(rankings, judgements) == [
        "the longest ranking holds 3 documents, so recall_at_100 sees no more"
    ]
    assert Map().check(rankings, judgements) == []


@pytest.mark.parametrize(
    ("metric", "k"),
    [(Ndcg, 0), (Mrr, -1), (Map, 1.5), (RecallAtK, []), (RecallAtK, [0]), (RecallAtK, [1, 1])],
)
def test_cut_offs_that_mean_nothing_are_refused(metric, k):
    with pytest.raises(ValidationError, match="k"):
        metric(k=k)


def test_signatures_tell_the_cut_offs_and_who_is_left_out():
    shared = "relevant:grade>0|unjudged:not-relevant|without_relevant:left-out"
    assert RecallAtK(k=[1, 10]).signature() == f"k:1,10|{shared}"
    assert Map().signature() == f"k:all|{shared}"
    assert Ndcg().signature() == f"k:10|{shared}|gain:linear|discount:log2"


@pytest.mark.realdata
@every_measure
def test_agrees_with_trec_eval_on_cranfields_judgements(metric, key, measure, cut):
    place = Path(os.environ["NLPBENCH_DATA"]) / "cranfield" / "qrels.jsonl.gz"
    judged: dict[str, dict[str, int]] = {}
    with gzip.open(place, "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            judged.setdefault(row["query-id"], {})[row["corpus-id"]] = row["score"]
    random = np.random.default_rng(3)
    pool = [str(number) for number in range(1, 1401)]
    rankings = [
        [str(name) for name in random.permutation([*grades, *random.choice(pool, 60)])]
        for grades in judged.values()
    ]
    rankings = objects(*(list(dict.fromkeys(ranking)) for ranking in rankings))
    judgements = objects(*judged.values())
    score = metric.compute(rankings, judgements)[key]
    assert score == pytest.approx(by_trec_eval(rankings, judgements, measure, cut), abs=1e-9)
    assert 0.02 < score < 0.9
