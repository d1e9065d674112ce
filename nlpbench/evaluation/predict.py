"""The one prediction path: rows sorted by length for speed, logits back in dataset order."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import RunError
from nlpbench.evaluation.device import autocast, default_device
from nlpbench.evaluation.progress import Progress

if TYPE_CHECKING:
    import numpy as np
    import torch
    from datasets import Dataset
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

Collate = Callable[[list[dict[str, Any]]], Mapping[str, "torch.Tensor"]]


@dataclass(frozen=True)
class Outputs:
    """What a model said about a split.

    Attributes:
        logits: (n, K) float32, in dataset order.
        seconds: of the whole loop, padding included, encoding not.
        tokens: real tokens, padding not counted.
        padded_share: padding's share of all tokens computed.
    """

    logits: NDArray[np.float32]
    seconds: float
    tokens: int
    padded_share: float


def predict(
    model: PreTrainedModel,
    features: Dataset,
    collate: Collate,
    *,
    batch_size: int,
    precision: str = "fp32",
    what: str = "predicting",
) -> Outputs:
    """Logits for every row of `features`, on the default device, without gradients.

    Raises:
        RunError: logits that are not finite.
    """
    import numpy as np
    import torch

    device = default_device()
    was_training = model.training
    model.to(device).eval()  # type: ignore[arg-type]
    lengths = np.array(features["length"][:])
    order = np.argsort(-lengths, kind="stable")
    inputs = features.remove_columns(
        [name for name in ("labels",) if name in features.column_names]
    )
    parts: list[NDArray[np.float32]] = []
    computed = 0
    started = time.perf_counter()
    with (
        Progress(what, len(order)) as progress,
        torch.inference_mode(),
        autocast(device, precision),
    ):
        for start in range(0, len(order), batch_size):
            index = order[start : start + batch_size]
            batch = collate(_rows(inputs, index))
            computed += batch["input_ids"].numel()
            logits = model(**{key: value.to(device) for key, value in batch.items()}).logits
            parts.append(logits.float().cpu().numpy())
            progress.advance(len(index))
    seconds = time.perf_counter() - started
    model.train(was_training)
    sorted_logits = np.concatenate(parts)
    if not np.isfinite(sorted_logits).all():
        raise RunError(
            f"the model computes values that are not finite ({precision}); it has diverged, or "
            "this precision is too narrow for it"
        )
    logits_in_order = np.empty_like(sorted_logits)
    logits_in_order[order] = sorted_logits
    tokens = int(lengths.sum())
    return Outputs(logits_in_order, seconds, tokens, 1 - tokens / computed)


def _rows(features: Dataset, index: NDArray[np.int64]) -> list[dict[str, Any]]:
    columns = features[index.tolist()]
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
