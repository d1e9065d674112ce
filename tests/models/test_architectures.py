"""Every supported architecture from a bare configuration: it learns, pads, saves and loads alike."""

from __future__ import annotations

import json
import math

import pytest
import torch
from conftest import topic_rows, write_jsonl
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from nlpbench import models
from nlpbench.config.load import loads
from nlpbench.config.sections import ModelSection
from nlpbench.config.yaml12 import dump
from nlpbench.evaluation.predict import predict
from nlpbench.runs.finetune import finetune
from nlpbench.tasks import Bundle
from nlpbench.tasks.text_classification import TextClassification

SMALL = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 32}
BARE = {
    "bert": {**SMALL, "intermediate_size": 64, "max_position_embeddings": 64},
    "distilbert": {
        "dim": 32,
        "n_layers": 2,
        "n_heads": 2,
        "hidden_dim": 64,
        "max_position_embeddings": 64,
    },
    "roberta": {**SMALL, "intermediate_size": 64, "max_position_embeddings": 66},
    "albert": {
        **SMALL,
        "embedding_size": 16,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
    },
    "electra": {
        **SMALL,
        "embedding_size": 16,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
    },
    "xlnet": {"d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 64},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64},
}
# Read segment ids, and were pretrained with them; the others get none.
WITH_SEGMENTS = {"bert", "albert", "electra", "xlnet"}
# mask_emb belongs to permutation language modelling alone.
UNUSED = {"xlnet": {"transformer.mask_emb"}}
TASK = TextClassification(name="text-classification", max_length=24)
LABELS = ["birds", "fruit", "tools"]
TEXTS = ["apple pear plum", "hammer saw drill wrench pliers chisel number 7", "robin", "owl " * 60]


def section(model_type):
    return ModelSection(
        config={"model_type": model_type, **BARE[model_type]},
        tokenizer={"train": {"vocab_size": 300}},
    )


def fresh(model_type, task=TASK):
    torch.manual_seed(0)
    tokenizer = models.tokenizer(section(model_type), [row["text"] for row in topic_rows(48)])
    loaded = models.load(
        section(model_type), task.auto_classes, task.head(LABELS), tokenizer, task.max_length
    )
    return loaded.model, tokenizer


def logits_of(model, tokenizer, texts, batch_size, task=TASK):
    features = task.encode(Dataset.from_dict({"text": texts}), None, Bundle(tokenizer))
    return predict(model, features, task.collate(Bundle(tokenizer)), batch_size=batch_size).values


@pytest.fixture(scope="module", params=list(BARE))
def run(request, tmp_path_factory):
    """A finished run of two steps, and the rows of its test split."""
    folder = tmp_path_factory.mktemp(request.param)
    write_jsonl(folder / "data" / "train.jsonl", topic_rows(16))
    write_jsonl(folder / "data" / "validation.jsonl", topic_rows(6, 100))
    rows = topic_rows(9, 200)
    write_jsonl(folder / "data" / "test.jsonl", rows)
    config = {
        "seed": 1,
        "model": {
            "config": {"model_type": request.param, **BARE[request.param]},
            "tokenizer": {"train": {"vocab_size": 300}},
        },
        "data": {"source": str(folder / "data")},
        "task": {"name": "text-classification", "max_length": 24},
        "training": {
            "max_steps": 2,
            "learning_rate": 0.005,
            "effective_batch_size": 8,
            "precision": "fp32",
            "logging_steps": 1,
        },
        "evaluation": {"efficiency": False, "resamples": 100, "batch_size": 4},
    }
    [record] = finetune(loads(dump(config)), folder / "run")
    return request.param, folder / "run", rows, record


def test_two_steps_have_finite_losses(run):
    _, directory, _, record = run
    lines = [json.loads(line) for line in (directory / "history.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert record.training["steps"] == 2
    assert len(losses) == 2
    assert all(map(math.isfinite, losses))


def test_the_saved_directory_is_a_plain_one(run):
    model_type, directory, rows, record = run
    assert record.labels == LABELS
    model = AutoModelForSequenceClassification.from_pretrained(directory / "model")
    tokenizer = AutoTokenizer.from_pretrained(directory / "model")
    assert model.config.id2label == dict(enumerate(LABELS))
    assert model.config.pad_token_id == tokenizer.pad_token_id
    predicted = [
        json.loads(line) for line in (directory / "predictions.jsonl").read_text().splitlines()
    ]
    classify = pipeline(
        "text-classification", model=str(directory / "model"), device="cpu", top_k=None
    )
    # transformers' pipeline cannot cut batches of XLNet's memories up.
    for batch_size in (1, 4) if model_type != "xlnet" else (1,):
        told = classify(
            [row["text"] for row in rows], batch_size=batch_size, truncation=True, max_length=24
        )
        for mine, theirs in zip(predicted, told, strict=True):
            scores = {one["label"]: one["score"] for one in theirs}
            assert mine["prediction"] == theirs[0]["label"]
            assert scores == pytest.approx(mine["probabilities"], abs=1e-6)


def test_saved_and_loaded_again_it_computes_the_same(run, tmp_path):
    _, directory, _, _ = run
    tokenizer = models.load_tokenizer(str(directory))
    loaded = models.load_finetuned(
        str(directory), None, TASK.auto_classes, tokenizer, TASK.max_length
    )
    assert loaded.fresh == ()
    before = logits_of(loaded.model, tokenizer, TEXTS, 2)
    models.save(loaded.model, tokenizer, tmp_path / "again")
    tokenizer = models.load_tokenizer(str(tmp_path / "again"))
    again = models.load_finetuned(
        str(tmp_path / "again"), None, TASK.auto_classes, tokenizer, TASK.max_length
    )
    assert (logits_of(again.model, tokenizer, TEXTS, 2) == before).all()


@pytest.mark.parametrize("model_type", BARE)
def test_gradients_reach_every_parameter(model_type):
    pairs = TextClassification(name="text-classification", text_pair_column="other", max_length=24)
    model, tokenizer = fresh(model_type, pairs)
    rows = Dataset.from_dict({"text": TEXTS, "other": TEXTS[::-1], "label": ["birds"] * 4})
    features = pairs.encode(rows, torch.tensor([0, 1, 2, 0]).numpy(), Bundle(tokenizer))
    batch = dict(pairs.collate(Bundle(tokenizer))(features.to_list()))
    labels = batch.pop("labels")
    model.train()
    pairs.loss(model(**batch).logits, labels).backward()
    without = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert without == UNUSED.get(model_type, set())


@pytest.mark.parametrize("model_type", BARE)
def test_padding_changes_nothing(model_type):
    model, tokenizer = fresh(model_type)
    alone = logits_of(model, tokenizer, TEXTS, 1)
    together = logits_of(model, tokenizer, TEXTS, len(TEXTS))
    assert together == pytest.approx(alone, abs=1e-5)


@pytest.mark.parametrize("model_type", BARE)
def test_an_empty_text_is_read_alone_and_among_others(model_type):
    model, tokenizer = fresh(model_type)
    texts = ["", *TEXTS, ""]
    alone = logits_of(model, tokenizer, [""], 1)
    together = logits_of(model, tokenizer, texts, len(texts))
    assert together[[0]] == pytest.approx(alone, abs=1e-5)
    assert together[[-1]] == pytest.approx(alone, abs=1e-5)
    assert together[1:-1] == pytest.approx(logits_of(model, tokenizer, TEXTS, 1), abs=1e-5)


@pytest.mark.parametrize("model_type", BARE)
def test_segment_ids_go_to_the_models_that_read_them(model_type, tmp_path):
    pairs = TextClassification(name="text-classification", text_pair_column="other", max_length=24)
    model, tokenizer = fresh(model_type, pairs)
    rows = Dataset.from_dict({"text": ["apple pear"], "other": ["robin"], "label": ["birds"]})
    features = pairs.encode(rows, None, Bundle(tokenizer))
    assert ("token_type_ids" in features.column_names) == (model_type in WITH_SEGMENTS)
    if model_type in WITH_SEGMENTS:
        assert {0, 1} <= set(features[0]["token_type_ids"])
    models.save(model, tokenizer, tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    told = again("apple pear", "robin")
    assert dict(told) == {key: features[0][key] for key in told}


@pytest.mark.parametrize("model_type", BARE)
def test_every_position_can_be_used(model_type):
    longest = TextClassification(name="text-classification", max_length=64)
    model, tokenizer = fresh(model_type, longest)
    assert logits_of(model, tokenizer, ["robin finch " * 200], 1, longest).shape == (1, 3)
