"""A score before the first step, and evaluations on the way, leave the training as it was."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from nlpbench.config.load import loads
from nlpbench.config.yaml12 import dump
from nlpbench.runs.finetune import finetune
from nlpbench.training import fit as fitting


@pytest.fixture
def run(tiny_config, tmp_path):
    def go(name, **training):
        values = {**tiny_config, "training": {**tiny_config["training"], **training}}
        [record] = finetune(loads(dump(values)), tmp_path / name)
        lines = (tmp_path / name / "history.jsonl").read_text().splitlines()
        weights = load_file(tmp_path / name / "model" / "model.safetensors")
        return weights, record, [json.loads(line) for line in lines]

    return go


def same(one, two):
    return all(torch.equal(one[key], two[key]) for key in one)


LAST = {"load_best_model_at_end": False}


def test_a_baseline_row_changes_nothing_after_it(run):
    plain, _, _ = run("plain", **LAST)
    first, record, history = run("first", evaluate_first=True, **LAST)
    assert same(plain, first)
    baseline = history[0]
    assert (baseline["step"], baseline["epoch"]) == (0, 0)
    assert 0 <= baseline["eval_f1_macro"] <= 1
    assert [line["step"] for line in history if "eval_loss" in line] == [0, 6, 12]
    assert record.training["best_step"] is None


def test_evaluations_on_the_way_change_nothing(run):
    seldom, _, _ = run("seldom", eval_strategy="no")
    often, _, history = run("often", eval_strategy="steps", eval_steps=1, **LAST)
    assert len([line for line in history if "eval_loss" in line]) == 12
    assert same(seldom, often)


def test_the_baseline_is_no_checkpoint_and_no_evaluation_to_wait_for(run):
    """It is the best score here, and patience is counted from the first one after it."""
    _, record, _ = run(
        "run",
        evaluate_first=True,
        early_stopping_patience=1,
        learning_rate=1e-9,
        metric_for_best_model="loss",
    )
    assert record.training["steps"] == 12
    assert record.training["best_step"] in (6, 12)


def test_an_evaluation_that_draws_random_numbers_is_noticed(run, monkeypatch):
    plain, _, _ = run("plain", **LAST)
    evaluate = fitting.validate

    def careless(*arguments):
        torch.rand(1)
        return evaluate(*arguments)

    monkeypatch.setattr(fitting, "validate", careless)
    first, _, _ = run("first", evaluate_first=True, **LAST)
    assert not same(plain, first)
