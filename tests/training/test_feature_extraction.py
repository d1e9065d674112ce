"""Feature extraction: the encoder runs once, the head learns as if it stood on a frozen encoder."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import topic_rows
from datasets import Dataset

from nlpbench import models
from nlpbench.config.errors import UserError
from nlpbench.config.sections import ModelSection
from nlpbench.evaluation.predict import predict
from nlpbench.tasks import Bundle
from nlpbench.tasks.text_classification import TextClassification
from nlpbench.training import feature_extraction
from nlpbench.training.feature_extraction import check, extract

SMALL = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 32}
BARE = {
    "bert": {**SMALL, "intermediate_size": 64},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64},
    "roberta": {**SMALL, "intermediate_size": 64},
    "albert": {**SMALL, "embedding_size": 16, "intermediate_size": 64},
    "electra": {**SMALL, "embedding_size": 16, "intermediate_size": 64},
    "xlnet": {"d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 64},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64},
}
CASES = [*((model_type, None) for model_type in BARE), ("bert", "mean"), ("bert", "max")]
LABELS = ["birds", "fruit", "tools"]


def prepared(model_type, pooling=None):
    options = {} if pooling is None else {"pooling": pooling}
    task = TextClassification(name="text-classification", max_length=24, **options)
    section = ModelSection(
        config={"model_type": model_type, **BARE[model_type]},
        tokenizer={"train": {"vocab_size": 300}},
    )
    torch.manual_seed(0)
    tokenizer = models.tokenizer(section, [row["text"] for row in topic_rows(48)])
    loaded = models.load(section, task.auto_classes, task.head(LABELS), tokenizer, 24)
    rows = topic_rows(13)
    features = task.encode(
        Dataset.from_list(rows),
        np.array([LABELS.index(row["label"]) for row in rows]),
        Bundle(tokenizer),
    )
    return loaded.model, features, task.collate(Bundle(tokenizer)), task


def weights(model):
    return {name: p.detach().clone() for name, p in model.state_dict().items()}


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def taken(model, features, collate, batch_size=4):
    return extract(model, features, None, collate, batch_size=batch_size, precision="fp32")


@pytest.mark.parametrize(("model_type", "pooling"), CASES)
def test_the_head_says_on_features_what_the_model_says_on_text(model_type, pooling):
    model, features, collate, _ = prepared(model_type, pooling)
    before, names = weights(model), list(model.state_dict())
    expected = predict(model, features, collate, batch_size=4).values
    found = taken(model, features, collate)
    assert np.array(found.train["features"][:]).shape == (13, 32)
    assert found.train["labels"][:] == features["labels"][:]
    on_features = predict(found.model, found.train, found.collate, batch_size=5).values
    assert on_features == pytest.approx(expected, abs=1e-7)
    assert np.abs(expected - expected[0]).max() > 1e-5

    whole = found.model.restore()
    assert whole is model
    assert list(model.state_dict()) == names
    assert same(weights(model), before)
    assert predict(model, features, collate, batch_size=4).values == pytest.approx(expected, abs=0)


@pytest.mark.parametrize(("model_type", "pooling"), CASES)
def test_the_encoder_runs_once_for_every_row(model_type, pooling):
    model, features, collate, _ = prepared(model_type, pooling)
    seen = []
    model.base_model.register_forward_hook(
        lambda module, inputs, outputs: seen.append(len(outputs.last_hidden_state))
    )
    found = taken(model, features, collate)
    batch = found.collate(found.train.to_list())
    labels = batch.pop("labels")
    for _ in range(3):
        logits = found.model.train()(**batch).logits
        torch.nn.functional.cross_entropy(logits, labels).backward()
    assert sum(seen) == len(features)
    found.model.restore()
    assert all(p.grad is None for p in model.base_model.parameters())


@pytest.mark.parametrize("model_type", BARE)
def test_only_the_head_is_trained_and_kept_in_checkpoints(model_type):
    model, features, collate, _ = prepared(model_type)
    inside = {
        f"{model.base_model_prefix}.{name}" for name, _ in model.base_model.named_parameters()
    }
    head = {name for name, _ in model.named_parameters()} - inside
    found = taken(model, features, collate)
    assert head
    assert {name for name, _ in found.model.named_parameters()} == {f"model.{n}" for n in head}
    assert set(found.model.state_dict()) == {f"model.{name}" for name in head}


def test_features_have_no_dropout_and_the_head_has():
    model, features, collate, _ = prepared("bert")
    model.train()
    once, again = (taken(model, features, collate) for model in (model, prepared("bert")[0]))
    assert np.array_equal(once.train["features"][:], again.train["features"][:])
    batch = once.collate(once.train.to_list())
    del batch["labels"]
    one, two = (once.model.train()(**batch).logits for _ in range(2))
    assert not torch.equal(one, two)
    one, two = (once.model.eval()(**batch).logits for _ in range(2))
    assert torch.equal(one, two)


def test_learning_on_features_is_learning_on_a_frozen_encoder():
    results = []
    for extracted in (True, False):
        model, features, collate, task = prepared("roberta")
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        start = weights(model)
        rows, trained = features, model
        if extracted:
            found = taken(model, features, collate)
            rows, trained, collate = found.train, found.model, found.collate
        else:
            model.base_model.requires_grad_(False)
        optimizer = torch.optim.SGD([p for p in trained.parameters() if p.requires_grad], lr=0.1)
        for step in range(10):
            batch = dict(collate(rows.select(range(step % 3, 13, 2)).to_list()))
            labels = batch.pop("labels")
            task.loss(trained(**batch).logits, labels).backward()
            optimizer.step()
            optimizer.zero_grad()
        if extracted:
            found.model.restore()
        results.append(weights(model))
    assert max(float((results[0][key] - results[1][key]).abs().max()) for key in start) < 1e-5
    assert (
        float(
            (results[0]["classifier.dense.weight"] - start["classifier.dense.weight"]).abs().max()
        )
        > 1e-3
    )


def test_labels_of_every_kind_come_through():
    model, features, collate, _ = prepared("bert")
    for labels in ([0.5] * 13, [[1.0, 0.0]] * 13, [2] * 13):
        rows = features.remove_columns("labels").add_column("labels", labels)
        found = taken(model, rows, collate)
        batch = found.collate(found.train.to_list())
        assert torch.equal(batch["labels"], collate(rows.to_list())["labels"])
        assert batch["labels"].dtype == collate(rows.to_list())["labels"].dtype
        found.model.restore()


def test_a_head_that_reads_all_tokens_is_refused(monkeypatch):
    model, features, collate, _ = prepared("bert")

    def forward(input_ids, attention_mask, **others):
        states = type(model.bert).__call__(model.bert, input_ids, attention_mask).last_hidden_state
        return SimpleNamespace(logits=model.classifier(states.std(1, correction=0)))

    monkeypatch.setattr(model, "forward", forward)
    with pytest.raises(UserError, match="reads more of the encoder's output than one vector a row"):
        taken(model, features, collate)
    assert model.base_model is model.bert
    monkeypatch.setattr(feature_extraction, "ALIKE", np.inf)
    taken(model, features, collate)


def test_an_encoder_with_new_weights_is_refused():
    model, *_ = prepared("bert")
    check(model, ["classifier.weight", "classifier.bias"])
    with pytest.raises(UserError, match=r"not have bert\.pooler\.dense\.bias, so the"):
        check(model, ["bert.pooler.dense.bias", "classifier.weight"])
