"""What every task keeps with every architecture that can do it: the README's matrix, cell by cell."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from support import TASKS, cells, matrix, task_values
from tiny_models import CONFIGURATIONS

from nlpbench.config import registry
from nlpbench.config.load import loads
from nlpbench.config.yaml12 import dump
from nlpbench.runs.evaluate import evaluate
from nlpbench.runs.finetune import finetune
from nlpbench.runs.preparation import prepare
from nlpbench.tasks import Bundle

# What these heads leave unread: poolers, XLNet's token for masked queries, and the like.
UNREAD = re.compile(r"pooler|mask_emb|seq_summary|encoder_attn")
# Tables that are computed and never learnt.
FIXED = re.compile(r"embed_positions")
# A bias of the keys moves no attention, since softmax forgets what all keys have in common; so it
# does the bias of a score that all choices have.
MOVES_NOTHING = re.compile(r"(key|k_proj|k_lin|Wqkv|c_attn|r_w_bias|r_r_bias)(\.bias)?$")
SHARED_BIAS = re.compile(r"^(classifier|logits_proj)\.bias$")


def config_of(name: str, model_type: str):
    return loads(
        dump(
            {
                "seed": 1,
                "model": {
                    "config": {"model_type": model_type, **CONFIGURATIONS[model_type]},
                    "tokenizer": {"train": {"vocab_size": 500}},
                },
                "data": {
                    "source": f"sample:{TASKS[name][1]}",
                    "max_samples": {"train": 24, "validation": 4, "test": 6},
                },
                "task": task_values(name, model_type),
                "training": {
                    "max_steps": 2,
                    "effective_batch_size": 4,
                    "learning_rate": 0.001,
                    "precision": "fp32",
                },
                "evaluation": {"efficiency": False, "resamples": 100, "batch_size": 4},
            }
        )
    )


def test_every_task_has_its_column():
    assert set(TASKS) == set(registry.names("task"))


@pytest.mark.parametrize(("name", "model_type"), cells())
def test_gradients_reach_every_weight(name, model_type):
    config = config_of(name, model_type)
    prepared = prepare(config)
    task, model = config.task, prepared.loaded.model
    bundle = Bundle(prepared.tokenizer, model, prepared.material.labels)
    features = prepared.features["train"]
    rows = [{**row, "visit": (1, 0, place)} for place, row in enumerate(features.to_list()[:8])]
    batch = dict(task.collate(bundle, training=True)(rows))
    labels = batch.pop("labels")
    model.eval()
    outputs = task.forward(model, batch)
    pairs = zip(task.flat_logits(outputs, labels), task.flat_labels(labels), strict=True)
    loss = sum(task.loss(logits, targets) / max(1, targets.numel()) for logits, targets in pairs)
    assert torch.isfinite(loss)
    loss.backward()
    still = [
        key
        for key, weight in model.named_parameters()
        if not (FIXED.search(key) and not weight.requires_grad)
        if weight.grad is None or not weight.grad.abs().sum() > 0
    ]
    idle = [UNREAD, MOVES_NOTHING, *([SHARED_BIAS] if name == "multiple-choice" else [])]
    assert [key for key in still if not any(pattern.search(key) for pattern in idle)] == []


@pytest.mark.parametrize(("name", "model_type"), cells())
def test_a_run_is_saved_and_says_the_same_when_loaded_again(name, model_type, tmp_path):
    config = config_of(name, model_type)
    [trained] = finetune(config, tmp_path / "run")
    assert trained.training["steps"] == 2
    [again] = evaluate(config, tmp_path / "again", [str(tmp_path / "run")])
    assert again.scores == trained.scores
    said = (tmp_path / "run" / "predictions.jsonl").read_bytes()
    assert said.count(b"\n") == trained.data["test"].rows
    assert (tmp_path / "again" / "predictions.jsonl").read_bytes() == said


def test_the_readme_shows_what_is_tested_here():
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert matrix() in readme
