"""Dropout overrides: they reach the modules of every architecture, and the saved configuration."""

from __future__ import annotations

import json

import pytest
import torch
from conftest import topic_rows
from torch import nn

from nlpbench import models
from nlpbench.config.errors import UserError
from nlpbench.config.sections import ModelSection
from nlpbench.models.dropout import override
from nlpbench.tasks.text_classification import TextClassification

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
LACKING = {"xlnet": {"attention"}, "gpt2": {"classifier"}}
KINDS = {"hidden": 0.21, "attention": 0.32, "classifier": 0.43}
TASK = TextClassification(name="text-classification", max_length=24)


def section(model_type, dropout=None, **source):
    source = source or {
        "config": {"model_type": model_type, **BARE[model_type]},
        "tokenizer": {"train": {"vocab_size": 300}},
    }
    return ModelSection(**source, dropout=dropout)


def load(model_type, dropout=None, **source):
    asked = section(model_type, dropout, **source)
    tokenizer = models.tokenizer(asked, [row["text"] for row in topic_rows(48)])
    return models.load(asked, TASK.auto_classes, TASK.head(["a", "b"]), tokenizer, 24), tokenizer


def probabilities(model):
    return {
        name: module.p for name, module in model.named_modules() if isinstance(module, nn.Dropout)
    }


def of_kind(kind, name, model):
    inside = name.startswith(f"{model.base_model_prefix}.")
    attention = name.endswith(
        ("self.dropout", "attention.dropout", "attn_dropout", "attention.attention_dropout")
    )
    found = "classifier" if not inside else "attention" if attention else "hidden"
    if model.config.model_type == "xlnet" and inside:  # one probability for all of them
        found = "hidden"
    return found == kind


@pytest.mark.parametrize("pretrained", [False, True], ids=["bare", "pretrained"])
@pytest.mark.parametrize("model_type", BARE)
def test_probabilities_reach_the_modules_and_the_saved_configuration(
    tmp_path, model_type, pretrained
):
    source = {}
    if pretrained:
        loaded, tokenizer = load(model_type)
        models.save(loaded.model, tokenizer, tmp_path / "base")
        source = {"name_or_path": str(tmp_path / "base")}
    lacking = LACKING.get(model_type, set())
    wanted = {kind: p for kind, p in KINDS.items() if kind not in lacking}
    loaded, tokenizer = load(model_type, wanted, **source)
    found = probabilities(loaded.model)
    for kind, p in wanted.items():
        names = [name for name in found if of_kind(kind, name, loaded.model)]
        assert names, f"no dropout of kind {kind} among {sorted(found)}"
        assert {name: found[name] for name in names} == dict.fromkeys(names, p)
    models.save(loaded.model, tokenizer, tmp_path / "saved")
    told = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert set(wanted.values()) <= set(filter(_is_number, told.values()))
    again, _ = load(model_type, name_or_path=str(tmp_path / "saved"))
    assert probabilities(again.model) == found


def _is_number(value):
    return isinstance(value, float)


@pytest.mark.parametrize("model_type", BARE)
def test_nought_makes_training_the_same_as_evaluation(model_type):
    lacking = LACKING.get(model_type, set())
    none, tokenizer = load(model_type, {kind: 0.0 for kind in KINDS if kind not in lacking})
    usual, _ = load(model_type, {"hidden": 0.5})
    batch = tokenizer(["robin finch", "apple pear plum"], padding=True, return_tensors="pt")
    with torch.no_grad():
        assert torch.equal(none.model.train()(**batch).logits, none.model(**batch).logits)
        assert torch.equal(none.model.train()(**batch).logits, none.model.eval()(**batch).logits)
        assert not torch.equal(
            usual.model.train()(**batch).logits, usual.model.eval()(**batch).logits
        )


def test_what_is_not_told_stays_and_a_head_without_its_own_follows_hidden():
    before = probabilities(load("bert")[0].model)
    found = probabilities(load("bert", {"hidden": 0.3})[0].model)
    assert found["dropout"] == 0.3
    changed = {name for name in found if found[name] != before[name]}
    assert changed == {name for name in found if "self.dropout" not in name}


@pytest.mark.parametrize(
    ("model_type", "kind", "message"),
    [
        (
            "xlnet",
            "attention",
            "a xlnet model has no such dropout of its own; it has hidden, class",
        ),
        ("gpt2", "classifier", "a gpt2 model has no such dropout of its own; it has hidden, atten"),
        ("t5", "attention", "it has hidden, classifier"),
    ],
)
def test_a_dropout_that_the_architecture_lacks(model_type, kind, message):
    BARE.setdefault("t5", {"d_model": 32, "num_layers": 1, "num_heads": 2, "d_ff": 32, "d_kv": 16})
    with pytest.raises(UserError, match=f"model.dropout.{kind}: .*{message}"):
        load(model_type, {kind: 0.3})


@pytest.mark.parametrize(
    ("model_type", "expected"),
    [
        (
            "bart",
            {
                "dropout": 0.21,
                "activation_dropout": 0.21,
                "attention_dropout": 0.32,
                "classifier_dropout": 0.43,
            },
        ),
        ("t5", {"dropout_rate": 0.21, "classifier_dropout": 0.43}),
        ("marian", {"dropout": 0.21, "activation_dropout": 0.21, "attention_dropout": 0.32}),
    ],
)
def test_other_architectures(model_type, expected):
    from transformers import AutoConfig

    from nlpbench.config.sections import Dropout

    config = AutoConfig.for_model(model_type)
    kinds = {kind for kind, p in KINDS.items() if p in expected.values()}
    override(config, Dropout(**{kind: KINDS[kind] for kind in kinds}))
    found = {name: getattr(config, name) for name in config.to_dict() if "dropout" in name}
    assert {name: p for name, p in found.items() if p in KINDS.values()} == expected
