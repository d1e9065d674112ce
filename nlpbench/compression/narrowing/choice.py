"""Which units to keep, by their importance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def keep_best(scores: torch.Tensor, count: int) -> list[int]:
    """The `count` units that matter most, in the order of their numbers."""
    return sorted(scores.argsort(descending=True, stable=True)[:count].tolist())


def keep_in_each(importance: Sequence[torch.Tensor], ratio: float) -> list[list[int]]:
    """The units that stay, as many of each group: all but the share `ratio` that matters least.

    At least one of each group stays.
    """
    return [
        keep_best(scores, max(1, len(scores) - round(ratio * len(scores)))) for scores in importance
    ]


def keep_overall(importance: Sequence[torch.Tensor], ratio: float) -> list[list[int]]:
    """The units that stay, wherever they are: all but the share `ratio` that matters least.

    The scores of a group are divided by their Euclidean norm first, since they differ in scale from
    layer to layer (Molchanov et al. 2017; Michel et al. 2019). At least one of each group stays.
    """
    scaled = [scores / scores.norm().clamp_min(1e-30) for scores in importance]
    best = [int(scores.argmax()) for scores in scaled]
    order = sorted(
        (float(score), group, unit)
        for group, scores in enumerate(scaled)
        for unit, score in enumerate(scores)
        if unit != best[group]
    )
    total = sum(map(len, scaled))
    dropped = {(group, unit) for _, group, unit in order[: round(ratio * total)]}
    return [
        [unit for unit in range(len(scores)) if (group, unit) not in dropped]
        for group, scores in enumerate(scaled)
    ]
