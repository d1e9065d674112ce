"""Dropout and attention for training on a CPU, where torch draws dropout masks one by one.

torch's CPU generator (Mersenne twister) fills a mask serially: a quarter of a training step of a
small encoder. Here each mask is drawn in 16-bit pieces by SFC64, seeded anew for each call from
torch's own generator, so that a seed, a checkpoint or `torch.random.fork_rng` still decides it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import eager_mask

ATTENTION = "nlpbench_cpu_training"
LEVELS = 1 << 16


def multipliers(like: torch.Tensor, p: float) -> torch.Tensor:
    """0 with probability `p` (to the nearest 1/65536), else 1 / (1 - p), of the shape of `like`."""
    seed = int(torch.randint(0, 2**62, (1,)))
    count = like.numel()
    draws = np.random.SFC64(seed).random_raw(-(-count // 4)).view(np.uint16)[:count]
    kept = torch.from_numpy(draws >= round(p * LEVELS)).view(like.shape)
    return kept.to(like.dtype).mul_(1 / (1 - p))


class CpuDropout(nn.Dropout):
    """nn.Dropout with quicker masks."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if not self.training or self.p == 0:
            return input
        return input * multipliers(input, self.p)


def attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    is_causal: bool | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Scaled dot-product attention, (batch, heads, length, size) to (batch, length, heads, size)."""
    if key.shape[1] != query.shape[1]:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, is_causal, **kwargs
        )
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = torch.matmul(query * scale, key.transpose(2, 3)).float()
    if attention_mask is not None:
        scores = scores + attention_mask
    shares = F.softmax(scores, dim=-1).to(query.dtype)
    if dropout:
        shares = shares * multipliers(shares, dropout)
    return torch.matmul(shares, value).transpose(1, 2).contiguous(), None


class CpuKernels:
    """Puts the quicker kernels into a model, and takes them out again for evaluation."""

    def __init__(self, model: nn.Module) -> None:
        self.model: Any = model
        self.modules = [module for module in model.modules() if type(module) is nn.Dropout]
        config = getattr(model, "config", None)
        self.attends = getattr(config, "_attn_implementation", None) == "sdpa"

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Within the block the model trains with them; on another device than a CPU nothing changes."""
        if next(self.model.parameters()).device.type != "cpu":
            yield
            return
        self.put_in()
        try:
            yield
        finally:
            self.take_out()

    @property
    def in_use(self) -> bool:
        return any(type(module) is CpuDropout for module in self.modules)

    def put_in(self) -> None:
        for module in self.modules:
            module.__class__ = CpuDropout
        if self.attends:
            AttentionInterface.register(ATTENTION, attention)
            AttentionMaskInterface.register(ATTENTION, eager_mask)
            self.model.set_attn_implementation(ATTENTION)

    def take_out(self) -> None:
        for module in self.modules:
            module.__class__ = nn.Dropout
        if self.attends:
            self.model.set_attn_implementation("sdpa")
