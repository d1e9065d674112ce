"""The course of the learning rate over a run, as a factor of each group's highest rate."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from nlpbench.config.errors import UserError
from nlpbench.config.strategies import SlantedTriangular
from nlpbench.config.training import TrainingSection


def scheduler(
    section: TrainingSection,
    optimizer: Optimizer,
    steps: int,
    warmup_steps: int,
    options: Any = None,
) -> LRScheduler:
    """The schedule that `lr_scheduler_type` names; every group keeps its share of the rate.

    Args:
        steps: optimiser steps of the whole run.
        warmup_steps: the first of them, in which the rate rises linearly from 0.
        options: TrainingArguments.lr_scheduler_kwargs, a mapping or nothing.

    Raises:
        UserError: options that the schedule does not have.
    """
    from transformers import get_scheduler

    name: str = section.lr_scheduler_type
    if name == "slanted_triangular":
        shape = section.slanted_triangular or SlantedTriangular()
        return LambdaLR(optimizer, slanted_triangular(steps, shape.cut_fraction, shape.ratio))
    if name == "constant" and warmup_steps:
        name = "constant_with_warmup"  # transformers' "constant" leaves warm-up out without a word
    try:
        found: LRScheduler = get_scheduler(name, optimizer, warmup_steps, steps, options)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"training.arguments.lr_scheduler_kwargs: transformers does not accept this with "
            f"{name}: {error}"
        ) from error
    return found


def slanted_triangular(steps: int, cut_fraction: float, ratio: float) -> Callable[[int], float]:
    """The factor of the learning rate at each step: a short linear rise, a long linear decay.

    ULMFiT (Howard & Ruder 2018, arXiv:1801.06146), equation 3. The decay ends at the last step
    also where `steps * cut_fraction` is no whole number; there the paper's line ends before it, and
    would go below zero.
    """
    cut = math.floor(steps * cut_fraction)

    def factor(step: int) -> float:
        p = step / cut if step < cut else 1 - (step - cut) / (steps - cut)
        return (1 + max(p, 0.0) * (ratio - 1)) / ratio

    return factor
