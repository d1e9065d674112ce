"""Pooling: what the head reads, by hand; and that it is saved, loaded and refused as it should be."""

from __future__ import annotations

import json
import logging
import re

import pytest
import torch
from conftest import topic_rows, write_jsonl
from datasets import Dataset
from safetensors.torch import load_file
from torch.nn import functional as F
from transformers import AutoModelForSequenceClassification
from transformers import logging as transformers_logging

from nlpbench import models
from nlpbench.config.errors import UserError
from nlpbench.config.load import loads
from nlpbench.config.sections import ModelSection
from nlpbench.config.yaml12 import dump
from nlpbench.evaluation.predict import predict
from nlpbench.models import pooling
from nlpbench.models.pooling import pool
from nlpbench.runs.evaluate import evaluate
from nlpbench.runs.finetune import finetune
from nlpbench.tasks import Bundle
from nlpbench.tasks.text_classification import TextClassification

LIBRARY = logging.getLogger("transformers")
LABELS = ["birds", "fruit", "tools"]
TEXTS = ["apple", "hammer saw drill wrench pliers chisel number 7", "robin owl"]
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 66,
}
DISTILBERT = {
    "dim": 32,
    "n_layers": 2,
    "n_heads": 2,
    "hidden_dim": 64,
    "max_position_embeddings": 66,
}


def task(kind, **options):
    return TextClassification(name="text-classification", max_length=24, pooling=kind, **options)


def fresh(model_type, kind, **config):
    torch.manual_seed(0)
    values = {**(DISTILBERT if model_type == "distilbert" else SMALL), **config}
    section = ModelSection(
        config={"model_type": model_type, **values}, tokenizer={"train": {"vocab_size": 300}}
    )
    tokenizer = models.tokenizer(section, [row["text"] for row in topic_rows(48)])
    this = task(kind)
    loaded = models.load(section, this.auto_classes, this.head(LABELS), tokenizer, 24)
    return loaded.model, tokenizer


def logits_of(model, tokenizer, batch_size=3):
    features = task(None).encode(Dataset.from_dict({"text": TEXTS}), None, Bundle(tokenizer))
    collate = task(None).collate(Bundle(tokenizer))
    return torch.tensor(predict(model, features, collate, batch_size=batch_size).values)


def test_pooled_values_by_hand():
    states = torch.tensor([[[1.0, -4.0], [3.0, -2.0], [99.0, 99.0]], [[5.0, -6.0], [0, 0], [1, 3]]])
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    assert pool("cls", states, mask).tolist() == [[1, -4], [5, -6]]
    assert pool("mean", states, mask).tolist() == [[2, -3], [2, -1]]
    assert pool("max", states, mask).tolist() == [[3, -2], [5, 3]]
    assert pool("max", states, None).tolist() == [[99, 99], [5, 3]]
    assert pool("mean", states[1:], None).tolist() == [[2, -1]]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@pytest.mark.parametrize("kind", pooling.POOLINGS)
def test_a_long_row_is_pooled_in_its_own_precision(kind, dtype):
    states = torch.ones(1, 500, 2, dtype=dtype)  # bfloat16 cannot count to 500
    pooled = pool(kind, states, torch.ones(1, 500, dtype=torch.long))
    assert pooled.dtype == dtype
    assert pooled.tolist() == [[1, 1]]


@pytest.mark.parametrize("kind", pooling.POOLINGS)
@pytest.mark.parametrize("model_type", pooling.MODEL_TYPES)
def test_the_head_reads_the_last_states(model_type, kind):
    model, tokenizer = fresh(model_type, kind)
    model.eval()
    with torch.no_grad():
        for text, logits in zip(TEXTS, logits_of(model, tokenizer), strict=True):
            batch = tokenizer(text, return_tensors="pt", truncation=True, max_length=24)
            [states] = model.base_model(**batch).last_hidden_state
            pooled = {"cls": states[0], "mean": states.mean(0), "max": states.max(0).values}[kind]
            expected = F.linear(
                pooled, model.pooled_classifier.weight, model.pooled_classifier.bias
            )
            assert logits.tolist() == pytest.approx(expected.tolist(), abs=1e-6)


@pytest.mark.parametrize("kind", pooling.POOLINGS)
@pytest.mark.parametrize("model_type", pooling.MODEL_TYPES)
def test_padding_changes_no_logits(model_type, kind):
    model, tokenizer = fresh(model_type, kind)
    torch.testing.assert_close(
        logits_of(model, tokenizer, 3), logits_of(model, tokenizer, 1), atol=1e-6, rtol=1e-5
    )


def test_padding_would_change_them_without_the_mask(monkeypatch):
    monkeypatch.setattr(
        pooling, "pool", lambda kind, states, mask: pool(kind, states, torch.ones_like(mask))
    )
    model, tokenizer = fresh("bert", "mean")
    assert (logits_of(model, tokenizer, 3) - logits_of(model, tokenizer, 1)).abs().max() > 1e-4


