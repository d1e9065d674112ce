"""NEFTune, gradient checkpointing and clipping: what each does to embeddings, calls and updates."""

from __future__ import annotations

import json
import math

import pytest
import torch
from conftest import TINY_BERT, topic_rows, write_jsonl
from transformers import AutoConfig, AutoModelForSequenceClassification

from nlpbench.config.errors import UserError
from nlpbench.config.load import loads
from nlpbench.config.yaml12 import dump
from nlpbench.runs.finetune import finetune
from nlpbench.training import activation_checkpointing
from nlpbench.training import fit as fitting

SMALL = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 32}
SUPPORTED = {
    "bert": TINY_BERT,
    "distilbert": {
        "model_type": "distilbert",
        "dim": 32,
        "n_layers": 2,
        "n_heads": 2,
        "hidden_dim": 64,
    },
    "roberta": {"model_type": "roberta", **SMALL, "intermediate_size": 64},
    "electra": {
        "model_type": "electra",
        **SMALL,
        "embedding_size": 16,
        "intermediate_size": 64,
    },
    "gpt2": {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64},
}
REFUSED = {
    "albert": {**SMALL, "embedding_size": 16, "intermediate_size": 64},
    "xlnet": {"d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 64},
}
ALIKE = ("distilbert", "roberta", "electra")  # layers like those of BERT
LAYER = {
    "bert": "bert.encoder.layer.0.attention",
    "distilbert": "distilbert.transformer.layer.0.attention",
    "roberta": "roberta.encoder.layer.0.attention",
    "electra": "electra.encoder.layer.0.attention",
    "gpt2": "transformer.h.0.attn",
}


class Kept:
    """The model of a run, its weights before and after, and what was watched meanwhile."""


@pytest.fixture
def train(tmp_path, monkeypatch):
    write_jsonl(tmp_path / "data" / "train.jsonl", topic_rows(24))
    write_jsonl(tmp_path / "data" / "validation.jsonl", topic_rows(6, 100))
    write_jsonl(tmp_path / "data" / "test.jsonl", topic_rows(6, 200))
    numbers = iter(range(100))

    def run(model="bert", watch=None, **training):
        kept = Kept()

        def watched(config, materials, directory, resume):
            kept.model = materials.model
            kept.before = {k: v.clone() for k, v in kept.model.state_dict().items()}
            if watch is not None:
                watch(kept)
            found = original(config, materials, directory, resume)
            kept.after = {k: v.clone() for k, v in kept.model.state_dict().items()}
            return found

        config = {
            "seed": 1,
            "model": {"config": SUPPORTED[model], "tokenizer": {"train": {"vocab_size": 300}}},
            "data": {"source": str(tmp_path / "data")},
            "task": {"name": "text-classification", "max_length": 24},
            "training": {
                "max_steps": 3,
                "learning_rate": 0.1,
                "lr_scheduler_type": "constant",
                "effective_batch_size": 8,
                "precision": "fp32",
                "logging_steps": 1,
                "arguments": {"optim": "sgd"},
                **training,
            },
            "evaluation": {"efficiency": False, "resamples": 100},
        }
        kept.directory = tmp_path / f"run{next(numbers)}"
        with monkeypatch.context() as patch:
            patch.setattr(fitting, "fit", watched)
            finetune(loads(dump(config)), kept.directory)
        lines = (kept.directory / "history.jsonl").read_text().splitlines()
        kept.history = [json.loads(line) for line in lines]
        return kept

    original = fitting.fit
    return run


def update(kept):
    parts = [(kept.after[key] - kept.before[key]).flatten() for key in kept.before]
    return torch.cat(parts)


def column(kept, key):
    return [line[key] for line in kept.history if key in line]


def count_calls(model_type):
    def watch(kept):
        kept.calls = 0

        def count(module, inputs):
            kept.calls += module.training

        kept.model.get_submodule(LAYER[model_type]).register_forward_pre_hook(count)

    return watch


@pytest.mark.parametrize(
    "model_type",
    [pytest.param(name, marks=[pytest.mark.slow] * (name in ALIKE)) for name in SUPPORTED],
)
def test_checkpointing_computes_twice_and_learns_the_same(train, model_type):
    kept = train(model_type, count_calls(model_type))
    again = train(model_type, count_calls(model_type), gradient_checkpointing=True)
    assert (kept.calls, again.calls) == (3, 6)
    assert update(kept).norm() > 0
    assert (update(kept) - update(again)).norm() / update(kept).norm() < 1e-6
    assert column(again, "loss") == pytest.approx(column(kept, "loss"), rel=1e-6)


def test_with_other_dropout_the_second_time_the_gradients_are_wrong(train):
    kept = train()
    careless = {"use_reentrant": False, "preserve_rng_state": False}
    wrong = train(
        gradient_checkpointing=True,
        arguments={"optim": "sgd", "activation_checkpointing_kwargs": careless},
    )
    assert (update(kept) - update(wrong)).norm() / update(kept).norm() > 1e-2


def test_a_model_that_cannot_checkpoint_is_refused():
    for model_type, options in REFUSED.items():
        config = AutoConfig.for_model(model_type, **options)
        model = AutoModelForSequenceClassification.from_config(config)
        with pytest.raises(UserError, match=f"does not offer it for {model_type} models"):
            activation_checkpointing.check(model)
        with pytest.raises(ValueError, match="does not support"):
            model.activation_checkpointing_enable()


def watch_noise(kept):
    """Keeps, for every pass, how far the embeddings are from those of the table."""
    kept.noise = []
    embeddings = kept.model.bert.embeddings
    seen = {}

    def remember(module, inputs):
        seen["ids"] = inputs[0]

    def compare(module, inputs):
        ids, found = seen["ids"], inputs[0]
        clean = torch.nn.functional.embedding(ids, embeddings.word_embeddings.weight)
        clean = clean + embeddings.token_type_embeddings.weight[0]
        clean = clean + embeddings.position_embeddings.weight[: ids.shape[1]]
        far = float((found - clean).detach().abs().max())
        kept.noise.append((module.training, far, math.sqrt(clean.shape[1] * clean.shape[2])))

    embeddings.word_embeddings.register_forward_pre_hook(remember)
    embeddings.LayerNorm.register_forward_pre_hook(compare)


def test_neftune_puts_noise_on_the_embeddings_in_training_alone(train):
    kept = train(watch=watch_noise, neftune_noise_alpha=5)
    training = [(far, scale) for on, far, scale in kept.noise if on]
    assert len(training) == 3
    for far, scale in training:
        assert 0.9 * 5 / scale < far <= 5 / scale + 1e-6
    evaluation = [far for on, far, _ in kept.noise if not on]
    assert evaluation
    assert max(evaluation) < 1e-6
    without = train(watch=watch_noise)
    assert max(far for _, far, _ in without.noise) < 1e-6


def test_neftune_changes_what_is_learnt_and_no_score(train):
    still = {"learning_rate": 1e-30}
    plain, noisy = train(**still), train(**still, neftune_noise_alpha=5)
    assert column(plain, "loss") != column(noisy, "loss")
    assert column(plain, "eval_loss") == column(noisy, "eval_loss")


def test_no_hook_of_neftune_is_left(train):
    kept = train(neftune_noise_alpha=5)
    table = kept.model.get_input_embeddings()
    assert not table._forward_hooks
    assert not hasattr(table, "neftune_noise_alpha")
    saved = AutoModelForSequenceClassification.from_pretrained(kept.directory / "model")
    assert "neftune" not in (kept.directory / "model" / "config.json").read_text()
    one = saved.train().get_input_embeddings()(torch.tensor([[5]]))
    assert torch.equal(one, saved.get_input_embeddings().weight[[5]].unsqueeze(0))


def test_clipping_bounds_the_step_and_null_leaves_it(train):
    free, wide = train(max_grad_norm=None, max_steps=1), train(max_grad_norm=1e9, max_steps=1)
    tight = train(max_grad_norm=0.01, max_steps=1)
    assert torch.equal(update(free), update(wide))
    assert update(free).norm() > 0.1 * 0.01 * 10
    assert float(update(tight).norm()) == pytest.approx(0.1 * 0.01, rel=1e-3)
    direction = torch.nn.functional.cosine_similarity(update(tight), update(free), dim=0)
    assert float(direction) == pytest.approx(1, abs=1e-4)
