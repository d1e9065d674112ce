"""The most rows at a time that fit into memory, found out on the longest rows of all."""

from __future__ import annotations

import numpy as np
import torch

from nlpbench.data.features import lengths
from nlpbench.evaluation import memory
from nlpbench.evaluation.device import autocast
from nlpbench.training.trainer import BenchTrainer


def find(trainer: BenchTrainer, precision: str) -> None:
    """Gives the trainer the largest micro-batch that fits, of its own size, half of it, ….

    Raises:
        RunError: a single row does not fit.
    """
    rows, collate = trainer.train_dataset, trainer.data_collator
    longest = np.argsort(-lengths(rows.features), kind="stable")[: trainer.micro_batch_size]
    model, objective, device = trainer.model, trainer.plan.objective, trainer.args.device

    def attempt(size: int) -> None:
        [batch] = collate(rows.__getitems__(longest[:size].tolist()))["pieces"]
        labels = batch.pop("labels").to(device)
        # AdamW's two moments, which the first step makes
        trained = [p for p in model.parameters() if p.requires_grad]
        moments = [torch.empty_like(p) for p in (*trained, *trained)]
        try:
            with autocast(device, precision):
                inputs = {key: value.to(device) for key, value in batch.items()}
                outputs = objective.task.forward(model, objective.inputs(inputs))
            torch.autograd.backward(objective.loss(outputs, labels).sum())
        finally:
            del moments
            model.zero_grad()

    was_training = model.training
    model.to(device).train()
    with torch.random.fork_rng():
        found = memory.largest_that_fits(trainer.micro_batch_size, attempt)
    model.train(was_training)
    if trainer.args.world_size > 1:
        smallest = trainer.accelerator.gather(torch.tensor([found], device=device)).min()
        found = int(smallest)
    trainer.micro_batch_size = collate.size = found
