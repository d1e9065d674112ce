"""What several processes train is what one would train, and one of them writes it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import topic_rows, write_jsonl

from nlpbench.config.errors import UserError
from nlpbench.config.training import TrainingSection
from nlpbench.results.record import read
from nlpbench.training.schedule import plan

sys.path.insert(0, str(Path(__file__).parent))
from updates import carry_out

RATE = 0.1
SMALL = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 32}
BERT_LIKE = {
    **SMALL,
    "intermediate_size": 64,
    "max_position_embeddings": 66,
    "hidden_dropout_prob": 0,
    "attention_probs_dropout_prob": 0,
}
# Dropout draws other masks when the batch is cut up.
MODELS = {
    "bert": BERT_LIKE,
    "distilbert": {
        "dim": 32,
        "n_layers": 2,
        "n_heads": 2,
        "hidden_dim": 64,
        "max_position_embeddings": 64,
        "dropout": 0,
        "attention_dropout": 0,
        "seq_classif_dropout": 0,
    },
    "roberta": BERT_LIKE,
    "albert": {**BERT_LIKE, "embedding_size": 16, "classifier_dropout_prob": 0},
    "electra": {**BERT_LIKE, "embedding_size": 16},
    "xlnet": {
        "d_model": 32,
        "n_layer": 2,
        "n_head": 2,
        "d_inner": 64,
        "dropout": 0,
        "summary_last_dropout": 0,
    },
    "gpt2": {
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 2,
        "n_positions": 64,
        "embd_pdrop": 0,
        "attn_pdrop": 0,
        "resid_pdrop": 0,
    },
}
HEADS = {
    "single": {},
    "multi": {"problem_type": "multi_label_classification", "label_column": "labels"},
    "regression": {"problem_type": "regression", "label_column": "score"},
}


def rows(count, offset=0):
    return [
        {
            **row,
            "labels": [row["label"], "long" if row["length"] > 5 else "short"],
            "score": row["length"] - 5,
        }
        for row in topic_rows(count, offset)
    ]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """33 rows: a batch of 32, and one of a single row, which leaves the second process nothing."""
    folder = tmp_path_factory.mktemp("data")
    for name, count, offset in (("train", 33, 0), ("validation", 7, 100), ("test", 6, 200)):
        write_jsonl(folder / f"{name}.jsonl", rows(count, offset))
    return folder


@pytest.fixture(scope="module")
def config(data):
    def make(model="bert", head="single", micro=None, **training):
        return {
            "seed": 1,
            "model": {
                "config": {"model_type": model, **MODELS[model]},
                "tokenizer": {"train": {"vocab_size": 300}},
            },
            "data": {"source": str(data)},
            "task": {"name": "text-classification", "max_length": 32, **HEADS[head]},
            "training": {
                "max_steps": 2,
                "learning_rate": RATE / 1000 if head == "regression" else RATE,
                "lr_scheduler_type": "constant",
                "max_grad_norm": None,
                "effective_batch_size": 32,
                "precision": "fp32",
                "logging_steps": 1,
                "load_best_model_at_end": False,
                "arguments": {"optim": "sgd"},
                **({"per_device_train_batch_size": micro} if micro else {}),
                **training,
            },
            "evaluation": {"efficiency": False, "resamples": 100, "batch_size": 4},
        }

    return make


def free_port():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def in_processes(jobs, folder, count=2):
    """What each of `count` processes found, by rank."""
    folder.mkdir(exist_ok=True)
    (folder / "jobs.json").write_text(json.dumps(jobs))
    env = {**os.environ, "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    env |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(free_port())}
    script = Path(__file__).with_name("updates.py")
    started = []
    for rank in range(count):
        with (folder / f"{rank}.log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, script, folder / "jobs.json", folder],
                env={**env, "RANK": str(rank), "LOCAL_RANK": str(rank)},
                stderr=log,
            )
        started.append(process)
    try:
        codes = [process.wait(timeout=200) for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()
    assert codes == [0] * count, [(folder / f"{rank}.log").read_text() for rank in range(count)]
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(count)]


def alone(config, folder):
    folder.mkdir()
    return carry_out({"config": config}, folder)


def apart(one, other):
    """The difference of two updates, by the size of the first."""
    assert one["update"].norm() > 0
    return float((one["update"] - other["update"]).norm() / one["update"].norm())


def check_the_same(whole, parts):
    assert apart(whole, parts) < 1e-5
    assert parts["losses"] == pytest.approx(whole["losses"], rel=1e-5)
    assert parts["validation"] == pytest.approx(whole["validation"], rel=1e-5)


@pytest.mark.slow
def test_one_times_32_four_times_8_and_two_times_16_are_the_same_step(config, tmp_path):
    pairs = [(model, head) for model in MODELS for head in HEADS]
    jobs = [{"name": f"{model}-{head}", "config": config(model, head)} for model, head in pairs]
    both = in_processes(jobs, tmp_path / "both")
    for model, head in pairs:
        name = f"{model}-{head}"
        whole = alone(config(model, head), tmp_path / f"{name}-32")
        parts = alone(config(model, head, micro=8), tmp_path / f"{name}-8")
        assert parts["record"]["gradient_accumulation_steps"] == 4
        check_the_same(whole, parts)
        for of_one in both:
            assert of_one[name]["record"]["micro_batch_size"] == 16
            check_the_same(whole, of_one[name])


@pytest.fixture(scope="module")
def pair(config, tmp_path_factory):
    """What two processes found by several configs, in one go to save their start."""
    shuffled = {"train_sampling_strategy": "random", "num_train_epochs": 2, "max_steps": None}
    configs = {
        "plain": config(),
        "micro": config(micro=8),
        "gpt2": config("gpt2", "multi"),
        "own targets": config(),
        "rows repeated": config(),
        "shuffled": config(**shuffled, effective_batch_size=8),
        "evaluated": config(**shuffled, effective_batch_size=8, evaluate_first=True),
        "prepared": config(evaluate_first=True),
        "unfreezing": config(
            num_train_epochs=3, max_steps=None, gradual_unfreezing={"epochs_per_layer": 1}
        ),
        "weighted": config(class_weights="balanced", max_steps=1),
    }
    patches = {
        "own targets": "own_targets_only",
        "rows repeated": "rows_repeated",
        "prepared": "prepared_for_evaluation",
    }
    jobs = [
        {"name": name, "config": values, "patch": patches.get(name)}
        for name, values in configs.items()
    ]
    found = in_processes(jobs, tmp_path_factory.mktemp("pair"))
    return {name: [of_one[name] for of_one in found] for name in configs}, configs


@pytest.fixture(scope="module")
def single(pair, tmp_path_factory):
    """What one process finds by the same configs."""
    kept = {}

    def find(name):
        if name not in kept:
            kept[name] = alone(pair[1][name], tmp_path_factory.mktemp("single") / "run")
        return kept[name]

    return find


@pytest.mark.parametrize(
    "name", ["plain", "micro", "gpt2", "shuffled", "evaluated", "unfreezing", "weighted"]
)
def test_two_processes_take_the_steps_of_one(pair, single, name):
    for of_one in pair[0][name]:
        check_the_same(single(name), of_one)


def test_a_step_has_the_same_rows_on_one_process_and_on_two(pair, single):
    first, second = pair[0]["shuffled"]
    assert {len(rows) for rows in [*first["rows"].values(), *second["rows"].values()]} == {4, 1, 0}
    together = {step: sorted(rows + second["rows"][step]) for step, rows in first["rows"].items()}
    assert together == single("shuffled")["rows"]


def test_evaluating_first_leaves_data_order_and_gradients_alone(pair):
    plain, evaluated = pair[0]["shuffled"], pair[0]["evaluated"]
    for before, after in zip(plain, evaluated, strict=True):
        assert after["rows"] == before["rows"]
        assert apart(before, after) == 0
        assert len(after["validation"]) == len(before["validation"]) + 1


def test_ranks_have_equal_weights_in_the_end(pair):
    for name in ("plain", "shuffled", "evaluated", "unfreezing"):
        first, second = pair[0][name]
        assert (first["update"] == second["update"]).all()


def test_without_the_targets_of_the_others_the_step_is_another_one(pair, single):
    assert apart(single("plain"), pair[0]["own targets"][0]) > 1e-2


def test_with_rows_repeated_to_fill_a_batch_up_the_step_is_another_one(pair, single):
    assert apart(single("plain"), pair[0]["rows repeated"][0]) > 1e-2


def test_a_model_prepared_for_evaluation_loses_the_gradients_of_the_others(pair):
    first, second = pair[0]["prepared"]
    assert apart(first, second) > 1e-2


@pytest.fixture(scope="module")
def spread(config, tmp_path_factory):
    """What two processes found that spread the model between them."""
    configs = {
        "whole": config(fsdp="full_shard", load_best_model_at_end=True),
        "micro": config(fsdp="full_shard", micro=8),
        "gradients": config("gpt2", fsdp="shard_grad_op"),
        "clipped": config(fsdp={"reshard_after_forward": True}, max_grad_norm=0.01),
    }
    jobs = [{"name": name, "config": values} for name, values in configs.items()]
    found = in_processes(jobs, tmp_path_factory.mktemp("spread"))
    return {name: [of_one[name] for of_one in found] for name in configs}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "of_one_process"),
    [
        ("whole", {}),
        ("micro", {}),
        ("gradients", {"model": "gpt2"}),
        ("clipped", {"max_grad_norm": 0.01}),
    ],
)
def test_a_spread_model_takes_the_same_steps(config, spread, tmp_path, name, of_one_process):
    expected = alone(config(**of_one_process), tmp_path / "run")
    for found in spread[name]:
        check_the_same(expected, found)


@pytest.fixture(scope="module")
def resumed(config, tmp_path_factory):
    """An unbroken run, and one that was broken off in the middle of its second epoch, with dropout."""
    values = config(
        max_steps=10,
        effective_batch_size=8,
        eval_strategy="steps",
        eval_steps=2,
        train_sampling_strategy="random",
        arguments={},
        learning_rate=0.001,
    )
    values["model"]["config"] |= {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
    jobs = [
        {"name": "unbroken", "config": values},
        {"name": "broken off", "config": values, "broken_off_after": 8},
    ]
    folder = tmp_path_factory.mktemp("resumed")
    return in_processes(jobs, folder), folder, values


@pytest.mark.slow
def test_a_resumed_run_of_two_processes_ends_as_the_unbroken_one(resumed):
    for of_one in resumed[0]:
        unbroken, broken_off = of_one["unbroken"], of_one["broken off"]
        assert broken_off["record"]["resumed_from_step"] == 8
        assert list(broken_off["rows"]) == [9, 10]
        assert broken_off["rows"] == {step: unbroken["rows"][step] for step in (9, 10)}
        assert (broken_off["update"] == unbroken["update"]).all()
        assert broken_off["losses"] == unbroken["losses"]
        assert broken_off["validation"] == unbroken["validation"]


@pytest.mark.slow
def test_dropout_differs_between_the_processes_and_their_weights_do_not(resumed):
    (first, second), folder, _ = resumed
    assert (first["unbroken"]["update"] == second["unbroken"]["update"]).all()
    [*_, states] = sorted((folder / "run-0" / "checkpoints").glob("checkpoint-*"))
    one, other = (
        torch.load(states / f"rng_state_{rank}.pth", weights_only=False)["cpu"] for rank in (0, 1)
    )
    assert not torch.equal(one, other)


@pytest.mark.slow
def test_another_number_of_processes_does_not_go_on(resumed):
    _, folder, values = resumed
    with pytest.raises(UserError) as caught:
        carry_out({"config": values}, folder / "run-0", resume=True)
    assert "another number of processes (2 then, 1 now)" in str(caught.value)


def test_fewer_rows_than_processes_are_refused():
    section = TrainingSection(effective_batch_size=8)
    with pytest.raises(UserError) as caught:
        plan(section, rows=3, processes=4)
    assert "3 training rows cannot be shared out to 4 processes" in str(caught.value)


@pytest.mark.realdata
@pytest.mark.slow
def test_two_processes_reach_the_score_of_one_on_real_data(nlpbench, tmp_path):
    """Film reviews (SST-2) after 60 steps: the score of each lies in the interval of the other."""
    config = Path(__file__).parents[2] / "configs" / "text_classification" / "sst2_minilm.yaml"
    overrides = [
        "training.max_steps=60",
        "data.max_samples.train=4000",
        "evaluation.metrics=[accuracy, f1]",
        "evaluation.efficiency=false",
    ]
    runs = []
    for count in (1, 2):
        place = tmp_path / str(count)
        nlpbench("finetune", config, *overrides, "--processes", count, "-o", place, "-q")
        runs.append(read(place))
    one, two = runs
    assert two.training["processes"] == 2
    for key, score in one.scores.items():
        other = two.scores[key]
        assert score.low <= other.value <= score.high
        assert other.low <= score.value <= other.high
    assert two.scores["accuracy"].value > 0.75
