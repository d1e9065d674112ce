"""Which rows an epoch draws and in which order; the same again after a resume."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import skip_first_batches
from accelerate.data_loader import prepare_data_loader
from conftest import topic_rows, write_jsonl
from safetensors.torch import load_file
from torch.utils.data import DataLoader
from transformers import TrainerState

from nlpbench.config.load import loads
from nlpbench.config.training import TrainingSection
from nlpbench.config.yaml12 import dump
from nlpbench.runs.finetune import finetune
from nlpbench.training import fit as fitting
from nlpbench.training.sampling import FollowEpoch, TrainSampler, train_sampler

LENGTHS = np.random.default_rng(0).integers(3, 60, 1000)
LABELS = np.array([0] * 900 + [1] * 75 + [3] * 25)  # no row has class 2


def sampler(seed=1, lengths=LENGTHS, labels=LABELS, batch_size=8, **training):
    section = TrainingSection.model_validate(training)
    return train_sampler(section, list(lengths), labels, batch_size, seed)


def padded_share(order, lengths, batch_size):
    batches = [lengths[order[i : i + batch_size]] for i in range(0, len(order), batch_size)]
    return 1 - sum(map(np.sum, batches)) / sum(len(batch) * batch.max() for batch in batches)


STRATEGIES = [
    {"train_sampling_strategy": "group_by_length"},
    {"train_sampling_strategy": "random"},
    {"train_sampling_strategy": "group_by_length", "weighted_sampling": True},
    {"train_sampling_strategy": "random", "weighted_sampling": True},
]


@pytest.mark.parametrize("rows", [1, 7, 8, 9, 31, 32, 33, 1000])
@pytest.mark.parametrize("strategy", ["group_by_length", "random", "sequential"])
def test_an_epoch_has_every_row_once(strategy, rows):
    drawn = sampler(lengths=LENGTHS[:rows], train_sampling_strategy=strategy)
    assert len(drawn) == rows
    assert sorted(drawn) == list(range(rows))
    assert all(type(row) is int for row in drawn)


@pytest.mark.parametrize("training", STRATEGIES)
def test_seed_and_epoch_decide_the_order(training):
    one, same, other = sampler(1, **training), sampler(1, **training), sampler(2, **training)
    first = list(one)
    torch.manual_seed(5)
    np.random.seed(5)
    assert list(same) == first
    assert list(one) == first
    one.set_epoch(1)
    second = list(one)
    assert second != first
    assert list(other) not in (first, second)
    one.set_epoch(0)
    assert list(one) == first


def test_in_sequence_every_epoch_is_alike():
    drawn = sampler(train_sampling_strategy="sequential")
    assert list(drawn) == list(range(1000))
    drawn.set_epoch(3)
    assert list(drawn) == list(range(1000))


@pytest.mark.parametrize("weighted", [False, True])
def test_grouped_batches_have_rows_of_like_length(weighted):
    training = {"weighted_sampling": weighted}
    grouped = sampler(**training).order(0)
    mixed = sampler(train_sampling_strategy="random", **training).order(0)
    assert padded_share(grouped, LENGTHS, 8) < 0.05
    assert padded_share(mixed, LENGTHS, 8) > 0.35


def test_the_longest_batch_comes_first_and_the_others_in_any_order():
    order = sampler().order(0)
    longest = LENGTHS[order].reshape(-1, 8).max(axis=1)
    assert longest[0] == LENGTHS.max()
    falls = np.diff(longest[1:]) < 0
    assert 0.3 < falls.mean() < 0.7


def test_an_incomplete_batch_comes_last():
    lengths = LENGTHS[:997]
    order = sampler(lengths=lengths).order(0)
    assert padded_share(order[:992], lengths, 8) < 0.05


def test_weighted_sampling_draws_every_class_as_often():
    counts = np.zeros(4)
    for epoch in range(20):
        drawn = sampler(weighted_sampling=True).order(epoch)
        assert len(drawn) == 1000
        counts += np.bincount(LABELS[drawn], minlength=4)
    assert counts[2] == 0
    # a third of 20,000 draws has a standard deviation of 67
    assert counts[[0, 1, 3]] == pytest.approx(20000 / 3, abs=300)
    plain = np.bincount(LABELS[sampler().order(0)], minlength=4)
    assert plain.tolist() == [900, 75, 0, 25]


def test_weighted_sampling_draws_the_rows_of_a_class_alike():
    drawn = np.concatenate([sampler(weighted_sampling=True).order(epoch) for epoch in range(30)])
    counts = np.bincount(drawn, minlength=1000)[975:]  # the 25 rows of a rare class
    assert counts == pytest.approx(400, abs=100)


@pytest.mark.realdata
@pytest.mark.parametrize("weighted", [False, True])
def test_less_than_a_tenth_of_sst2_is_padding(weighted):
    place = Path(os.environ["NLPBENCH_DATA"]) / "sst2" / "train.jsonl.gz"
    with gzip.open(place, "rt", encoding="utf-8") as stream:
        rows = [json.loads(line) for line in stream]
    # words and marks; a subword tokenizer makes a few more, spread alike
    lengths = np.array([len(row["sentence"].split()) + 2 for row in rows])
    labels = np.array([row["label"] for row in rows])
    order = sampler(
        lengths=lengths, labels=labels, batch_size=32, weighted_sampling=weighted
    ).order(0)
    assert padded_share(order, lengths, 32) < 0.1


@pytest.fixture
def run(tmp_path):
    """Fine-tunes on skewed rows; may be broken off at one of its evaluations."""
    rows = [row for row in topic_rows(72) if row["label"] != "birds" or row["length"] == 2]
    write_jsonl(tmp_path / "data" / "train.jsonl", rows)
    write_jsonl(tmp_path / "data" / "validation.jsonl", topic_rows(9, 100))
    write_jsonl(tmp_path / "data" / "test.jsonl", topic_rows(9, 200))

    def go(tiny_config, name, resume=False, **training):
        values = {
            **tiny_config,
            "data": {"source": str(tmp_path / "data")},
            "training": {
                **tiny_config["training"],
                "num_train_epochs": 3,
                "weighted_sampling": True,
                "eval_strategy": "steps",
                "eval_steps": 4,
                "load_best_model_at_end": False,
                **training,
            },
        }
        [record] = finetune(loads(dump(values)), tmp_path / name, resume)
        return record, load_file(tmp_path / name / "model" / "model.safetensors")

    return go


@pytest.fixture
def broken_off_in_the_second_epoch(run, tiny_config, monkeypatch):
    """A run of 7 steps an epoch, killed at step 12, after its checkpoint at step 8."""
    original, calls = fitting.validate, []

    def evaluate(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(fitting, "validate", evaluate)
        with pytest.raises(KeyboardInterrupt):
            run(tiny_config, "broken")


def same(one, two):
    return all(torch.equal(one[key], two[key]) for key in one)


def test_a_resumed_run_draws_the_same_rows(run, tiny_config, broken_off_in_the_second_epoch):
    resumed, mine = run(tiny_config, "broken", resume=True)
    whole, expected = run(tiny_config, "whole")
    assert resumed.training["resumed_from_step"] == 8
    assert whole.training["steps"] == resumed.training["steps"] == 21
    assert same(mine, expected)
    _, unweighted = run(tiny_config, "unweighted", weighted_sampling=False)
    assert not same(expected, unweighted)


def test_a_resumed_run_that_does_not_know_its_epoch_draws_others(
    run, tiny_config, broken_off_in_the_second_epoch, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(TrainSampler, "set_epoch", lambda self, epoch: None)
        _, mine = run(tiny_config, "broken", resume=True)
    _, expected = run(tiny_config, "whole")
    assert not same(mine, expected)


def rows_of(process, drawn, epoch, skipped=0, follow=True):
    loader = prepare_data_loader(
        DataLoader(range(1000), batch_size=4, sampler=drawn, collate_fn=list),
        num_processes=2,
        process_index=process,
    )
    if skipped:
        loader = skip_first_batches(loader, skipped)
    if follow:
        FollowEpoch(drawn).on_epoch_begin(None, TrainerState(epoch=epoch + 0.016), None)
    loader.set_epoch(epoch)
    return list(loader)


@pytest.mark.parametrize("training", STRATEGIES)
def test_processes_share_every_batch_also_after_a_resume(training):
    whole = [rows_of(process, sampler(**training), epoch=1) for process in (0, 1)]
    order = sampler(**training).order(1)
    together = [one + two for one, two in zip(*whole, strict=True)]
    assert together == order.reshape(-1, 8).tolist()
    for process in (0, 1):
        resumed = rows_of(process, sampler(**training), epoch=1, skipped=2)
        assert resumed == whole[process][2:]


def test_a_resumed_process_that_nobody_tells_the_epoch_reads_another_one():
    whole = rows_of(0, sampler(), epoch=1)
    assert rows_of(0, sampler(), epoch=1, skipped=2, follow=False) != whole[2:]


def test_the_batches_of_an_epoch_are_not_those_of_another():
    def batches(epoch):
        return {frozenset(batch) for batch in sampler().order(epoch).reshape(-1, 8).tolist()}

    assert not batches(0) & batches(1)
