"""Rows of unlike length in one tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch


def pad(
    rows: Sequence[Sequence[int]], value: int, side: Literal["left", "right"] = "right"
) -> torch.Tensor:
    """(n, longest) numbers, filled up with `value`."""
    import numpy as np
    import torch

    width = max(map(len, rows))
    table = np.full((len(rows), width), value, dtype=np.int64)
    for place, row in enumerate(rows):
        start = width - len(row) if side == "left" else 0
        table[place, start : start + len(row)] = row
    return torch.from_numpy(table)


def attention_mask(
    rows: Sequence[Sequence[int]], side: Literal["left", "right"] = "right"
) -> torch.Tensor:
    """(n, longest) ones where the rows are, zeros where they are filled up."""
    return pad([[1] * len(row) for row in rows], 0, side)
