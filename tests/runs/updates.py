"""Trains by each of several configs and keeps what the training did; alone or as one of several processes.

`python updates.py JOBS OUT`: JOBS is a JSON list of `{"name", "config", "patch"}`; what process R
found goes to OUT/R.pt.
"""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from unittest.mock import patch

import torch

from nlpbench.config.load import loads
from nlpbench.config.yaml12 import dump
from nlpbench.evaluation import processes
from nlpbench.runs import launch
from nlpbench.runs.libraries import settle_libraries
from nlpbench.runs.preparation import prepare
from nlpbench.training.divergence import Divergence
from nlpbench.training.fit import fit
from nlpbench.training.shares import Shares
from nlpbench.training.trainer import BenchTrainer


def own_targets_only(stack):
    """Each process divides by its own number of targets."""
    original = BenchTrainer.get_batch_samples

    def local(self, iterator, count, device):
        with patch.object(self.accelerator, "gather", lambda items: items.reshape(1)):
            return original(self, iterator, count, device)

    stack.enter_context(patch.object(BenchTrainer, "get_batch_samples", local))


def rows_repeated(stack):
    """A batch that the processes cannot share evenly is filled up with rows from the start."""

    def even(self):
        for batch in self.batches:
            share = batch[self.rank :: self.count]
            yield share if len(share) == -(-len(batch) // self.count) else [*share, 0]

    stack.enter_context(patch.object(Shares, "__iter__", even))


def prepared_for_evaluation(stack):
    """What Trainer.evaluate does to the model when it is called before training."""
    original = BenchTrainer.train

    def train(self, *args, **kwargs):
        self.accelerator.prepare_model(self.model, evaluation_mode=True)
        return original(self, *args, **kwargs)

    stack.enter_context(patch.object(BenchTrainer, "train", train))


PATCHES = {
    function.__name__: function
    for function in (own_targets_only, rows_repeated, prepared_for_evaluation)
}


class BrokenOffError(Exception):
    pass


def break_off(step, config, directory):
    """A run that ends right after the checkpoint of a step."""
    original = BenchTrainer._save_checkpoint

    def save(self, *args):
        original(self, *args)
        if self.state.global_step == step:
            raise BrokenOffError

    materials = prepare(config).for_training(config)
    materials.model.double()
    with patch.object(BenchTrainer, "_save_checkpoint", save), suppress(BrokenOffError):
        fit(config, materials, directory, resume=False)


def carry_out(job, directory, resume=None):
    """Trains with the job's config in double precision, so that small updates are not lost."""
    config = loads(dump(job["config"]))
    with processes.first_goes_first():
        materials = prepare(config).for_training(config)
    model = materials.model.double() if job.get("double", True) else materials.model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    rows = {}
    remember = Divergence.remember

    def keep(self, step, numbers):
        rows[step] = sorted(map(int, numbers))
        remember(self, step, numbers)

    with ExitStack() as stack:
        stack.enter_context(patch.object(Divergence, "remember", keep))
        if job.get("patch"):
            PATCHES[job["patch"]](stack)
        if job.get("broken_off_after"):
            break_off(job["broken_off_after"], config, directory)
            rows.clear()
        resume = "broken_off_after" in job if resume is None else resume
        record = fit(config, materials, directory, resume).training
    lines = [json.loads(line) for line in (directory / "history.jsonl").read_text().splitlines()]
    update = [
        (value - before[name]).flatten()
        for name, value in model.state_dict().items()
        if value.is_floating_point()
    ]
    return {
        "update": torch.cat(update),
        "losses": [line["loss"] for line in lines if "loss" in line],
        "validation": [line["eval_loss"] for line in lines if "eval_loss" in line],
        "rows": rows,
        "record": record,
    }


def main(jobs, out):
    settle_libraries()
    found = {}
    for number, job in enumerate(jobs):
        config = loads(dump(job["config"]))
        launch.join(config)
        directory = Path(out, f"run-{number}")
        directory.mkdir(exist_ok=True)
        found[job["name"]] = carry_out(job, directory)
    torch.save(found, Path(out, f"{processes.rank()}.pt"))
    processes.barrier()
    processes.leave()


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()), sys.argv[2])
