"""The vocabulary's logits at the places that are predicted, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

CHOSEN = "chosen"  # of a batch: (n, L) which places are predicted


def forward_chosen(model: Any, inputs: Mapping[str, torch.Tensor]) -> Any:
    """The model's outputs; its last layer reads the m chosen places alone: logits (1, m, V).

    Six of seven places are not predicted, and their logits would take as much time as half a small
    encoder, and most of its memory. A compiled model, and one whose last layer cannot be found, makes
    them all: (n, L, V).
    """
    taken = dict(inputs)
    chosen: Any = taken.pop(CHOSEN, None)
    layer = _last_layer(model)
    if chosen is None or layer is None:
        return model(**taken)

    def choose(_: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if not arguments or arguments[0].shape[:-1] != chosen.shape:
            return None
        return (arguments[0][chosen][None], *arguments[1:])

    handle = layer.register_forward_pre_hook(choose)
    try:
        return model(**taken)
    finally:
        handle.remove()


def chosen_logits(logits: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """(m, V) of the logits that `forward_chosen` made.

    Args:
        chosen: (n, L) the places, as they were.
    """
    return logits[chosen] if logits.shape[:-1] == chosen.shape else logits[0]


def _last_layer(model: Any) -> Any:
    plain = getattr(model, "module", model)  # as of a model that processes share
    if hasattr(plain, "_orig_mod") or getattr(plain, "_compiled_call_impl", None) is not None:
        return None
    find = getattr(plain, "get_output_embeddings", None)
    return None if find is None else find()
