"""`nlpbench evaluate --processes` says what one process says, once; `--batch-size` is the key."""

from __future__ import annotations

import json

import pytest
from conftest import TINY_BERT, topic_rows, write_jsonl

from nlpbench.config.load import loads
from nlpbench.config.yaml12 import dump
from nlpbench.results.record import read
from nlpbench.runs.finetune import finetune


def predictions(directory):
    lines = (directory / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for name, count, offset in (("train", 24, 0), ("validation", 6, 100), ("test", 18, 200)):
        write_jsonl(folder / f"{name}.jsonl", topic_rows(count, offset))
    return folder


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    place = tmp_path_factory.mktemp("runs") / "run"
    values = {
        "model": {"config": TINY_BERT, "tokenizer": {"train": {"vocab_size": 300}}},
        "data": {"source": str(data)},
        "task": {"name": "text-classification", "max_length": 32},
        "training": {"max_steps": 2, "effective_batch_size": 8, "precision": "fp32"},
        "evaluation": {"efficiency": False, "resamples": 100},
    }
    finetune(loads(dump(values)), place)
    return place


@pytest.mark.slow
def test_two_processes_say_what_one_says(nlpbench, run, tmp_path):
    told = ["evaluate", run, "evaluation.batch_size=4", "evaluation.efficiency=true"]
    nlpbench(*told, "-o", "one", "-q")
    done = nlpbench(*told, "-o", "two", "--processes", 2)
    assert done.stdout.count("f1_macro") == 1
    assert done.stderr.count("wrote two") == 1
    assert "Warning" not in done.stderr
    one, two = read(tmp_path / "one"), read(tmp_path / "two")
    assert one.scores == two.scores
    assert one.key == two.key
    assert two.efficiency["examples_per_second"] > 0
    for mine, theirs in zip(
        predictions(tmp_path / "one"), predictions(tmp_path / "two"), strict=True
    ):
        assert mine["id"] == theirs["id"]
        assert mine["prediction"] == theirs["prediction"]
        assert mine["probabilities"] == pytest.approx(theirs["probabilities"], abs=1e-6)


@pytest.mark.slow
def test_a_cell_that_fails_in_two_processes_is_told_once(nlpbench, run, data, tmp_path):
    lines = (data / "test.jsonl").read_text(encoding="utf-8").replace('"birds"', '"ships"')
    ships = tmp_path / "ships.jsonl"
    ships.write_text(lines, encoding="utf-8")
    files = [f"--data={{test: {file}}}" for file in (data / "test.jsonl", ships)]
    done = nlpbench("evaluate", run, *files, "-o", "both", "--processes", 2, check=2)
    assert done.stderr.count("ships") >= 1
    assert done.stderr.count("error:") == 1
    assert len(list((tmp_path / "both").rglob("record.json"))) == 1


def test_one_mistake_is_told_before_processes_start(nlpbench, run):
    done = nlpbench("evaluate", run, "--processes", 2, check=2, WORLD_SIZE="2", RANK="0")
    assert "--processes 2: a launcher has started this process already" in done.stderr


@pytest.mark.parametrize(("asked", "found"), [("3", 3), ("auto", "auto")])
def test_the_batch_size_is_that_of_the_config(nlpbench, run, tmp_path, asked, found):
    nlpbench("evaluate", run, "--batch-size", asked, "-o", "scored", "-q")
    assert read(tmp_path / "scored").config["evaluation"]["batch_size"] == found


def test_a_batch_size_that_is_none(nlpbench, run):
    done = nlpbench("evaluate", run, "--batch-size", "many", check=2)
    assert "must be a whole number or auto" in done.stderr


@pytest.mark.slow
def test_a_compiled_model_says_the_same(nlpbench, run, tmp_path):
    nlpbench("evaluate", run, "-o", "plain", "-q")
    done = nlpbench("evaluate", run, "evaluation.compile=true", "-o", "compiled", check=None)
    assert done.returncode == 0, done.stderr
    for mine, theirs in zip(
        predictions(tmp_path / "plain"), predictions(tmp_path / "compiled"), strict=True
    ):
        assert mine["probabilities"] == pytest.approx(theirs["probabilities"], abs=1e-5)


def test_compiling_needs_a_compiler(nlpbench, run):
    done = nlpbench("evaluate", run, "evaluation.compile=true", check=2, PATH="/nowhere")
    assert "evaluation.compile: true needs a C++ compiler, and none was found" in done.stderr
