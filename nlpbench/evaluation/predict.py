"""The one prediction path: rows sorted by length for speed, what the model says back in order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, TypedDict

from nlpbench.config.errors import RunError
from nlpbench.config.sections import EvaluationSection
from nlpbench.data.features import lengths as token_counts
from nlpbench.evaluation import batching, memory, near_ties, processes, side_by_side
from nlpbench.evaluation.batching import BatchSize
from nlpbench.evaluation.device import autocast, default_device, settled, without_gradients
from nlpbench.evaluation.progress import Progress
from nlpbench.tasks import Bundle, Collate, Inferred, Task

if TYPE_CHECKING:
    import numpy as np
    import torch
    from datasets import Dataset
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    Part = tuple[NDArray[np.int64], Inferred, int]

Infer = Callable[[Mapping[str, "torch.Tensor"]], Inferred]
Margins = Callable[[Any], "NDArray[np.float64] | None"]


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
        precision: of the arithmetic: fp32, bf16 or fp16.
        in_fp32: features that were computed in fp32 as well, since their answers were in doubt.
    """

    values: Any
    loss: float | None
    count: int
    seconds: float
    tokens: int
    padded_share: float
    precision: str
    in_fp32: int = 0


def predict(
    model: PreTrainedModel,
    features: Dataset,
    collate: Collate,
    infer: Infer | None = None,
    *,
    batch_size: BatchSize,
    precision: str = "fp32",
    margins: Margins | None = None,
    what: str = "predicting",
    shared: bool = False,
    side_by_side: bool = False,
) -> Outputs:
    """What a model says about every feature, on the default device, without gradients.

    Args:
        infer: what is made of a batch, as `Task.infer`; the logits (n, K) unless told.
        batch_size: rows at a time; auto: as many as make a good number of tokens.
        precision: of the arithmetic; auto: bf16 where the hardware computes in it and `margins` tells
            which answers that leaves in doubt: those are computed in fp32. Else fp32.
        margins: of values, as `Task.margins`.
        shared: all processes of the run call this, compute the same batches as one would, each its
            share of them, and have all logits in the end.
        side_by_side: `infer` may be called by several threads at once.

    Raises:
        RunError: numbers that are not finite, or a single row that does not fit into memory.
    """
    import numpy as np

    device = default_device()
    was_training = model.training
    model.to(device).eval()  # type: ignore[arg-type]
    lengths = token_counts(features)
    order = np.argsort(-lengths, kind="stable")
    started = time.perf_counter()
    passes = _Passes(
        device=device,
        features=features,
        lengths=lengths,
        order=order,
        collate=collate,
        infer=infer or partial(_logits, model),
        batch_size=batch_size,
        shared=shared,
        side_by_side=side_by_side,
    )
    narrow, reach = settled(precision, device), 0.0
    if precision == "auto" and narrow != "fp32":
        narrow, reach = _checked(passes, narrow, margins)
    parts = passes.run(order, narrow, what)
    values = _in_order(parts, order)
    doubtful = order[:0]
    distances = margins(values) if reach and margins is not None else None
    if distances is not None:
        doubtful = order[distances[order] < reach]
        for place, value in _by_place(passes.run(doubtful, "fp32", "computing again")):
            values[place] = value
    seconds = time.perf_counter() - started
    model.train(was_training)
    if not _finite(values):
        raise RunError(
            f"the model computes values that are not finite ({narrow}); it has diverged, or "
            "this precision is too narrow for it"
        )
    tokens = int(lengths.sum())
    computed = sum(tokens_of_part for _, _, tokens_of_part in parts)
    return Outputs(
        values,
        _loss(parts),
        len(order),
        seconds,
        tokens,
        1 - tokens / max(computed, 1),
        narrow,
        len(doubtful),
    )


def _checked(passes: _Passes, narrow: str, margins: Margins | None) -> tuple[str, float]:
    """The precision to compute in, and the margin below which its answers are in doubt."""
    if margins is None:
        return "fp32", 0.0
    sample = near_ties.sample(passes.order)
    found = _in_order(passes.run(sample, narrow, "checking"), sample)
    distances = margins(found)
    if distances is None:
        return "fp32", 0.0
    exact = _in_order(passes.run(sample, "fp32", "checking"), sample)
    reach = near_ties.reach(found, exact)
    return ("fp32", 0.0) if near_ties.most(distances, reach) else (narrow, reach)


