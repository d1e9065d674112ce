"""The one prediction path: rows sorted by length for speed, what the model says back in order."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import RunError
from nlpbench.data.features import lengths as token_counts
from nlpbench.evaluation import memory, processes
from nlpbench.evaluation.device import autocast, default_device, without_gradients
from nlpbench.evaluation.progress import Progress
from nlpbench.tasks import Collate, Inferred

if TYPE_CHECKING:
    import numpy as np
    import torch
    from datasets import Dataset
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    Part = tuple[NDArray[np.int64], Inferred, int]

Infer = Callable[[Mapping[str, "torch.Tensor"]], Inferred]


@dataclass(frozen=True)
class Outputs:
    """What a model said about a split.

    Attributes:
        values: of every feature, in order: (n, …), or a list of n arrays of unlike shapes; None where
            only the loss was asked for.
        loss: the mean over all targets, of each term and then added up; None without labels.
        seconds: of the whole loop, padding included, encoding not.
        tokens: real tokens, padding not counted.
        padded_share: padding's share of all tokens computed.
    """

    values: Any
    loss: float | None
    count: int
    seconds: float
    tokens: int
    padded_share: float


def predict(
    model: PreTrainedModel,
    features: Dataset,
    collate: Collate,
    infer: Infer | None = None,
    *,
    batch_size: int,
    precision: str = "fp32",
    what: str = "predicting",
    shared: bool = False,
) -> Outputs:
    """What a model says about every feature, on the default device, without gradients.

    Args:
        infer: what is made of a batch, as `Task.infer`; the logits (n, K) unless told.
        shared: all processes of the run call this, compute the same batches as one would, each its
            share of them, and have all logits in the end.

    Raises:
        RunError: numbers that are not finite, or a single row that does not fit into memory.
    """
    import numpy as np

    device = default_device()
    was_training = model.training
    model.to(device).eval()  # type: ignore[arg-type]
    lengths = token_counts(features)
    order = np.argsort(-lengths, kind="stable")
    if infer is None:
        infer = partial(_logits, model)
    rank, count = (processes.rank(), processes.count()) if shared else (0, 1)
    starts = range(0, len(order), batch_size)
    mine = [*starts[rank::count]]
    # Some once more, since a model whose weights are spread computes in step.
    lacking = -(-len(starts) // count) - len(mine)
    parts: list[Part] = []

    def compute(index: NDArray[np.int64]) -> Part:
        batch = collate(_rows(features, index))
        found = infer({key: value.to(device) for key, value in batch.items()})
        return index, found, batch["input_ids"].numel()

    size = batch_size
    started = time.perf_counter()
    with (
        Progress(what, sum(len(order[start:][:batch_size]) for start in mine)) as progress,
        without_gradients(precision),
        autocast(device, precision),
    ):
        for start in mine:
            found, size = memory.in_pieces(order[start : start + batch_size], size, compute)
            parts += found
            progress.advance(len(order[start : start + batch_size]))
        for start in [0] * lacking:
            _, size = memory.in_pieces(order[start : start + batch_size], size, compute)
    if shared:
        parts = [part for of_one in processes.gather(parts) for part in of_one]
    seconds = time.perf_counter() - started
    model.train(was_training)
    values = _in_order(parts, len(order))
    if not _finite(values):
        raise RunError(
            f"the model computes values that are not finite ({precision}); it has diverged, or "
            "this precision is too narrow for it"
        )
    tokens = int(lengths.sum())
    computed = sum(tokens_of_part for _, _, tokens_of_part in parts)
    return Outputs(values, _loss(parts), len(order), seconds, tokens, 1 - tokens / max(computed, 1))


def _logits(model: PreTrainedModel, batch: Mapping[str, torch.Tensor]) -> Inferred:
    inputs = {key: value for key, value in batch.items() if key != "labels"}
    return Inferred(model(**inputs).logits.float().cpu().numpy())


def _in_order(parts: Sequence[Part], count: int) -> Any:
    """The values of all parts, each in its place."""
    import numpy as np

    first = parts[0][1].values
    if first is None:
        return None
    if isinstance(first, np.ndarray):
        whole = np.empty((count, *first.shape[1:]), dtype=first.dtype)
        for index, found, _ in parts:
            whole[index] = found.values
        return whole
    places: list[Any] = [None] * count
    for index, found, _ in parts:
        assert found.values is not None
        for place, value in zip(index.tolist(), found.values, strict=True):
            places[place] = value
    return places


def _finite(values: Any) -> bool:
    import numpy as np

    if values is None:
        return True
    arrays = [values] if isinstance(values, np.ndarray) else values
    return all(np.isfinite(array).all() for array in arrays)


def _loss(parts: Sequence[Part]) -> float | None:
    """The terms' means over all targets, added up."""
    import numpy as np

    # In the order of the rows, so that the sum is the same however many processes share them.
    ordered = [found for _, found, _ in sorted(parts, key=lambda part: int(part[0][0]))]
    losses = [found.losses for found in ordered if found.losses is not None]
    targets = [found.targets for found in ordered if found.targets is not None]
    if not losses:
        return None
    with np.errstate(invalid="ignore"):  # a term without targets is undefined, and adds nothing
        return float(np.nansum(np.sum(losses, axis=0) / np.sum(targets, axis=0)))


def _rows(features: Dataset, index: NDArray[np.int64]) -> list[dict[str, Any]]:
    columns = features[index.tolist()]
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
