"""Training: the checkpoint that is kept, when it stops, what it writes, and going on after a kill."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerControl, TrainerState

from nlpbench import models
from nlpbench.config.errors import RunError, UserError
from nlpbench.config.load import loads
from nlpbench.config.yaml12 import dump
from nlpbench.runs.finetune import finetune
from nlpbench.tasks.text_classification import TextClassification
from nlpbench.training import fit as fitting
from nlpbench.training.arguments import training_arguments
from nlpbench.training.callbacks import EarlyStopping
from nlpbench.training.precision import Precision
from nlpbench.training.schedule import plan
from nlpbench.training.trainer import BenchTrainer


def weights(directory):
    return load_file(directory / "model" / "model.safetensors")


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def history(directory):
    lines = (directory / "history.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture
def run(tiny_config, tmp_path):
    """Fine-tunes the tiny config with other training keys; returns the directory and the record."""

    def go(name="run", resume=False, seed=1, task=None, evaluation=None, **training):
        values = {
            **tiny_config,
            "seed": seed,
            "task": {**tiny_config["task"], **(task or {})},
            "training": {**tiny_config["training"], **training},
            "evaluation": {**tiny_config["evaluation"], **(evaluation or {})},
        }
        [record] = finetune(loads(dump(values)), tmp_path / name, resume)
        return tmp_path / name, record

    return go


@pytest.mark.parametrize(
    ("scores", "options", "stops"),
    [
        ([1, 2, 3, 4], {"patience": 1}, None),
        ([1, 1, 1], {"patience": 2}, 3),
        ([3, 1, 2, 3.1, 2, 2], {"patience": 3}, None),
        ([3, 1, 2, 3, 2, 2], {"patience": 3}, 4),
        # Gains of 0.8 add up: the second is 1.6 above the score that the count began with.
        ([0, 0.8, 1.6, 2.4, 3.2, 4.0], {"patience": 2, "threshold": 1}, None),
        ([0, 0.4, 0.8, 1.0, 1.1], {"patience": 4, "threshold": 1}, None),
        ([0, 0.4, 0.8, 1.0, 1.0], {"patience": 4, "threshold": 1}, 5),
        ([5, 4, 3, 2], {"patience": 1, "higher_is_better": False}, None),
        ([5, 6, 4, 4, 4], {"patience": 2, "higher_is_better": False}, 5),
        ([5, 4.5, 4.1], {"patience": 2, "higher_is_better": False, "threshold": 1}, 3),
        ([math.nan, 0.1, 0.2, 0.3], {"patience": 2}, None),
        ([math.nan, math.nan], {"patience": 2}, 2),
        ([0.3, math.nan, 0.4], {"patience": 2}, None),
    ],
)
def test_early_stopping_counts(scores, options, stops):
    stopping = EarlyStopping(**{"threshold": 0, "key": "k", "higher_is_better": True, **options})
    for number, score in enumerate(scores, 1):
        control = TrainerControl()
        stopping.on_evaluate(None, TrainerState(global_step=number), control, {"k": score})
        # a resumed run has the count that the checkpoint kept
        stopping = EarlyStopping(**stopping.state()["args"])
        if control.should_training_stop:
            assert number == stops
            return
    assert stops is None


@pytest.fixture
def canned(monkeypatch):
    """Makes the evaluations say what the test wants; returns the weights at each of them."""
    seen = []

    def set_scores(*evaluations):
        left = iter(evaluations)

        def evaluate(config, materials, *_):
            seen.append({k: v.clone() for k, v in materials.model.state_dict().items()})
            return next(left)

        monkeypatch.setattr(fitting, "validate", evaluate)
        return seen

    return set_scores


REGRESSION = {"problem_type": "regression", "label_column": "length"}


@pytest.mark.parametrize(
    ("watched", "task", "key", "scores", "best"),
    [
        ("mse", REGRESSION, "mse", [3, 1, 2, 1], 1),
        ("loss", {}, "loss", [3, 2, 1, 2], 2),
        ("f1", {}, "f1_macro", [0.1, 0.3, 0.2, 0.3], 1),
        (None, {}, "f1_macro", [0.4, 0.3, 0.2, 0.3], 0),
        ("f1", {}, "f1_macro", [math.nan, 0.1, math.nan, 0.05], 1),
        ("f1", {}, "f1_macro", [math.nan] * 4, None),
    ],
)
def test_the_best_checkpoint_is_kept(run, canned, watched, task, key, scores, best):
    seen = canned(*({"loss": 1.0, key: score} for score in scores))
    directory, record = run(num_train_epochs=4, metric_for_best_model=watched, task=task)
    assert record.training["watched"] == key
    kept = len(scores) - 1 if best is None else best
    assert record.training["best_step"] == (None if best is None else 6 * (best + 1))
    assert record.training["best_value"] == (None if best is None else scores[best])
    assert same(weights(directory), seen[kept])
    assert [line[f"eval_{key}"] for line in history(directory) if f"eval_{key}" in line] == [
        None if math.isnan(score) else score for score in scores
    ]


def test_the_last_weights_are_kept_if_asked(run, canned):
    seen = canned(*({"loss": 1.0, "f1_macro": score} for score in (0.3, 0.2)))
    directory, record = run(load_best_model_at_end=False)
    assert record.training["best_step"] is None
    assert same(weights(directory), seen[-1])


def test_it_stops_early(run, canned):
    seen = canned(*({"loss": 1.0, "f1_macro": score} for score in (0.2, 0.3, 0.3, 0.1, 0.9)))
    directory, record = run(num_train_epochs=5, early_stopping_patience=2)
    assert record.training["steps"] == 24
    assert record.training["planned_steps"] == 30
    assert record.training["best_step"] == 12
    assert same(weights(directory), seen[1])


def test_a_constant_rate_is_warmed_up_to(run):
    directory, record = run(
        lr_scheduler_type="constant", warmup_steps=0.5, logging_steps=1, eval_strategy="no"
    )
    assert record.training["warmup_steps"] == 6
    rates = [line["learning_rate"] for line in history(directory) if "learning_rate" in line]
    expected = [0.005 * min(1, step / 6) for step in range(12)]
    assert rates == pytest.approx(expected, abs=1e-12)


def test_arguments_reach_transformers():
    config = loads(
        "model: {config: {model_type: bert}, tokenizer: {train: {}}}\ndata: x\n"
        "task: text-classification\nseed: 7\n"
        "training: {arguments: {optim: adafactor, adam_beta2: 0.9}}"
    )
    arguments = training_arguments(
        config, plan(config.training, 100), Precision("fp32", ""), None, Path("x")
    )
    assert arguments.optim == "adafactor"
    assert (arguments.adam_beta2, arguments.seed) == (0.9, 7)
    assert arguments.weight_decay == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"optim": "nonesuch"}, "training: transformers does not accept this: nonesuch is not"),
        ({"optim": "adamw_bnb_8bit"}, "training: You need to install `bitsandbytes`"),
    ],
)
def test_arguments_that_transformers_refuses(run, tmp_path, arguments, message):
    with pytest.raises(UserError) as caught:
        run(arguments=arguments)
    assert str(caught.value).startswith(message)
    assert not (tmp_path / "run").exists()


@pytest.fixture
def diverging(monkeypatch):
    """A loss that is not a number from a certain call on."""

    def start(call):
        original, calls = TextClassification.loss, []

        def loss(self, logits, labels):
            calls.append(1)
            total = original(self, logits, labels)
            return total * math.nan if len(calls) >= call and logits.requires_grad else total

        monkeypatch.setattr(TextClassification, "loss", loss)

    return start


def test_a_loss_that_is_not_a_number_stops_the_run(run, tmp_path, diverging):
    diverging(1)
    with pytest.raises(RunError) as caught:
        run(warmup_steps=2, train_sampling_strategy="sequential")
    message, ids, advice = re.split(r"with the ids |\): ", str(caught.value))
    assert message == "the loss became nan at step 1 (learning rate 0, rows "
    assert sorted(ids.split(", ")) == list("01234567")
    assert advice == (
        "the training has diverged; try a lower training.learning_rate, more warmup_steps, or "
        "precision: fp32"
    )
    assert not (tmp_path / "run").exists()


def test_what_was_learnt_before_it_diverged_is_kept(run, tmp_path, diverging):
    diverging(10)
    with pytest.raises(
        RunError, match=r"the loss became nan at step 9 \(learning rate 0\.0016"
    ) as caught:
        run()
    assert str(caught.value).endswith(f"; the checkpoint of step 6 is kept in {tmp_path / 'run'}")
    directory = tmp_path / "run"
    assert {path.name for path in directory.iterdir()} == {
        "config.yaml",
        "history.jsonl",
        "checkpoints",
    }
    assert (directory / "checkpoints" / "checkpoint-6" / "model.safetensors").exists()


def test_divergence_through_the_program(tiny_config, write_config, nlpbench, tmp_path):
    file = write_config(tiny_config)
    done = nlpbench("finetune", file, "-o", "run", "training.learning_rate=1e30", check=3)
    last = done.stderr.splitlines()[-1]
    beginning = (
        r"error: the [\w ]+ became \w+ at step \d+ \(learning rate [\d.e+]+, rows with the ids \d"
    )
    assert re.match(beginning, last)
    assert "Traceback" not in done.stderr


def test_the_seed_decides_everything(run):
    one, _ = run("one")
    two, _ = run("two")
    other, _ = run("other", seed=2)
    assert same(weights(one), weights(two))
    assert (one / "predictions.jsonl").read_text() == (two / "predictions.jsonl").read_text()
    assert not same(weights(one), weights(other))


def test_history(run):
    directory, _ = run(logging_steps=4)
    lines = history(directory)
    steps = [line["step"] for line in lines if "loss" in line]
    assert steps == [4, 6, 8, 12]
    assert [line["step"] for line in lines if "eval_loss" in line] == [6, 12]
    assert {"step", "epoch", "loss", "grad_norm", "learning_rate"} <= lines[0].keys()
    assert {"eval_loss", "eval_f1_macro", "eval_accuracy"} <= lines[2].keys()
    assert lines[-1]["train_loss"] == pytest.approx(
        sum(
            line["loss"] * width
            for line, width in zip([x for x in lines if "loss" in x], (4, 2, 2, 4), strict=True)
        )
        / 12,
        rel=1e-3,
    )


@pytest.mark.parametrize("task", [{}, REGRESSION])
def test_an_evaluation_in_training_is_the_one_after_it(run, task):
    """group_by_length in training, another batch order: still the same numbers, to the last digit."""
    directory, record = run(num_train_epochs=3, task=task, evaluation={"split": "validation"})
    [line] = [
        line
        for line in history(directory)
        if line["step"] == record.training["best_step"] and "eval_loss" in line
    ]
    scores = {key: score.value for key, score in record.scores.items()}
    assert {key: line[f"eval_{key}"] for key in scores} == scores


@pytest.mark.parametrize("guarded", [True, False])
def test_scores_of_a_training_in_bf16_are_those_of_fp32_as_well(run, monkeypatch, guarded):
    if not guarded:
        monkeypatch.setattr(BenchTrainer, "_plain_model", lambda self: nullcontext())
    evaluation = {"split": "validation", "metrics": ["brier"]}
    _, record = run(precision="bf16", metric_for_best_model="brier", evaluation=evaluation)
    assert (record.training["best_value"] == record.scores["brier"].value) is guarded


@pytest.mark.parametrize("strategy", ["group_by_length", "random", "sequential"])
def test_predictions_keep_the_order_of_the_data(run, topics, strategy):
    directory, _ = run(train_sampling_strategy=strategy, max_steps=1, eval_strategy="no")
    rows = [json.loads(line) for line in (directory / "predictions.jsonl").read_text().splitlines()]
    test = [json.loads(line) for line in (topics / "test.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == list(range(18))
    assert [row["reference"] for row in rows] == [row["label"] for row in test]


@pytest.fixture
def broken_off(run, monkeypatch):
    """A run that ends after training, before its model is saved, then goes on."""

    def go(name, **training):
        def fail(*_):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(models, "save", fail)
            with pytest.raises(KeyboardInterrupt):
                run(name, **training)
        return run(name, resume=True, **training)

    return go


@pytest.mark.parametrize(
    "training",
    [
        {"num_train_epochs": 3},
        {"num_train_epochs": 3, "load_best_model_at_end": False},
        {"max_steps": 8, "eval_strategy": "steps", "eval_steps": 3},
        {
            "max_steps": 8,
            "eval_strategy": "steps",
            "eval_steps": 3,
            "load_best_model_at_end": False,
        },
        {"num_train_epochs": 0.5},
        {"num_train_epochs": 9, "early_stopping_patience": 1, "early_stopping_threshold": 0.3},
        {"num_train_epochs": 2, "eval_strategy": "no"},
    ],
)
def test_a_finished_training_takes_no_more_steps(run, broken_off, training):
    """Killed between the last step and the saved model: the Trainer would go on training."""
    whole, expected = run("whole", **training)
    parts, record = broken_off("parts", **training)
    assert same(weights(whole), weights(parts))
    assert (whole / "predictions.jsonl").read_text() == (parts / "predictions.jsonl").read_text()
    for key in ("steps", "best_step", "best_value"):
        assert record.training[key] == expected.training[key], key
    assert record.scores == expected.scores


def test_a_moved_run_finds_its_best_checkpoint(run, canned, tmp_path, monkeypatch):
    evaluations = [{"loss": 1.0, "f1_macro": score} for score in (0.5, 0.4, 0.3)]
    seen = canned(*evaluations[:2], KeyboardInterrupt)
    original = fitting.validate

    def interrupted(*arguments):
        found = original(*arguments)
        if found is KeyboardInterrupt:
            raise found
        return found

    monkeypatch.setattr(fitting, "validate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run("here", num_train_epochs=3)
    (tmp_path / "here").rename(tmp_path / "there")
    canned(evaluations[2])
    directory, record = run("there", resume=True, num_train_epochs=3)
    assert record.training["best_step"] == 6
    assert record.training["resumed_from_step"] == 12
    assert same(weights(directory), seen[0])


def kill_after_a_checkpoint(arguments, directory):
    process = subprocess.Popen(
        [sys.executable, "-m", "nlpbench.commands.main", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    try:
        deadline = time.monotonic() + 120
        while not list(directory.glob("checkpoints/checkpoint-*/complete.json")):
            assert process.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.002)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_a_killed_run_goes_on_as_if_nothing_had_happened(
    tiny_config, write_config, nlpbench, run, tmp_path
):
    tiny_config["training"]["num_train_epochs"] = 8
    file = write_config(tiny_config)
    kill_after_a_checkpoint(["finetune", file, "-o", tmp_path / "killed"], tmp_path / "killed")
    refused = nlpbench("finetune", file, "-o", "killed", check=2)
    assert refused.stderr.splitlines()[-1] == (
        "error: killed holds an unfinished run of this config; go on with --resume, or name a new "
        "one with --output-dir"
    )
    # a checkpoint that the kill cut short
    broken = tmp_path / "killed" / "checkpoints" / "checkpoint-47"
    broken.mkdir()
    (broken / "model.safetensors").write_bytes(b"half")
    [resumed] = finetune(loads(dump(tiny_config)), tmp_path / "killed", resume=True)
    whole, expected = run("whole", num_train_epochs=8)
    assert resumed.training["resumed_from_step"] % 6 == 0
    assert (tmp_path / "killed" / "predictions.jsonl").read_text() == (
        whole / "predictions.jsonl"
    ).read_text()
    assert same(weights(tmp_path / "killed"), weights(whole))
    assert resumed.scores == expected.scores
    steps = [line["step"] for line in history(tmp_path / "killed") if "eval_loss" in line]
    assert steps == [6 * epoch for epoch in range(1, 9)]
