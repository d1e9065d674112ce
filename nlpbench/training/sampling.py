"""Which training rows an epoch draws, and in which order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from nlpbench.config.training import TrainingSection

WINDOW = 50  # batches that are sorted together, at most
WINDOWS = 4  # an epoch has as many, at least, so that batches differ from epoch to epoch


class TrainSampler(Sampler[int]):
    """The rows of one epoch after the other; seed and epoch alone decide about them.

    So neither an evaluation nor a resumed run, whose random numbers stand elsewhere, changes what
    comes next; `set_epoch` says where the run is.
    """

    def __init__(
        self,
        lengths: Sequence[int] | NDArray[np.int64],
        batch_size: int,
        strategy: str,
        seed: int,
        shares: NDArray[np.float64] | None = None,
    ) -> None:
        self.lengths = np.asarray(lengths)
        self.batch_size, self.strategy, self.seed = batch_size, strategy, seed
        self.shares = shares
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        return map(int, self.order(self.epoch))

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The rows of an epoch: (n,) numbers, each once unless they are drawn by `shares`."""
        count = len(self.lengths)
        if self.strategy == "sequential":
            return np.arange(count)
        random = np.random.default_rng([self.seed, epoch])
        if self.shares is None:
            rows = random.permutation(count)
        else:
            rows = random.choice(count, size=count, p=self.shares)
        if self.strategy == "group_by_length":
            return _grouped(rows, self.lengths[rows], self.batch_size, random)
        return rows


class FollowEpoch(TrainerCallback):
    """Tells the sampler the epoch; accelerate does not reach it in a resumed run of processes."""

    def __init__(self, sampler: TrainSampler) -> None:
        self.sampler = sampler

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self.sampler.set_epoch(int(state.epoch or 0))


def train_sampler(
    section: TrainingSection,
    lengths: Sequence[int] | NDArray[np.int64],
    labels: NDArray[Any] | None,
    batch_size: int,
    seed: int,
) -> TrainSampler:
    """The sampler that a training section asks for.

    With `weighted_sampling` an epoch draws as many rows as there are, with replacement, and every
    class that has rows as often as another; grouping by length comes after the draw.

    Args:
        lengths: of the training rows in tokens.
        labels: (n,) class ids; read for weighted sampling only.
        batch_size: the effective one.
    """
    shares = None
    if section.weighted_sampling:
        assert labels is not None
        shares = 1 / np.bincount(labels)[labels]
        shares /= shares.sum()
    return TrainSampler(lengths, batch_size, section.train_sampling_strategy, seed, shares)


def _grouped(
    rows: NDArray[np.int64],
    lengths: NDArray[np.int64],
    batch_size: int,
    random: np.random.Generator,
) -> NDArray[np.int64]:
    """The rows, in random order, as batches of like length, in random order.

    Rows are sorted within windows of some batches. The longest batch comes first, so that it is
    the first step that runs out of memory, and an incomplete one last.
    """
    window = batch_size * max(1, min(WINDOW, len(rows) // (batch_size * WINDOWS)))
    sorted_places = np.lexsort((-lengths, np.arange(len(rows)) // window))
    whole = len(rows) // batch_size
    batches = sorted_places[: whole * batch_size].reshape(whole, batch_size)
    batches = random.permutation(batches)
    if whole:
        longest = int(lengths[batches[:, 0]].argmax())
        batches[[0, longest]] = batches[[longest, 0]]
    places = np.concatenate([batches.ravel(), sorted_places[whole * batch_size :]])
    order: NDArray[np.int64] = rows[places]
    return order
