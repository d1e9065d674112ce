"""The exponential moving average of the weights: scored and saved in place of the last ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

FILE = "moving_average.safetensors"
COUNT = "n_averaged"


class MovingAverage(TrainerCallback):
    """Averages what the optimiser changes, after each of its steps (Polyak & Juditsky 1992).

    With `a[0]` the weights before the first step and `w[t]` those after step t, counted from 1:

        a[t] = d[t] * a[t - 1] + (1 - d[t]) * w[t],  d[t] = min(decay, (1 + t) / (10 + t))

    The lower decay of the first steps is that of TensorFlow's `tf.train.ExponentialMovingAverage`
    with `num_updates`. Fine-tuning takes a few hundred steps, after which a plain average with
    decay 0.999 would still be mostly the new head's random weights.

    The weights of the model stay those of the last step, except inside `averaged()`.
    """

    def __init__(self, model: torch.nn.Module, decay: float) -> None:
        self.model, self.decay = model, decay
        self.average: AveragedModel | None = None
        self.loaded: dict[str, torch.Tensor] | None = None

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        optimizer: Any = None,
        **_: Any,
    ) -> None:
        changed = {id(p) for group in optimizer.param_groups for p in group["params"]}
        named = {name: p for name, p in self.model.named_parameters() if id(p) in changed}
        self.names = list(named)
        self.current = torch.nn.ParameterList(named.values())
        self.average = AveragedModel(self.current)
        self.average.update_parameters(self.current)  # the first call copies
        if self.loaded is not None:
            self._put(self.loaded)
            self.loaded = None

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        assert self.average is not None
        step = int(self.average.n_averaged)  # on the CPU
        of_decay: Any = get_ema_multi_avg_fn
        self.average.multi_avg_fn = of_decay(decay_at(step, self.decay))
        self.average.update_parameters(self.current)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the model has the averaged weights; afterwards its own again, bit for bit."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def put(self) -> None:
        """Ends the training with the average in the model."""
        self._exchange()

    def save(self, directory: Path) -> None:
        """Writes the average and how many weights are in it to a checkpoint."""
        assert self.average is not None
        values = {name: average.detach() for name, average in self._averages()}
        save_file({**values, COUNT: self.average.n_averaged}, directory / FILE)

    def load(self, directory: Path) -> None:
        """Goes on with the average of a checkpoint, now or when the training begins."""
        values = load_file(directory / FILE)
        if self.average is None:
            self.loaded = values
        else:
            self._put(values)

    def _averages(self) -> list[tuple[str, torch.nn.Parameter]]:
        assert self.average is not None
        return list(zip(self.names, self.average.module.parameters(), strict=True))

    def _put(self, values: dict[str, torch.Tensor]) -> None:
        assert self.average is not None
        with torch.no_grad():
            for name, average in self._averages():
                average.copy_(values[name])
            self.average.n_averaged.copy_(values[COUNT])

    def _exchange(self) -> None:
        if self.average is None:  # before the first step the average is the model
            return
        for own, (_, average) in zip(self.current, self._averages(), strict=True):
            own.data, average.data = average.data, own.data


def decay_at(step: int, decay: float) -> float:
    """What step `step`, counted from 1, keeps of the average."""
    return min(decay, (1 + step) / (10 + step))


def put_average(model: torch.nn.Module, checkpoint: Path) -> None:
    """Gives a model the averaged weights that a checkpoint keeps."""
    values = load_file(checkpoint / FILE)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in values:
                parameter.copy_(values[name])
