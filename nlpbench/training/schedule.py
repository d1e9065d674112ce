"""How many steps a run takes, and how a batch is cut up."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nlpbench.config.errors import UserError
from nlpbench.config.training import TrainingSection


@dataclass(frozen=True)
class Schedule:
    """Steps are optimiser steps; a micro-batch is what one device computes at a time.

    Attributes:
        rows_per_process: of one step, in `accumulation` micro-batches.
    """

    micro_batch_size: int
    accumulation: int
    steps_per_epoch: int
    steps: int
    warmup_steps: int
    processes: int = 1

    @property
    def rows_per_process(self) -> int:
        return self.micro_batch_size * self.accumulation

    @property
    def effective_batch_size(self) -> int:
        return self.rows_per_process * self.processes

    @property
    def epochs(self) -> float:
        return self.steps / self.steps_per_epoch


def plan(
    section: TrainingSection, rows: int, processes: int = 1, whole_batches: bool = False
) -> Schedule:
    """The course of a run over `rows` training rows.

    Args:
        whole_batches: the rows of a batch are compared with one another, so it cannot be cut.

    Raises:
        UserError: fewer rows than processes, or an effective batch that the processes and the
            micro-batch do not divide, or that must not be cut.
    """
    if rows < processes:
        raise UserError(f"{rows} training rows cannot be shared out to {processes} processes")
    effective = section.effective_batch_size
    if effective % processes:
        raise UserError(
            f"training.effective_batch_size {effective} is not a multiple of {processes} processes"
        )
    asked = section.per_device_train_batch_size
    micro = asked if isinstance(asked, int) else effective // processes
    if effective % (micro * processes):
        raise UserError(
            f"training.effective_batch_size {effective} is not a multiple of "
            f"per_device_train_batch_size {micro} x {processes} processes"
        )
    if whole_batches and (micro < effective or asked == "auto"):
        raise UserError(
            "the rows of a batch are compared with one another here, so it cannot be cut up: leave "
            "training.per_device_train_batch_size out, and train in one process"
        )
    per_epoch = math.ceil(rows / effective)
    steps = section.max_steps or math.ceil(section.num_train_epochs * per_epoch)
    warmup = section.warmup_steps
    whole = int(warmup) if warmup >= 1 else math.ceil(steps * warmup)
    return Schedule(micro, effective // (micro * processes), per_epoch, steps, whole, processes)
