"""One optimiser step is the gradient of the mean loss over its rows, however the batch is cut up."""

from __future__ import annotations

import pytest
import torch
from conftest import TINY_BERT, topic_rows, write_jsonl

from nlpbench.config.load import loads
from nlpbench.config.yaml12 import dump
from nlpbench.runs.finetune import finetune
from nlpbench.training import fit as fitting

RATE = 0.1
# Dropout draws other masks when the batch is cut up.
MODELS = {
    "bert": {**TINY_BERT, "hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0},
    "gpt2": {
        "model_type": "gpt2",
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 2,
        "n_positions": 64,
        "embd_pdrop": 0,
        "attn_pdrop": 0,
        "resid_pdrop": 0,
    },
}
TASKS = {
    "single": {},
    "multi": {"problem_type": "multi_label_classification", "label_column": "labels"},
    "regression": {"problem_type": "regression", "label_column": "score"},
}


def rows(count, offset=0):
    return [
        {
            **row,
            "labels": [row["label"], "long" if row["length"] > 5 else "short"],
            # -100 is a value like any other here, and what libraries call a masked label.
            "score": -100.0 if number == 3 else row["length"] - 5,
        }
        for number, row in enumerate(topic_rows(count, offset))
    ]


@pytest.fixture
def train(tmp_path, monkeypatch):
    """Trains with plain gradient descent; returns the weights before and after, and what was read."""
    data = tmp_path / "data"
    write_jsonl(data / "train.jsonl", rows(45))
    write_jsonl(data / "validation.jsonl", rows(6, 100))
    write_jsonl(data / "test.jsonl", rows(6, 200))
    kept = {}

    def watched(config, materials, directory, resume):
        kept["materials"] = materials
        materials.model.double()  # so that small updates are not lost in the weights' last digits
        kept["before"] = {k: v.clone() for k, v in materials.model.state_dict().items()}
        fitted = original(config, materials, directory, resume)
        kept["record"] = fitted.training
        kept["after"] = {k: v.clone() for k, v in materials.model.state_dict().items()}
        return fitted

    original = fitting.fit
    monkeypatch.setattr(fitting, "fit", watched)

    def run(model, task, micro, steps=2, **training):
        config = {
            "seed": 1,
            "model": {"config": MODELS[model], "tokenizer": {"train": {"vocab_size": 300}}},
            "data": {"source": str(data)},
            "task": {"name": "text-classification", "max_length": 32, **TASKS[task]},
            "training": {
                "max_steps": steps,
                "learning_rate": RATE / 1000 if task == "regression" else RATE,
                "lr_scheduler_type": "constant",
                "max_grad_norm": 1e9,
                "effective_batch_size": 32,
                "per_device_train_batch_size": micro,
                "train_sampling_strategy": "sequential",
                "precision": "fp32",
                "eval_strategy": "no",
                "logging_steps": 1,
                "arguments": {"optim": "sgd"},
                **training,
            },
            "evaluation": {"efficiency": False, "resamples": 100},
        }
        finetune(loads(dump(config)), tmp_path / f"{model}-{task}-{micro}")
        return dict(kept)

    return run


def update(kept):
    return torch.cat([(kept["after"][k] - v).flatten() for k, v in kept["before"].items()])


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("model", MODELS)
def test_accumulation_changes_nothing(train, model, task):
    """45 rows: a full batch, and a last one of 13 rows that 8 does not divide."""
    whole, parts = train(model, task, 32), train(model, task, 8)
    assert parts["record"]["gradient_accumulation_steps"] == 4
    difference = (update(whole) - update(parts)).norm() / update(whole).norm()
    assert update(whole).norm() > 0
    assert difference < 1e-5


@pytest.mark.parametrize("task", TASKS)
def test_a_step_is_the_gradient_of_the_mean_loss(train, task):
    kept = train("bert", task, 8, steps=1)
    materials = kept["materials"]
    model = materials.model
    model.load_state_dict(kept["before"])
    batch = dict(materials.task.collate(materials.bundle)(materials.train.to_list()[:32]))
    # transformers' own head: the mean over rows, and over labels where a row has several
    outputs = model.eval()(**batch)
    model.zero_grad()
    outputs.loss.backward()
    rate = RATE / 1000 if task == "regression" else RATE
    expected = torch.cat(
        [
            torch.zeros_like(v).flatten()
            if p is None or p.grad is None
            else -rate * p.grad.flatten()
            for k, v in kept["before"].items()
            for p in [dict(model.named_parameters()).get(k)]
        ]
    )
    assert (update(kept) - expected).norm() / expected.norm() < 1e-5


def test_label_smoothing_reaches_the_loss(train):
    plain, smooth = (
        train("bert", "single", 32),
        train("bert", "single", 16, label_smoothing_factor=0.3),
    )
    assert (update(plain) - update(smooth)).norm() / update(plain).norm() > 1e-2
