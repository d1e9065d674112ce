"""The log-likelihood of hidden tokens, from all those around them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from nlpbench.tasks.language.likelihood import UNSCORED, log_likelihoods

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

TOKENS = {"cpu": 2048}  # of masked copies that are computed at a time
TOKENS_ELSEWHERE = 16_384
SCORED, HIDDEN = 1, 2  # a token that is scored; one that the fixed masks hide as well


def _inputs(batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What the model takes of a batch to score."""
    return {name: batch[name] for name in batch if name not in ("masked_ids", "scored", "labels")}


def of_fixed_masks(
    model: Any, batch: Mapping[str, torch.Tensor], forward: Callable[[Any, Any], Any]
) -> NDArray[np.float64]:
    """(n, 2) the log-likelihood of the tokens that were hidden at encoding, and their number."""
    import numpy as np

    chosen = batch["scored"] == HIDDEN
    labels = batch["input_ids"].masked_fill(~chosen, UNSCORED)
    inputs = {**_inputs(batch), "input_ids": batch["masked_ids"]}
    sums = log_likelihoods(model, inputs, labels, forward)
    return np.column_stack([sums, chosen.sum(1).cpu().numpy()]).astype(np.float64)


def each_masked_once(
    model: Any, batch: Mapping[str, torch.Tensor], mask: int, forward: Callable[[Any, Any], Any]
) -> NDArray[np.float64]:
    """(n, 2) the log-likelihood of all scored tokens, each predicted from the others, and their number.

    Some copies of the texts are computed at a time, each with one mask.
    """
    import numpy as np
    import torch

    inputs = _inputs(batch)
    scored = batch["scored"] > 0
    found = np.zeros((len(scored), 2))
    found[:, 1] = scored.sum(1).cpu().numpy()
    copies = max(1, TOKENS.get(scored.device.type, TOKENS_ELSEWHERE) // scored.shape[1])
    for part in torch.split(torch.nonzero(scored), copies):
        rows, places = part.T
        copied = {name: value[rows] for name, value in inputs.items()}
        numbers = torch.arange(len(rows), device=rows.device)
        labels = torch.full_like(copied["input_ids"], UNSCORED)
        labels[numbers, places] = copied["input_ids"][numbers, places]
        copied["input_ids"][numbers, places] = mask
        sums = log_likelihoods(model, copied, labels, forward)
        np.add.at(found[:, 0], rows.cpu().numpy(), sums)
    return found