class Told(TypedDict):
    """Arguments of `predict`."""

    batch_size: BatchSize
    precision: str
    margins: Margins | None
    side_by_side: bool


def as_told(section: EvaluationSection, task: Task, bundle: Bundle) -> Told:
    """What follows from a config, for its task and a plain model."""
    writes = task.generation_settings is not None
    return {
        "batch_size": batching.for_texts(section.batch_size) if writes else section.batch_size,
        "precision": section.precision,
        "margins": partial(task.margins, bundle=bundle),
        "side_by_side": task.infers_alone and not section.compile,
    }


@dataclass
class _Passes:
    """Computes rows of one data set, all of them or some."""

    device: torch.device
    features: Dataset
    lengths: NDArray[np.int64]
    order: NDArray[np.int64]
    collate: Collate
    infer: Infer
    batch_size: BatchSize
    shared: bool
    side_by_side: bool

    def __post_init__(self) -> None:
        self.fits, self.collating = memory.Fitting(), Lock()
        self.tokens: int | None = None

    def run(self, rows: NDArray[np.int64], precision: str, what: str) -> list[Part]:
        """What comes out of rows, the longest first; of all processes, if they share the work."""
        rank, count = (processes.rank(), processes.count()) if self.shared else (0, 1)
        batches = self._batches(rows, precision)
        mine = batches[rank::count]
        # Some once more, since a model whose weights are spread computes in step.
        lacking = -(-len(batches) // count) - len(mine)
        todo = [*mine, *batches[:1] * lacking]
        alone = count > 1 or not self.side_by_side
        with Progress(what, sum(map(len, todo))) as progress:
            parts = side_by_side.compute_each(
                partial(self.fits.in_pieces, compute=self._compute),
                todo,
                1 if alone else side_by_side.workers(self.device, len(todo)),
                partial(self._settings, precision),
                lambda index: progress.advance(len(index)),
            )
        found = [part for of_batch in parts[: len(mine)] for part in of_batch]
        if not self.shared:
            return found
        return [part for of_one in processes.gather(found) for part in of_one]

    def _compute(self, index: NDArray[np.int64]) -> Part:
        with self.collating:
            batch = self.collate(_rows(self.features, index))
        found = self.infer({key: value.to(self.device) for key, value in batch.items()})
        return index, found, batch["input_ids"].numel()

    @contextmanager
    def _settings(self, precision: str) -> Iterator[None]:
        with without_gradients(precision), autocast(self.device, precision):
            yield

    def _batches(self, rows: NDArray[np.int64], precision: str) -> list[NDArray[np.int64]]:
        """The rows that are computed together; the same in all processes."""
        if self.batch_size != "auto":
            return batching.by_rows(rows, self.batch_size)
        if self.device.type == "cpu":
            tokens = batching.cpu_tokens(int(self.lengths[rows].sum()))
        elif self.device.type == "cuda":
            tokens = self.tokens = self.tokens or self._budget(precision)
        else:
            tokens = batching.FIRST_TOKENS
        return batching.by_tokens(rows, self.lengths, tokens)

    def _budget(self, precision: str) -> int:
        """Of a GPU, by a batch of the longest rows."""

        def times(rows: NDArray[np.int64]) -> float:
            return batching.times_it_fits(self.device, partial(self._compute, rows))

        with self._settings(precision):
            tokens = batching.tokens_that_fit(self.order, self.lengths, times)
        return min(processes.gather(tokens)) if self.shared else tokens


def _logits(model: PreTrainedModel, batch: Mapping[str, torch.Tensor]) -> Inferred:
    inputs = {key: value for key, value in batch.items() if key != "labels"}
    return Inferred(model(**inputs).logits.float().cpu().numpy())


def _in_order(parts: Sequence[Part], order: NDArray[np.int64]) -> Any:
    """The values of rows, from the first to the last of them; None where there are none."""
    import numpy as np

    first = parts[0][1].values
    if first is None:
        return None
    places = np.sort(order)
    if isinstance(first, np.ndarray):
        whole = np.empty((len(order), *first.shape[1:]), dtype=first.dtype)
        for index, found, _ in parts:
            whole[np.searchsorted(places, index)] = found.values
        return whole
    by_place = dict(_by_place(parts))
    return [by_place[place] for place in places.tolist()]


def _by_place(parts: Sequence[Part]) -> Iterator[tuple[int, Any]]:
    """The number of each row, and its value."""
    for index, found, _ in parts:
        assert found.values is not None
        yield from zip(index.tolist(), found.values, strict=True)


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
