"""How many tokens a model has positions for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def longest_input(model: PreTrainedModel) -> int | None:
    """The most tokens of one input; None where positions are relative, so without a limit.

    RoBERTa-like models number positions from `padding_idx + 1`, so have fewer than rows.
    """
    from torch import nn

    for name, module in model.named_modules():
        last = name.rpartition(".")[2]
        if isinstance(module, nn.Embedding) and last in (
            "position_embeddings",
            "embed_positions",
            "wpe",
        ):
            skipped = 0 if module.padding_idx is None else module.padding_idx + 1
            return module.num_embeddings - max(skipped, getattr(module, "offset", 0))
    limit = getattr(model.config, "max_position_embeddings", None)
    uses_rotation = getattr(model.config, "rope_parameters", None) is not None
    return limit if uses_rotation and isinstance(limit, int) and limit > 0 else None
