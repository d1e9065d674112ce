"""The transformers Trainer with nlpbench's loss, evaluation and guard against divergence."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from transformers import Trainer
from transformers.trainer_pt_utils import LengthGroupedSampler

from nlpbench.config.errors import RunError


class BenchTrainer(Trainer):
    """Differs from its base in a few things.

    The loss is the task's sum over all targets of the effective batch divided by their number:
    the base takes these heads' mean losses for normalised ones and adds them up, so that a step
    over 4 micro-batches is 4 times too large (transformers#47688). Evaluation is
    nlpbench's own prediction path, handed in as `evaluate_now`. A loss that is not finite stops
    the run.
    """

    def __init__(self, *args: Any, evaluate_now: Callable[[], dict[str, float]], **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.evaluate_now = evaluate_now
        self.tokens_computed = 0
        self.tokens_padded = torch.zeros((), dtype=torch.long, device=self.args.device)

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        values = {f"{metric_key_prefix}_{key}": value for key, value in self.evaluate_now().items()}
        self.log(values)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, values
        )
        return values

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        # The base reads the lengths one by one from the data set at every epoch: 10 seconds for
        # 67,000 rows.
        rows: Any = self.train_dataset if train_dataset is None else train_dataset
        if self.args.train_sampling_strategy != "group_by_length":
            return super()._get_train_sampler(train_dataset)
        return LengthGroupedSampler(
            self.args.train_batch_size * self.args.gradient_accumulation_steps,
            lengths=rows["length"][:],
        )

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], torch.Tensor | int | None]:
        samples, items = super().get_batch_samples(epoch_iterator, num_batches, device)
        if items is not None and samples and samples[0]["labels"].is_floating_point():
            # The base leaves out targets of -100, which mark nothing among numbers.
            items = torch.tensor(sum(batch["labels"].numel() for batch in samples), device=device)
            if self.args.world_size > 1:
                items = self.accelerator.gather(items).sum()
        return samples, items

    def training_step(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        mask = inputs.get("attention_mask")
        if mask is not None:
            self.tokens_computed += mask.numel()
            self.tokens_padded += (mask == 0).sum().to(self.tokens_padded.device)
        loss = super().training_step(model, inputs, num_items_in_batch)
        if loss.device.type == "cpu":  # elsewhere this would wait for the device at every step
            self.check_finite("loss", loss.item(), self.state.global_step + 1)
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        for key in ("loss", "grad_norm", "eval_loss"):
            if key in logs:
                self.check_finite(key, logs[key], self.state.global_step)
        super().log(logs, start_time)

    def check_finite(self, what: str, value: float, step: int) -> None:
        # One overflowing gradient is what fp16's loss scaling is for.
        if math.isfinite(value) or (what == "grad_norm" and self.args.fp16):
            return
        rate = self.lr_scheduler.get_last_lr()[0] if self.lr_scheduler else math.nan
        raise RunError(
            f"the {what} became {value} at step {step} (learning rate {rate:.3g}): the training "
            "has diverged; try a lower training.learning_rate, more warmup_steps, or "
            "precision: fp32"
        )

    @property
    def padded_share(self) -> float:
        return float(self.tokens_padded) / self.tokens_computed if self.tokens_computed else 0.0
