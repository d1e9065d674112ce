"""The run directory: claimed, never overwritten, whole or not there; seeds; and what a run warns of."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil

import pytest
from conftest import topic_rows, write_jsonl

from nlpbench import models
from nlpbench.config.errors import RunError, UserError
from nlpbench.config.load import load, loads
from nlpbench.config.yaml12 import dump
from nlpbench.results import run_directory
from nlpbench.results.record import find, read
from nlpbench.results.table import build
from nlpbench.runs import finetune as finetuning
from nlpbench.runs.evaluate import evaluate
from nlpbench.runs.finetune import finetune
from nlpbench.runs.preflight import check_data, check_model, preflight, preflight_evaluation


@pytest.fixture
def config(tiny_config):
    """The tiny config with sections changed, as `config(training={"max_steps": 1})`."""

    def make(**sections):
        values = dict(tiny_config)
        for name, keys in sections.items():
            values[name] = {**values.get(name, {}), **keys} if isinstance(keys, dict) else keys
        return loads(dump({key: value for key, value in values.items() if value is not None}))

    return make


def refused(config, directory, resume=False):
    with pytest.raises(UserError) as caught:
        finetune(config, directory, resume)
    return str(caught.value)


SHORT = {"max_steps": 1, "eval_strategy": "no"}


@pytest.fixture
def finished(config, tmp_path):
    directory = tmp_path / "finished"
    finetune(config(training=SHORT), directory)
    return directory


def contents(directory):
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def test_what_a_run_leaves(finished):
    assert {path.name for path in finished.iterdir()} == {
        "config.yaml",
        "history.jsonl",
        "model",
        "predictions.jsonl",
        "record.json",
    }
    assert load(finished).resolved() == read(finished).config


def test_a_finished_run_is_not_overwritten(config, finished):
    before = contents(finished)
    message = refused(config(training=SHORT), finished)
    assert message == (
        f"{finished} holds the finished run of this config (see: nlpbench results {finished}); "
        "name a new one with --output-dir to run it again"
    )
    assert contents(finished) == before


def test_another_config_does_not_take_the_directory(config, finished):
    before = contents(finished)
    message = refused(config(training={**SHORT, "learning_rate": 0.01}), finished)
    assert message == (
        f"{finished} holds a run of another config (training.learning_rate: 0.005 there, 0.01 "
        "here); name a new one with --output-dir"
    )
    assert message == refused(config(training={**SHORT, "learning_rate": 0.01}), finished, True)
    assert contents(finished) == before


def test_an_unfinished_run_wants_resume(config, finished):
    (finished / "record.json").unlink()
    assert refused(config(training=SHORT), finished) == (
        f"{finished} holds an unfinished run of this config; go on with --resume, or name a new "
        "one with --output-dir"
    )
    [record] = finetune(config(training=SHORT), finished, resume=True)
    assert read(finished) == record


def test_a_directory_with_other_files(config, tmp_path):
    directory = tmp_path / "mine"
    directory.mkdir()
    (directory / "thesis.tex").write_text("x")
    assert refused(config(training=SHORT), directory) == (
        f"{directory} is not empty and no run directory; name a new one with --output-dir"
    )
    assert contents(directory) == {"thesis.tex": b"x"}


def test_nothing_to_resume(config, tmp_path):
    assert refused(config(), tmp_path / "none", resume=True) == (
        f"{tmp_path}/none holds no run to resume; start it without --resume"
    )


@pytest.mark.parametrize("below", ["", "run", "deep/run"])
def test_a_file_in_the_way(config, tmp_path, below):
    (tmp_path / "file").write_text("x")
    place = tmp_path / "file" / below if below else tmp_path / "file"
    assert refused(config(), place) == (f"cannot write {place}: {tmp_path}/file is not a directory")


def test_a_directory_without_the_right_to_write(config, tmp_path, monkeypatch):
    monkeypatch.setattr(run_directory.os, "access", lambda path, mode: False)
    assert refused(config(), tmp_path / "run") == (
        f"cannot write {tmp_path}/run: no right to write in {tmp_path}"
    )


def test_a_full_disk_is_noticed_before_training(config, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=2_000_000)
    monkeypatch.setattr(run_directory.shutil, "disk_usage", lambda path: usage)
    message = refused(config(), tmp_path / "run")
    assert message == (
        f"cannot write {tmp_path}/run: the run needs about 11 MB, and its disk has 2 MB free"
    )
    assert not (tmp_path / "run").exists()


def test_a_disk_that_fills_up_while_the_model_is_saved(config, tmp_path, monkeypatch):
    from safetensors import SafetensorError
    from transformers import BertForSequenceClassification

    told = "Error while serializing: I/O error: No space left on device (os error 28)"
    original = BertForSequenceClassification.save_pretrained

    def full(self, directory, *args, **kwargs):
        if "checkpoint" in str(directory):
            return original(self, directory, *args, **kwargs)
        raise SafetensorError(told)

    with monkeypatch.context() as patch:
        patch.setattr(BertForSequenceClassification, "save_pretrained", full)
        message = refused(config(), tmp_path / "run")
    assert message == f"cannot write {tmp_path}/run/model: No space left on device"
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"config.yaml", "history.jsonl", "checkpoints"}
    [record] = finetune(config(), tmp_path / "run", resume=True)
    assert record.training["resumed_from_step"] is not None


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0"),
        RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"),
    ],
)
def test_a_disk_that_fills_up_while_a_checkpoint_is_saved(config, tmp_path, monkeypatch, error):
    import torch

    def full(*args, **kwargs):
        raise error

    monkeypatch.setattr(torch, "save", full)
    message = refused(config(), tmp_path / "run")
    assert message == f"cannot write {tmp_path}/run/checkpoints: No space left on device"
    assert not (tmp_path / "run").exists()  # no checkpoint was whole, so nothing was learnt


@pytest.mark.parametrize("seeds", [None, [1, 2]])
def test_bad_data_leaves_nothing_behind(config, topics, tmp_path, seeds):
    (topics / "train.jsonl").write_text('{"text": "x", "label": "a"}\n' * 3)
    chosen = config(seed=None, seeds=seeds) if seeds else config()
    assert "holds only one class" in refused(chosen, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_seeds(config, tmp_path, monkeypatch):
    chosen = config(seed=None, seeds=[3, 1, 2], training=SHORT)
    original, started = finetuning._finetune, []

    def third_fails(config, directory, resume):
        started.append(config.seed)
        if len(started) == 3:
            raise RunError("broken")
        return original(config, directory, resume)

    monkeypatch.setattr(finetuning, "_finetune", third_fails)
    with pytest.raises(RunError):
        finetune(chosen, tmp_path / "run")
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "config.yaml",
        "seed-3",
        "seed-1",
    }
    first = contents(tmp_path / "run" / "seed-3")
    assert "an unfinished run of this config" in refused(chosen, tmp_path / "run")
    records = finetune(chosen, tmp_path / "run", resume=True)
    assert started == [3, 1, 2, 2]
    assert contents(tmp_path / "run" / "seed-3") == first
    assert [record.seed for record in records] == [3, 1, 2]
    assert [record.name for record in records] == ["seed-3", "seed-1", "seed-2"]
    assert "holds the finished runs of this config" in refused(chosen, tmp_path / "run")

    table = build([(str(path), record) for path, record in find([tmp_path / "run"])])
    assert len(table.rows) == 4
    values = [record.scores["f1_macro"].value for record in records]
    assert table.rows[-1]["f1_macro"].value == pytest.approx(sum(values) / 3)
    assert table.rows[-1]["run"].value.endswith("(mean of 3 seeds)")


@pytest.fixture
def only_train(tmp_path):
    return write_jsonl(tmp_path / "all.jsonl", topic_rows(60))


@pytest.mark.parametrize(
    ("evaluating", "right"),
    [
        ({"split": "test"}, True),
        ({"split": "train"}, True),
        ({"split": "validation"}, False),  # the run did not need it, so trained on its rows
        ({"split": "test", "split_seed": 7}, False),
        ({"split": "test", "test_share": 0.4}, False),
    ],
)
def test_rows_that_a_run_trained_on_are_not_scored(config, only_train, tmp_path, evaluating, right):
    data = {"source": str(only_train)}
    finetune(config(data=data, training=SHORT), tmp_path / "run")
    split = evaluating.pop("split")
    other = load(
        tmp_path / "run",
        [
            f"evaluation.split={split}",
            *(f"data.{key}={value}" for key, value in evaluating.items()),
        ],
    )
    for name in (tmp_path / "run", tmp_path / "run" / "model"):
        if right:
            evaluate(other, tmp_path / f"out-{name.name}", [str(name)])
            continue
        with pytest.raises(UserError) as caught:
            evaluate(other, tmp_path / "out", [str(name)])
        assert str(caught.value) == (
            f"the data has no {split} split, and rows drawn from train are rows that "
            f"{tmp_path}/run was trained on; score another split, or other data"
        )
        with pytest.raises(UserError):
            preflight_evaluation(other, [str(name)])
        assert not (tmp_path / "out").exists()


@pytest.fixture
def warnings(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("nlpbench"), "propagate", True)
    caplog.set_level(logging.WARNING, logger="nlpbench")
    return lambda: [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]


def leak(topics):
    rows = [json.loads(line) for line in (topics / "train.jsonl").read_text().splitlines()]
    test = [json.loads(line) for line in (topics / "test.jsonl").read_text().splitlines()]
    write_jsonl(topics / "test.jsonl", [{**rows[4], "text": rows[4]["text"].upper()}, *test])


def test_leakage_is_told_and_recorded(config, topics, tmp_path, warnings):
    leak(topics)
    [record] = finetune(config(training=SHORT), tmp_path / "run")
    [warning] = warnings()
    assert warning.startswith(
        "1 of 19 test rows (5.3%, 0 of them word for word) stand in train as well, so scores on "
        f"them flatter the model; for example {topics}/test.jsonl, row 1 and "
        f"{topics}/train.jsonl, row 5: "
    )
    assert record.warnings == read(tmp_path / "run").warnings == [warning]
    assert record.audit["leakage"]["test"]["normalised_rows"] == 1


def test_leakage_past_the_threshold_is_an_error(config, topics, tmp_path):
    leak(topics)
    finetune(config(data={"max_leakage": 0.06}, training=SHORT), tmp_path / "below")
    message = refused(config(data={"max_leakage": 0.05}), tmp_path / "run")
    assert "(5.3%) stand in train as well, more than data.max_leakage allows (5.0%)" in message
    assert not (tmp_path / "run").exists()


def skew(topics):
    rows = [json.loads(line) for line in (topics / "train.jsonl").read_text().splitlines()]
    kept = [row for number, row in enumerate(rows) if row["label"] == "fruit" or number < 12]
    write_jsonl(topics / "train.jsonl", kept)


SKEWED = (
    "accuracy chooses the best checkpoint, and the classes are skewed (16 to 4 rows): "
    "set training.metric_for_best_model to f1 or balanced_accuracy"
)


@pytest.mark.parametrize(
    ("best", "even", "expected"),
    [("accuracy", False, [SKEWED]), ("f1", False, []), ("accuracy", True, [])],
)
def test_accuracy_on_skewed_classes(config, topics, tmp_path, warnings, best, even, expected):
    if not even:
        skew(topics)
    training = {"metric_for_best_model": best, "max_steps": 1}
    [record] = finetune(config(training=training), tmp_path / "run")
    assert warnings() == record.warnings == expected


def test_check_data(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    report = check_data(config())
    assert "labels: birds, fruit, tools" in report
    assert "48" in report
    assert "stand in train, normalised" in report
    assert sorted(tmp_path.rglob("*")) == before


def test_check_model_says_what_a_run_would_take(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    training = {"num_train_epochs": 2, "per_device_train_batch_size": 4, "warmup_steps": 0.25}
    report = check_model(config(training=training, task={"max_length": 8}))
    lines = dict(line.split(": ", 1) for line in report.splitlines() if ": " in line)
    assert lines["model"] == "BertForSequenceClassification, 0.0 M parameters"
    assert lines["steps"] == "12 (6 an epoch), warm-up: 3, batch: 2 x 4 rows"
    assert lines["best checkpoint by"] == "f1_macro"
    assert lines["precision"] == "fp32 (asked for)"
    padded = float(lines["padded share of 2 batches"].removesuffix("%"))
    assert 0 <= padded < 50
    truncated = lines["truncated share"]
    assert truncated.startswith("train ")
    assert "validation " in truncated and "test " in truncated
    assert lines["disk"] == "up to 11 MB"
    assert float(lines["memory"].split()[1]) > 10
    assert lines["time"].endswith(" of training")
    assert sorted(tmp_path.rglob("*")) == before


def test_preflight_writes_nothing_and_finds_what_a_run_would(config, tmp_path, finished):
    before = sorted(tmp_path.rglob("*"))
    report = preflight(config(), tmp_path / "run", resume=False)
    assert report.endswith(f"output: {tmp_path}/run")
    with pytest.raises(UserError, match="holds the finished run of this config"):
        preflight(config(training=SHORT), finished, resume=False)
    with pytest.raises(UserError, match="nonesuch is not a valid OptimizerNames"):
        preflight(config(training={"arguments": {"optim": "nonesuch"}}), tmp_path / "run", False)
    report = preflight_evaluation(load(finished), [str(finished)])
    assert report == f"{finished}: BertForSequenceClassification, 18 rows to score"
    assert sorted(tmp_path.rglob("*")) == before


def test_checks_through_the_program(tiny_config, write_config, nlpbench, tmp_path):
    file = write_config(tiny_config)
    done = nlpbench("check", file, "--model")
    assert "padded share" in done.stdout
    assert done.stdout.endswith(f"{file}: ok\n")
    done = nlpbench("finetune", file, "--dry-run")
    assert "output: runs/tiny" in done.stdout
    assert not (tmp_path / "runs").exists()


def test_a_run_cannot_be_saved_where_models_is_broken(config, tmp_path, monkeypatch):
    """Any other failure after training keeps the checkpoints, so that --resume is quick."""

    def broken(*_):
        raise ValueError("no")

    with monkeypatch.context() as patch:
        patch.setattr(models, "save", broken)
        with pytest.raises(ValueError, match="no"):
            finetune(config(), tmp_path / "run")
    assert not (tmp_path / "run" / "model.partial").exists()
    [record] = finetune(config(), tmp_path / "run", resume=True)
    assert record.training["resumed_from_step"] is not None
