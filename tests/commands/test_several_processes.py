"""`nlpbench finetune --processes`, and the same under torchrun: one run, one table, one error."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from nlpbench.results.record import read


def loss_lines(directory):
    lines = (directory / "history.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture
def tiny(tiny_config, write_config):
    tiny_config["training"] |= {"num_train_epochs": 1, "logging_steps": 1}
    return write_config(tiny_config)


@pytest.mark.slow
def test_two_processes_leave_one_run(nlpbench, tiny, tmp_path):
    done = nlpbench("finetune", tiny, "--processes", 2, "-o", "run")
    assert done.stdout.count("f1_macro") == 1
    assert done.stderr.count("training 6 steps of 8 rows (1 x 4)") == 1
    assert done.stderr.count("wrote run") == 1
    assert "Warning" not in done.stderr
    record = read(tmp_path / "run")
    assert record.training["processes"] == 2
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "config.yaml", "history.jsonl", "model", "predictions.jsonl", "record.json",
    }  # fmt: skip
    steps = [line["step"] for line in loss_lines(tmp_path / "run") if "loss" in line]
    assert steps == [1, 2, 3, 4, 5, 6]
    again = nlpbench("evaluate", tiny, "--model", "run", "-o", "scored", "-q")
    assert read(tmp_path / "scored").scores == record.scores, again.stderr


@pytest.mark.slow
def test_under_torchrun_it_is_the_same_run(nlpbench, tiny, tmp_path):
    nlpbench("finetune", tiny, "--processes", 2, "-o", "own", "-q")
    command = "-m torch.distributed.run --standalone --nproc-per-node 2 -m nlpbench.commands.main"
    subprocess.run(
        [sys.executable, *command.split(), "finetune", str(tiny), "-o", "theirs", "-q"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        timeout=200,
    )
    own, theirs = (
        [line for line in loss_lines(tmp_path / name) if "loss" in line]
        for name in ("own", "theirs")
    )
    for line in [*own, *theirs]:
        line.pop("train_runtime", None)
    assert [line["loss"] for line in own] == [line["loss"] for line in theirs]
    assert read(tmp_path / "own").scores == read(tmp_path / "theirs").scores


@pytest.mark.slow
def test_seeds_and_resume_in_two_processes(nlpbench, tiny_config, write_config, tmp_path):
    del tiny_config["seed"]
    tiny_config["training"]["num_train_epochs"] = 1
    file = write_config({**tiny_config, "seeds": [1, 2]})
    nlpbench("finetune", file, "--processes", 2, "-o", "run", "-q")
    (tmp_path / "run" / "seed-2" / "record.json").unlink()
    done = nlpbench("finetune", file, "--processes", 2, "-o", "run", "--resume")
    assert "seed 1 is finished" in done.stderr
    assert [read(tmp_path / "run" / f"seed-{seed}").seed for seed in (1, 2)] == [1, 2]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["training.effective_batch_size=9"], "training.effective_batch_size 9 is not a multiple"),
        (["training.per_device_train_batch_size=8"], "is not a multiple of"),
        (["training.learning_rate=-1"], "training.learning_rate"),
        (["training.deepspeed=zero2.json"], "needs the package deepspeed: pip install deepspeed"),
    ],
)
def test_a_mistake_in_the_config_is_told_before_any_process_starts(
    nlpbench, tiny, tmp_path, overrides, said
):
    done = nlpbench("finetune", tiny, *overrides, "--processes", 2, "-o", "run", check=2)
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("error: ") == 1
    assert said in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_model_is_not_spread_over_one_process(nlpbench, tiny):
    done = nlpbench("finetune", tiny, "training.fsdp=full_shard", "-o", "run", check=2)
    assert "training.fsdp spreads the model over several processes" in done.stderr


def test_a_dry_run_tells_the_batches_of_several_processes(nlpbench, tiny):
    done = nlpbench("finetune", tiny, "--processes", 4, "--dry-run", "-o", "run")
    assert "batch: 1 x 2 rows" in done.stdout


def test_a_launcher_within_a_launcher_is_refused(nlpbench, tiny):
    done = nlpbench(
        "finetune", tiny, "--processes", 2, check=2,
        WORLD_SIZE="1", RANK="0", LOCAL_RANK="0", MASTER_ADDR="localhost", MASTER_PORT="1",
    )  # fmt: skip
    assert "a launcher has started this process" in done.stderr


@pytest.mark.slow
def test_a_mistake_that_the_processes_find_is_told_once(nlpbench, tiny, tmp_path):
    done = nlpbench(
        "finetune", tiny, "task.text_column=nope", "--processes", 2, "-o", "run", check=2
    )
    assert done.stderr.count("error:") == 1
    assert 'no column "nope"' in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.fixture
def long_run(tiny_config, write_config, tmp_path):
    """A run in two processes that is training: it, and its processes' ids."""
    tiny_config["training"] |= {"num_train_epochs": 100_000, "logging_steps": 1}
    file = write_config(tiny_config)
    with (tmp_path / "said.txt").open("w") as said:
        started = subprocess.Popen(
            [sys.executable, "-m", "nlpbench.commands.main", "finetune", file, "--processes", "2",
             "-o", "run", "-q"],
            cwd=tmp_path, stderr=said, start_new_session=True,
        )  # fmt: skip
    workers = []
    try:
        history = tmp_path / "run" / "history.jsonl"
        for _ in range(900):
            if (history.exists() and history.stat().st_size) or started.poll() is not None:
                break
            time.sleep(0.1)
        assert started.poll() is None, (tmp_path / "said.txt").read_text()
        children = f"/proc/{started.pid}/task/{started.pid}/children"
        with open(children) as stream:
            workers = [int(number) for number in stream.read().split()]
        assert len(workers) == 2
        yield started, workers, tmp_path / "said.txt"
    finally:
        for number in [started.pid, *workers]:
            if alive(number):
                os.kill(number, signal.SIGKILL)
        started.wait()


def alive(number):
    try:
        with open(f"/proc/{number}/stat") as stream:
            return stream.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(workers, seconds):
    for _ in range(int(seconds * 10)):
        if not any(map(alive, workers)):
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
def test_a_killed_process_ends_the_run(long_run):
    started, workers, said = long_run
    os.kill(workers[1], signal.SIGKILL)
    assert started.wait(timeout=20) == 3
    assert gone(workers, 1)
    assert said.read_text() == (
        "error: process 1 of the run was ended by SIGKILL: the system does that where memory "
        "runs out\n"
    )


@pytest.mark.slow
def test_ctrl_c_ends_all_processes(long_run):
    started, workers, said = long_run
    os.kill(started.pid, signal.SIGINT)
    assert started.wait(timeout=20) == 130
    assert gone(workers, 1)
    assert said.read_text() == "error: interrupted; go on with --resume\n"


@pytest.mark.slow
def test_the_processes_end_with_a_killed_launcher(long_run):
    started, workers, _ = long_run
    os.kill(started.pid, signal.SIGKILL)
    assert gone(workers, 10)
