"""A micro-batch that does not fit is halved; what the optimiser sees stays as it was."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from conftest import TINY_BERT
from safetensors.torch import load_file
from transformers import BertForSequenceClassification

from nlpbench.config.errors import RunError
from nlpbench.config.load import loads
from nlpbench.config.yaml12 import dump
from nlpbench.evaluation import memory
from nlpbench.evaluation.memory import in_pieces, largest_that_fits
from nlpbench.runs.finetune import finetune

NO_DROPOUT = {**TINY_BERT, "hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0}


@pytest.fixture
def run(tiny_config, tmp_path):
    def go(name, **training):
        values = {
            **tiny_config,
            "model": {"config": NO_DROPOUT, "tokenizer": {"train": {"vocab_size": 300}}},
            "training": {**tiny_config["training"], "effective_batch_size": 16, **training},
        }
        [record] = finetune(loads(dump(values)), tmp_path / name)
        return load_file(tmp_path / name / "model" / "model.safetensors"), record

    return go


@pytest.fixture
def memory_for(monkeypatch):
    """Lets forward passes of more rows fail as a device without memory does, after `good` passes."""
    original = BertForSequenceClassification.forward
    rows_seen = []

    def limit(rows, good=0, training_only=True):
        left = [good]

        def forward(self, input_ids, **kwargs):
            rows_seen.append((self.training, len(input_ids)))
            if len(input_ids) > rows and (self.training or not training_only):
                if left[0] <= 0:
                    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
                left[0] -= 1
            return original(self, input_ids, **kwargs)

        monkeypatch.setattr(BertForSequenceClassification, "forward", forward)
        return rows_seen

    return limit


def distance(one, two):
    difference = torch.cat([(one[key] - two[key]).flatten() for key in one])
    return difference.norm() / torch.cat([value.flatten() for value in one.values()]).norm()


@pytest.mark.parametrize("good", [0, 2])
def test_the_micro_batch_is_halved_and_the_result_is_the_same(run, memory_for, caplog, good):
    whole, expected = run("whole")
    rows_seen = memory_for(5, good)
    with caplog.at_level(logging.WARNING):
        halved, record = run("halved")
    assert distance(whole, halved) < 1e-4
    assert max(rows for training, rows in rows_seen[-8:] if training) == 4
    assert record.training["micro_batch_size"] == 4
    assert record.training["gradient_accumulation_steps"] == 4
    assert expected.training["micro_batch_size"] == 16
    assert record.training["steps"] == expected.training["steps"]
    step = 1 + good
    assert caplog.messages == [
        f"step {step}: 16 rows at a time do not fit into memory; going on with 8",
        f"step {step}: 8 rows at a time do not fit into memory; going on with 4",
    ]


def test_gradients_of_the_failed_attempt_are_forgotten(run, memory_for, monkeypatch):
    """The first of two micro-batches has gone through when the second fails."""
    options = {"max_steps": 1, "eval_strategy": "no", "per_device_train_batch_size": 8}
    options["arguments"] = {"optim": "sgd"}
    expected, _ = run("expected", **options)
    memory_for(4, good=1)
    halved, _ = run("halved", **options)
    assert distance(expected, halved) < 1e-6
    memory_for(4, good=1)
    monkeypatch.setattr(torch.nn.Module, "zero_grad", lambda self: None)
    kept, _ = run("kept", **options)
    assert distance(expected, kept) > 1e-5


def test_without_the_guard_the_run_fails(run, memory_for, monkeypatch):
    monkeypatch.setattr(memory, "is_out_of_memory", lambda error: False)
    memory_for(4)
    with pytest.raises(torch.OutOfMemoryError):
        run("run")


def test_a_single_row_that_does_not_fit(run, memory_for):
    memory_for(0)
    with pytest.raises(RunError, match="a single row does not fit into memory"):
        run("run")


def test_auto_finds_the_most_rows_that_fit(run, memory_for, caplog):
    whole, _ = run("whole")
    rows_seen = memory_for(9)
    caplog.clear()
    found, record = run("auto", per_device_train_batch_size="auto")
    assert record.training["micro_batch_size"] == 8
    assert not [message for message in caplog.messages if "do not fit" in message]
    assert [rows for training, rows in rows_seen if training][:2] == [16, 8]
    assert distance(whole, found) < 1e-4


def test_auto_changes_neither_weights_nor_random_numbers(run):
    plain, _ = run("plain")
    probed, _ = run("probed", per_device_train_batch_size="auto")
    assert all(torch.equal(plain[key], probed[key]) for key in plain)


def test_evaluation_halves_its_own_batch(run, memory_for, tmp_path):
    run("whole", num_train_epochs=1)
    rows_seen = memory_for(3, training_only=False)
    run("halved", num_train_epochs=1, per_device_train_batch_size=2)
    assert max(rows for training, rows in rows_seen[-4:] if not training) <= 3
    whole, halved = (
        (tmp_path / name / "predictions.jsonl").read_text().splitlines()
        for name in ("whole", "halved")
    )
    assert [line[:60] for line in whole] == [line[:60] for line in halved]


def full(size):
    raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")


def test_what_is_halved_and_how_far():
    tried = []

    def attempt(size):
        tried.append(size)
        if size > 3:
            full(size)

    assert largest_that_fits(20, attempt) == 3
    assert tried == [20, 10, 5, 3]
    assert largest_that_fits(2, attempt) == 2
    with pytest.raises(RunError):
        largest_that_fits(4, full)
    with pytest.raises(ZeroDivisionError):
        largest_that_fits(4, lambda size: size // 0)


def test_pieces_come_in_order_and_once():
    def compute(index):
        if len(index) > 3:
            full(len(index))
        return index.tolist()

    found, size = in_pieces(np.arange(10), 8, compute)
    assert [number for piece in found for number in piece] == list(range(10))
    assert size == 2
    assert in_pieces(np.arange(3), 8, compute) == ([[0, 1, 2]], 8)
