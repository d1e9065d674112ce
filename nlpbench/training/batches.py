"""The rows of one optimiser step, cut into micro-batches of rows of like length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from datasets import Dataset

    from nlpbench.tasks import Collate
    from nlpbench.training.sampling import TrainSampler

Batch = dict[str, Any]


class NumberedRows(torch.utils.data.Dataset[dict[str, Any]]):
    """Encoded rows that know their number in the split, so that a step can name its rows."""

    def __init__(self, features: Dataset) -> None:
        self.features = features

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        columns = self.features[list(indices)]
        rows = zip(*columns.values(), strict=True)
        return [
            {**dict(zip(columns, row, strict=True)), "row": int(index)}
            for row, index in zip(rows, indices, strict=True)
        ]


@dataclass(frozen=True)
class Visits:
    """What a task that masks anew draws from: another one whenever a row is seen again."""

    seed: int
    sampler: TrainSampler

    def __call__(self, row: int) -> tuple[int, int, int]:
        return self.seed, self.sampler.epoch, row


@dataclass
class StepCollator:
    """Collates the rows of one step into micro-batches; the longest rows come first.

    A batch is `{"pieces": [micro-batch, …], "rows": their numbers, "computed": tokens with
    padding, "padded": tokens of padding}`. Of no rows, as a process has where there are more
    processes than rows, the pieces hold one stand-in, so that it computes along with the others,
    and the rest is empty.
    """

    collate: Collate
    size: int  # rows of a micro-batch, at most
    stand_in: Callable[[], dict[str, Any]]
    visit: Callable[[int], tuple[int, int, int]] | None = None  # for a task that masks anew

    def __call__(self, rows: list[dict[str, Any]]) -> Batch:
        if not rows:
            batch = self([self.stand_in()])
            return {**batch, "rows": batch["rows"][:0], "computed": 0, "padded": 0}
        order = sorted(range(len(rows)), key=lambda place: -rows[place]["length"])
        ordered = [rows[place] for place in order]
        numbers = np.array([row.pop("row") for row in ordered])
        if self.visit is not None:
            ordered = [
                {**row, "visit": self.visit(int(number))}
                for row, number in zip(ordered, numbers, strict=True)
            ]
        pieces = [
            dict(self.collate(ordered[start : start + self.size]))
            for start in range(0, len(ordered), self.size)
        ]
        masks = [piece["attention_mask"] for piece in pieces if "attention_mask" in piece]
        return {
            "pieces": pieces,
            "rows": numbers,
            "computed": sum(mask.numel() for mask in masks),
            "padded": sum(int((mask == 0).sum()) for mask in masks),
        }


def cut(pieces: Sequence[Batch], size: int) -> list[Batch]:
    """The same rows in micro-batches of at most `size` rows."""
    return [
        {key: value[start : start + size] for key, value in piece.items()}
        for piece in pieces
        for start in range(0, len(piece["labels"]), size)
    ]
