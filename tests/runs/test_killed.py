"""SIGKILL at any moment leaves no half-written result, and the run can be brought to its end."""

from __future__ import annotations

import json
import multiprocessing
import random
import time

import pytest
from conftest import TINY_BERT, topic_rows, write_jsonl

from nlpbench import models
from nlpbench.config.load import loads
from nlpbench.config.yaml12 import dump
from nlpbench.results.record import read
from nlpbench.results.run_directory import state_of
from nlpbench.runs.finetune import finetune

ROWS = 18


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    data = tmp_path_factory.mktemp("data")
    for name, count, offset in (("train", 48, 0), ("validation", 15, 100), ("test", ROWS, 200)):
        write_jsonl(data / f"{name}.jsonl", topic_rows(count, offset))
    values = {
        "seed": 1,
        "model": {"config": TINY_BERT, "tokenizer": {"train": {"vocab_size": 300}}},
        "data": {"source": str(data)},
        "task": {"name": "text-classification", "max_length": 32},
        "training": {
            "num_train_epochs": 4,
            "learning_rate": 0.005,
            "effective_batch_size": 8,
            "precision": "fp32",
        },
        "evaluation": {"efficiency": False, "resamples": 100},
    }
    return loads(dump(values))


@pytest.fixture(scope="module")
def processes():
    """Starts processes that have everything imported, so that a kill meets the run, not Python."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["nlpbench.runs.finetune", "nlpbench.training.fit", "nlpbench.training.callbacks"]
    )
    warm_up = context.Process(target=print)
    warm_up.start()
    warm_up.join()
    return context


def start(processes, config, directory):
    process = processes.Process(target=finetune, args=(config, directory), daemon=True)
    process.start()
    return process


@pytest.fixture(scope="module")
def whole(config, processes, tmp_path_factory):
    """An unbroken run, and the seconds it takes."""
    directory = tmp_path_factory.mktemp("whole") / "run"
    began = time.perf_counter()
    process = start(processes, config, directory)
    process.join()
    assert process.exitcode == 0
    return directory, time.perf_counter() - began


def is_whole(directory):
    """Each result is either absent or complete; returns the names of those that are there."""
    found = {path.name for path in directory.iterdir()} if directory.exists() else set()
    if "config.yaml" in found:
        loads((directory / "config.yaml").read_text())
    if "model" in found:
        tokenizer = models.load_tokenizer(str(directory))
        loaded = models.load_finetuned(
            str(directory), None, "AutoModelForSequenceClassification", tokenizer, 32
        )
        assert loaded.fresh == ()
    if "predictions.jsonl" in found:
        assert "model" in found
        text = (directory / "predictions.jsonl").read_text()
        assert text.endswith("\n")
        assert [json.loads(line)["id"] for line in text.splitlines()] == list(range(ROWS))
    if "record.json" in found:
        assert {"model", "predictions.jsonl", "config.yaml"} <= found
        read(directory)
    return found


def kill_and_go_on(processes, config, whole, directory, delay):
    unbroken, _ = whole
    process = start(processes, config, directory)
    time.sleep(delay)
    process.kill()
    process.join()
    is_whole(directory)
    state = state_of(directory, config.resolved())
    if state != "finished":
        finetune(config, directory, resume=state == "unfinished")
    found = is_whole(directory)
    assert found == {path.name for path in unbroken.iterdir()} or state == "finished"
    assert (directory / "predictions.jsonl").read_text() == (
        unbroken / "predictions.jsonl"
    ).read_text()
    assert read(directory).scores == read(unbroken).scores


@pytest.mark.parametrize("share", [0.4, 0.7, 0.95])
def test_killed(processes, config, whole, tmp_path, share):
    kill_and_go_on(processes, config, whole, tmp_path / "run", share * whole[1])


@pytest.mark.slow
@pytest.mark.parametrize("number", range(24))
def test_killed_at_any_moment(processes, config, whole, tmp_path, number):
    share = (number + random.Random(number).random()) / 24
    kill_and_go_on(processes, config, whole, tmp_path / "run", share * whole[1])


@pytest.mark.slow
def test_killed_again_and_again(processes, config, whole, tmp_path):
    """Every attempt is killed, at another moment, until one gets to the end."""
    directory, _ = tmp_path / "run", whole[1]
    chance = random.Random(0)
    for _ in range(30):
        state = state_of(directory, config.resolved())
        if state == "finished":
            break
        arguments = (config, directory, state == "unfinished")
        process = processes.Process(target=finetune, args=arguments, daemon=True)
        process.start()
        process.join(whole[1] * chance.uniform(0.3, 1.1))
        process.kill()
        process.join()
        is_whole(directory)
    else:
        finetune(config, directory, resume=True)
    assert (directory / "predictions.jsonl").read_text() == (
        whole[0] / "predictions.jsonl"
    ).read_text()
