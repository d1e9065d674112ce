"""The one prediction path: rows sorted by length for speed, logits back in dataset order."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import RunError
from nlpbench.data.features import lengths as token_counts
from nlpbench.evaluation import memory, processes
from nlpbench.evaluation.device import autocast, default_device
from nlpbench.evaluation.progress import Progress

if TYPE_CHECKING:
    import numpy as np
    import torch
    from datasets import Dataset
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    Part = tuple[NDArray[np.int64], NDArray[np.float32], int]

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
    shared: bool = False,
) -> Outputs:
    """Logits for every row of `features`, on the default device, without gradients.

    Args:
        shared: all processes of the run call this, compute the same batches as one would, each its
            share of them, and have all logits in the end.

    Raises:
        RunError: logits that are not finite, or a single row that does not fit into memory.
    """
    import numpy as np
    import torch

    device = default_device()
    was_training = model.training
    model.to(device).eval()  # type: ignore[arg-type]
    lengths = token_counts(features)
    order = np.argsort(-lengths, kind="stable")
    inputs = features.remove_columns(
        [name for name in ("labels",) if name in features.column_names]
    )
    rank, count = (processes.rank(), processes.count()) if shared else (0, 1)
    starts = range(0, len(order), batch_size)
    mine = [*starts[rank::count]]
    if len(mine) < -(-len(starts) // count):
        mine.append(0)  # once more, since a model whose weights are spread computes in step
    parts: list[Part] = []

    def compute(index: NDArray[np.int64]) -> Part:
        batch = collate(_rows(inputs, index))
        logits = model(**{key: value.to(device) for key, value in batch.items()}).logits
        return index, logits.float().cpu().numpy(), batch["input_ids"].numel()

    size = batch_size
    started = time.perf_counter()
    with (
        Progress(what, sum(len(order[start:][:batch_size]) for start in mine)) as progress,
        torch.inference_mode(),
        autocast(device, precision),
    ):
        for start in mine:
            found, size = memory.in_pieces(order[start : start + batch_size], size, compute)
            parts += found
            progress.advance(len(order[start : start + batch_size]))
    if shared:
        parts = [part for of_one in processes.gather(parts) for part in of_one]
    seconds = time.perf_counter() - started
    model.train(was_training)
    logits_in_order = np.empty((len(order), *parts[0][1].shape[1:]), dtype=np.float32)
    for index, logits, _ in parts:
        logits_in_order[index] = logits
    if not np.isfinite(logits_in_order).all():
        raise RunError(
            f"the model computes values that are not finite ({precision}); it has diverged, or "
            "this precision is too narrow for it"
        )
    tokens = int(lengths.sum())
    computed = sum(tokens_of_part for _, _, tokens_of_part in parts)
    return Outputs(logits_in_order, seconds, tokens, 1 - tokens / computed)


def _rows(features: Dataset, index: NDArray[np.int64]) -> list[dict[str, Any]]:
    columns = features[index.tolist()]
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
