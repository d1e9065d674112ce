"""A run that goes on is the run that it was, or is refused; damaged checkpoints are passed over."""

from __future__ import annotations

import json
import logging
import shutil

import pytest
import torch
from conftest import topic_rows, write_jsonl
from safetensors.torch import load_file

from nlpbench.config.errors import RunError, UserError
from nlpbench.config.load import loads
from nlpbench.config.yaml12 import dump
from nlpbench.runs.finetune import finetune
from nlpbench.training import checkpoints
from nlpbench.training.divergence import Divergence


class Killed(BaseException):
    pass


@pytest.fixture
def run(tiny_config, tmp_path):
    def go(name="run", resume=False, **training):
        values = {
            **tiny_config,
            "training": {
                **tiny_config["training"],
                "eval_strategy": "steps",
                "eval_steps": 2,
                "arguments": {"save_total_limit": 4},
                **training,
            },
        }
        [record] = finetune(loads(dump(values)), tmp_path / name, resume)
        return load_file(tmp_path / name / "model" / "model.safetensors"), record

    return go


@pytest.fixture
def killed_after(monkeypatch):
    """Ends the program, as a kill would, in the step after this one."""

    def set_step(step):
        remember = Divergence.remember

        def kill(self, number, rows):
            if number == step + 1:
                raise Killed
            remember(self, number, rows)

        monkeypatch.setattr(Divergence, "remember", kill)

    yield set_step


@pytest.fixture
def broken_off(run, killed_after, monkeypatch):
    """A run that ended in the middle of its second epoch, with checkpoints of the steps 2 to 8."""
    with monkeypatch.context() as patch:
        killed_after(9)
        with pytest.raises(Killed):
            run()
        patch.undo()
    monkeypatch.undo()
    return run


def same(one, two):
    return all(torch.equal(one[key], two[key]) for key in one)


def test_in_the_middle_of_an_epoch(broken_off, run):
    resumed, record = broken_off(resume=True)
    whole, expected = run("whole")
    assert record.training["resumed_from_step"] == 8
    assert same(resumed, whole)
    assert record.scores == expected.scores
    for key in ("best_step", "best_value", "steps"):
        assert record.training[key] == expected.training[key]


@pytest.mark.parametrize("damage", ["no seal", "cut short", "a file is missing"])
def test_a_damaged_checkpoint_is_passed_over(broken_off, run, tmp_path, caplog, damage):
    place = tmp_path / "run" / "checkpoints" / "checkpoint-8"
    if damage == "no seal":
        (place / "complete.json").unlink()
    elif damage == "cut short":
        data = (place / "optimizer.pt").read_bytes()
        (place / "optimizer.pt").write_bytes(data[: len(data) // 2])
    else:
        (place / "scheduler.pt").unlink()
    with caplog.at_level(logging.WARNING):
        resumed, record = broken_off(resume=True)
    assert record.training["resumed_from_step"] == 6
    assert [m for m in caplog.messages if "not whole" in m] == [
        f"{place} is not whole, as after a kill while it was saved: passed over"
    ]
    whole, _ = run("whole")
    assert same(resumed, whole)


def test_without_the_seal_a_damaged_checkpoint_breaks_the_run(broken_off, tmp_path, monkeypatch):
    place = tmp_path / "run" / "checkpoints" / "checkpoint-8"
    (place / "optimizer.pt").write_bytes(b"half")
    monkeypatch.setattr(checkpoints, "is_whole", lambda checkpoint: True)
    with pytest.raises(Exception, match=r".") as caught:
        broken_off(resume=True)
    assert not isinstance(caught.value, UserError | RunError)


def test_no_whole_checkpoint_is_left(broken_off, run, tmp_path):
    for seal in (tmp_path / "run" / "checkpoints").glob("*/complete.json"):
        seal.unlink()
    resumed, record = broken_off(resume=True)
    assert record.training["resumed_from_step"] is None
    whole, _ = run("whole")
    assert same(resumed, whole)


def test_other_rows_are_refused(broken_off, topics, monkeypatch):
    write_jsonl(topics / "train.jsonl", topic_rows(48, 1))
    with pytest.raises(UserError) as caught:
        broken_off(resume=True)
    assert "another fingerprint of train (sha256:" in str(caught.value)
    assert "start anew with --output-dir" in str(caught.value)
    monkeypatch.setattr(checkpoints, "check_run", lambda place, facts: None)
    _, record = broken_off(resume=True)
    assert record.training["resumed_from_step"] == 8


def test_another_number_of_processes_is_refused(broken_off, tmp_path):
    file = tmp_path / "run" / "checkpoints" / "run.json"
    facts = json.loads(file.read_text())
    file.write_text(json.dumps({**facts, "number of processes": 2}))
    with pytest.raises(UserError, match=r"another number of processes \(2 then, 1 now\)"):
        broken_off(resume=True)


def test_another_batch_size_is_refused(broken_off, tmp_path):
    with pytest.raises(UserError) as caught:
        broken_off(resume=True, effective_batch_size=16)
    assert str(caught.value) == (
        f"{tmp_path / 'run'} holds a run of another config "
        "(training.effective_batch_size: 8 there, 16 here); name a new one with --output-dir"
    )


def test_a_new_checkpoint_is_whole_before_an_older_one_goes(run, tmp_path, monkeypatch):
    """A kill at any moment leaves one whole checkpoint, once there was one."""
    seen = []
    seal = checkpoints.seal

    def look(place):
        seen.append(checkpoints.any_whole(place.parent))
        seal(place)

    monkeypatch.setattr(checkpoints, "seal", look)
    run(arguments={"save_total_limit": 1})
    assert seen == [False] + [True] * 5


def test_a_seal_names_every_file(tmp_path):
    place = tmp_path / "checkpoint-1"
    (place / "inner").mkdir(parents=True)
    (place / "inner" / "a").write_text("a")
    assert not checkpoints.is_whole(place)
    checkpoints.seal(place)
    assert checkpoints.is_whole(place)
    (place / "inner" / "a").write_text("ab")
    assert not checkpoints.is_whole(place)
    shutil.rmtree(place / "inner")
    assert not checkpoints.is_whole(place)
