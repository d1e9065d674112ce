"""Draws tokens at random so that a row's answer does not depend on the rows beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import GenerationConfig


class SeededDraw:
    """Leaves of each row's scores only one token, drawn by the numbers of that row.

    A logits processor of transformers. `generate` itself draws all rows from one generator, so
    that a row's answer would follow from its place in the batch.
    """

    def __init__(self, examples: Sequence[int], seed: int, steps: int) -> None:
        import numpy as np
        import torch

        draws = [np.random.default_rng((seed, example)).random(steps) for example in examples]
        self.draws = torch.tensor(np.stack(draws))  # (rows, steps) in [0, 1)
        self.step = 0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        import torch

        shares = scores.double().softmax(-1).cumsum(-1)
        drawn = self.draws[:, self.step, None].to(shares.device) * shares[:, -1:]
        token = torch.searchsorted(shares, drawn, right=True).clamp_max(scores.shape[-1] - 1)
        self.step += 1
        return torch.full_like(scores, -torch.inf).scatter(-1, token, 0.0)


def processors(settings: GenerationConfig, draw: SeededDraw) -> Any:
    """What turns scores into a draw, in the order of transformers' own sampling."""
    from transformers import (
        LogitsProcessorList,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    steps: list[Any] = []
    if settings.temperature not in (None, 1.0):
        steps.append(TemperatureLogitsWarper(settings.temperature))
    if settings.top_k:
        steps.append(TopKLogitsWarper(settings.top_k))
    if settings.top_p is not None and settings.top_p < 1:
        steps.append(TopPLogitsWarper(settings.top_p))
    return LogitsProcessorList([*steps, draw])