@pytest.mark.parametrize("model_type", pooling.MODEL_TYPES)
def test_every_parameter_is_trained(model_type):
    model, tokenizer = fresh(model_type, "mean")
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    outputs = model.train()(**batch, labels=torch.tensor([1, 2, 0]))
    torch.testing.assert_close(
        outputs.loss, F.cross_entropy(outputs.logits, torch.tensor([1, 2, 0]))
    )
    outputs.loss.backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    assert model.base_model is not model
    assert {name for name, _ in model.named_children()} == {
        model.base_model_prefix,
        "dropout",
        "pooled_classifier",
    }


@pytest.mark.parametrize(
    ("model_type", "key"),
    [
        ("bert", "classifier_dropout"),
        ("albert", "classifier_dropout_prob"),
        ("distilbert", "seq_classif_dropout"),
        ("roberta", "hidden_dropout_prob"),
    ],
)
def test_dropout_is_that_of_the_architectures_head(model_type, key):
    model, _ = fresh(model_type, "mean", **{key: 0.37})
    assert model.dropout.p == 0.37


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A pooled model, its directory, and its logits."""
    directory = tmp_path_factory.mktemp("pooled")
    model, tokenizer = fresh("bert", "mean")
    models.save(model, tokenizer, directory)
    return directory, logits_of(model, tokenizer)


def test_a_saved_model_gives_the_same_logits(saved):
    directory, logits = saved
    assert json.loads((directory / "config.json").read_text())["nlpbench_pooling"] == "mean"
    tokenizer = models.load_tokenizer(str(directory))
    loaded = models.load_finetuned(str(directory), None, task(None).auto_classes, tokenizer, 24)
    assert loaded.fresh == ()
    assert torch.equal(logits_of(loaded.model, tokenizer), logits)
    again = type(loaded.model).from_pretrained(directory, dtype=torch.float32)
    assert torch.equal(logits_of(again, tokenizer), logits)


def test_plain_transformers_says_that_its_head_is_new(saved, caplog):
    directory, _ = saved
    verbosity, propagates = transformers_logging.get_verbosity(), LIBRARY.propagate
    transformers_logging.set_verbosity_warning()
    LIBRARY.propagate = True
    try:
        model, info = AutoModelForSequenceClassification.from_pretrained(
            directory, output_loading_info=True
        )
    finally:
        transformers_logging.set_verbosity(verbosity)
        LIBRARY.propagate = propagates
    assert type(model).__name__ == "BertForSequenceClassification"
    assert {"classifier.weight", "classifier.bias"} <= set(info["missing_keys"])
    assert set(info["unexpected_keys"]) == {"pooled_classifier.weight", "pooled_classifier.bias"}
    assert re.search(r"^classifier\.weight +\| MISSING", caplog.text, re.MULTILINE)


def loaded_for(directory, kind, labels=LABELS):
    tokenizer = models.load_tokenizer(str(directory))
    section = ModelSection(name_or_path=str(directory))
    this = task(kind)
    return models.load(section, this.auto_classes, this.head(labels), tokenizer, 24)


def test_training_goes_on_with_the_pooling_of_the_checkpoint(saved):
    directory, _ = saved
    for kind in (None, "mean"):
        loaded = loaded_for(directory, kind)
        assert loaded.fresh == ()
        assert type(loaded.model).__name__ == "PooledBertForSequenceClassification"
        assert loaded.model.config.nlpbench_pooling == "mean"


def test_other_labels_make_the_head_new(saved):
    loaded = loaded_for(saved[0], "mean", ["x", "y"])
    assert set(loaded.fresh) == {"pooled_classifier.weight", "pooled_classifier.bias"}


def test_another_pooling_than_the_checkpoints_is_refused(saved):
    with pytest.raises(UserError) as caught:
        loaded_for(saved[0], "max")
    assert str(caught.value) == (
        "task.pooling is max, and the model was trained with mean; leave it out, or write "
        "pooling: mean"
    )


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    directory = tmp_path_factory.mktemp("plain")
    model, tokenizer = fresh("bert", None)
    models.save(model, tokenizer, directory)
    return directory, model


@pytest.mark.parametrize("kind", pooling.POOLINGS)
def test_a_plain_checkpoint_gets_a_new_head_on_its_own_encoder(plain, kind):
    directory, model = plain
    loaded = loaded_for(directory, kind)
    assert set(loaded.fresh) == {"pooled_classifier.weight", "pooled_classifier.bias"}
    mine, theirs = loaded.model.state_dict(), model.state_dict()
    encoder = [key for key in theirs if key.startswith("bert.") and ".pooler." not in key]
    assert set(mine) == {*encoder, *loaded.fresh}
    assert all(torch.equal(mine[key], theirs[key]) for key in encoder)


def test_without_pooling_nothing_is_written(plain):
    directory, model = plain
    assert type(model).__name__ == "BertForSequenceClassification"
    assert "nlpbench_pooling" not in json.loads((directory / "config.json").read_text())


def test_a_config_that_names_no_pooling(plain, tmp_path):
    model, tokenizer = fresh("bert", "mean")
    models.save(model, tokenizer, tmp_path)
    file = tmp_path / "config.json"
    file.write_text(file.read_text().replace('"mean"', '"median"'))
    with pytest.raises(UserError) as caught:
        loaded_for(tmp_path, None)
    assert str(caught.value) == (
        'nlpbench_pooling in the model\'s config.json is "median", allowed: cls, mean, max'
    )


@pytest.mark.parametrize(
    ("model_type", "config"),
    [
        ("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64}),
        ("xlnet", {"d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 64}),
    ],
)
def test_an_architecture_that_cannot_be_pooled(model_type, config):
    section = ModelSection(
        config={"model_type": model_type, **config}, tokenizer={"train": {"vocab_size": 300}}
    )
    tokenizer = models.tokenizer(section, [row["text"] for row in topic_rows(48)])
    this = task("mean")
    with pytest.raises(UserError) as caught:
        models.load(section, this.auto_classes, this.head(LABELS), tokenizer, 24)
    assert str(caught.value) == (
        f"task.pooling: {model_type} models cannot be pooled, only albert, bert, camembert, "
        "deberta-v2, distilbert, electra, mpnet, roberta, xlm-roberta; leave it out"
    )


@pytest.fixture
def run(tiny_config, tmp_path):
    def go(name="run", resume=False, kind="mean", model=None, **training):
        values = {
            **tiny_config,
            "model": model or tiny_config["model"],
            "task": {**tiny_config["task"], **({"pooling": kind} if kind else {})},
            "training": {**tiny_config["training"], **training},
        }
        [record] = finetune(loads(dump(values)), tmp_path / name, resume)
        return tmp_path / name, record

    return go


def predictions(directory):
    return (directory / "predictions.jsonl").read_text()


@pytest.mark.parametrize("kind", pooling.POOLINGS)
def test_a_pooled_run_learns_and_is_scored_from_its_files(run, tiny_config, tmp_path, kind):
    directory, record = run(kind=kind, num_train_epochs=6)
    assert record.model["architecture"] == "PooledBertForSequenceClassification"
    assert record.scores["accuracy"].value > 0.8
    for asked in ({}, {"pooling": kind}):
        values = {**tiny_config, "task": {**tiny_config["task"], **asked}}
        place = tmp_path / f"evaluated-{len(asked)}"
        evaluate(loads(dump(values)), place, [str(directory)])
        assert predictions(place) == predictions(directory)


def test_a_finished_training_of_a_pooled_model_is_restored(run, monkeypatch, tmp_path):
    whole, expected = run("whole", num_train_epochs=3)

    def fail(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(models, "save", fail)
        with pytest.raises(KeyboardInterrupt):
            run("parts", num_train_epochs=3)
    parts, record = run("parts", resume=True, num_train_epochs=3)
    one, two = (load_file(place / "model" / "model.safetensors") for place in (whole, parts))
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert record.scores == expected.scores
    assert predictions(whole) == predictions(parts)


def test_scoring_with_another_pooling_than_was_trained_is_refused(run, tiny_config, tmp_path):
    pooled, _ = run("pooled", max_steps=1, eval_strategy="no")
    plain, _ = run("plain", kind=None, max_steps=1, eval_strategy="no")
    values = {**tiny_config, "task": {**tiny_config["task"], "pooling": "max"}}
    for directory, trained in ((pooled, "with mean"), (plain, "with its own head")):
        with pytest.raises(UserError) as caught:
            evaluate(loads(dump(values)), tmp_path / "evaluated", [str(directory)])
        assert str(caught.value) == (
            f"the model was trained {trained}, and task.pooling is max; leave it out"
        )


@pytest.mark.parametrize(
    "options",
    [
        {"problem_type": "regression", "label_column": "length"},
        {"problem_type": "multi_label_classification", "label_columns": ["even", "odd"]},
    ],
)
def test_numbers_and_label_sets_are_pooled_as_well(run, tiny_config, topics, options):
    for file in topics.iterdir():
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        flags = [{"even": int(row["length"] % 2 == 0), "odd": 1} for row in rows]
        write_jsonl(file, [{**row, **more} for row, more in zip(rows, flags, strict=True)])
    tiny_config["task"] |= options
    _, record = run(max_steps=2, eval_strategy="no")
    assert record.model["architecture"] == "PooledBertForSequenceClassification"
