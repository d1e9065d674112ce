"""What a model costs, measured: parameters, bytes, latency, throughput and memory."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpbench.evaluation import processes
from nlpbench.evaluation.allocator import give_back_freed_memory
from nlpbench.evaluation.batching import BatchSize
from nlpbench.evaluation.device import (
    autocast,
    default_device,
    describe,
    settled,
    without_gradients,
)
from nlpbench.evaluation.predict import Infer, Outputs, predict
from nlpbench.tasks import Collate

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

# Each model has as many turns, and then a median; a turn is as long as a machine's slow moments.
TURNS = 5
MOST_CALLS, SECONDS_OF_CALLS = 200, 0.6
LEAST_ROWS, SECONDS_OF_A_PASS = 16, 0.5
LONGEST_SECONDS = 15.0  # of one model, after which no further turn begins


def parameters(model: PreTrainedModel) -> dict[str, int]:
    """All parameters, and those that are not embedding tables of tokens or positions."""
    from torch import nn

    embedded = {
        id(parameter): parameter.numel()
        for module in model.modules()
        if isinstance(module, nn.Embedding)
        for parameter in module.parameters(recurse=False)
    }
    total = sum(parameter.numel() for parameter in model.parameters())
    return {"parameters": total, "non_embedding_parameters": total - sum(embedded.values())}


@dataclass(frozen=True)
class Candidate:
    """A model with rows that it is to predict, and how.

    Attributes:
        infer: what is made of a batch, as `Task.infer`.
        batch_size: as of `predict`.
        precision: as of `predict`.
        rows_per_second: about how many it predicts; how many are timed follows from it.
        side_by_side: as of `predict`.
    """

    model: PreTrainedModel
    features: Dataset
    collate: Collate
    infer: Infer
    batch_size: BatchSize
    precision: str
    rows_per_second: float
    side_by_side: bool = False


def measure(candidates: Sequence[Candidate]) -> list[dict[str, Any]]:
    """Latency and throughput of models on the same rows, in units that stand in the names.

    The models take turns, so that a slow moment of the machine meets all of them, and begin with
    one that does not count. `latency_ms_p50` and `latency_ms_p95` are of single rows, from the
    encoded row to what the model says; `examples_per_second` and `tokens_per_second` the medians
    over the turns, of `rows_timed` rows. All rows are spread over the split, so that their lengths
    are those of the data.
    """
    slowest = min(candidate.rows_per_second for candidate in candidates)
    rows = max(LEAST_ROWS, int(slowest * SECONDS_OF_A_PASS))
    stopwatches = [_Stopwatch(candidate, rows) for candidate in candidates]
    for stopwatch in stopwatches:
        stopwatch.take_turn()
        stopwatch.forget()
    began = time.perf_counter()
    for _ in range(TURNS):
        for stopwatch in stopwatches:
            stopwatch.take_turn()
        if time.perf_counter() - began > LONGEST_SECONDS * len(candidates):
            break
    return [
        {**stopwatch.costs(), "measured_together": len(candidates)} for stopwatch in stopwatches
    ]


class _Stopwatch:
    """Times one model."""

    def __init__(self, candidate: Candidate, rows: int) -> None:
        self.candidate = candidate
        features = candidate.features
        self.rows = _spread(features, rows)
        single = _spread(features, MOST_CALLS)
        self.batches = cycle(
            candidate.collate([{k: v for k, v in row.items() if k != "labels"}]) for row in single
        )
        self.forget()

    def forget(self) -> None:
        self.calls: list[float] = []  # seconds
        self.passes: list[Outputs] = []

    def take_turn(self) -> None:
        """Calls the model on single rows for a while, then has it predict all of its rows once."""
        candidate, device = self.candidate, default_device()
        precision = settled(candidate.precision, device)
        candidate.model.to(device).eval()  # type: ignore[arg-type]
        with without_gradients(precision), autocast(device, precision):
            began = time.perf_counter()
            for batch in islice(self.batches, MOST_CALLS // TURNS):
                started = time.perf_counter()
                candidate.infer({key: value.to(device) for key, value in batch.items()})
                now = time.perf_counter()
                self.calls.append(now - started)
                if now - began > SECONDS_OF_CALLS:
                    break
        self.passes.append(
            predict(
                candidate.model,
                self.rows,
                candidate.collate,
                candidate.infer,
                batch_size=candidate.batch_size,
                precision=candidate.precision,
                what="timing",
                side_by_side=candidate.side_by_side,
            )
        )

    def costs(self) -> dict[str, Any]:
        import numpy as np

        p50, p95 = np.percentile(self.calls, [50, 95]) * 1000
        seconds = float(np.median([found.seconds for found in self.passes]))
        return {
            "latency_ms_p50": float(p50),
            "latency_ms_p95": float(p95),
            "examples_per_second": self.passes[0].count / seconds,
            "tokens_per_second": self.passes[0].tokens / seconds,
            "rows_timed": self.passes[0].count,
            "turns": len(self.passes),
        }


def _spread(features: Dataset, count: int) -> Dataset:
    """At most so many rows, from all over the split."""
    import numpy as np

    if count >= len(features):
        return features
    return features.select(np.linspace(0, len(features) - 1, count).round().astype(int).tolist())


class PeakMemory:
    """The most memory in use inside a `with` block: of the GPU, or of this process on the CPU."""

    megabytes: float | None = None
    of: str = "process"

    def __enter__(self) -> PeakMemory:
        import torch

        self.device = default_device()
        if self.device.type == "cuda":
            self.of = "device"
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            give_back_freed_memory()
            self.resettable = _reset_high_water_mark()
        return self

    def __exit__(self, *error: object) -> None:
        import torch

        if self.device.type == "cuda":
            self.megabytes = torch.cuda.max_memory_allocated(self.device) / 1e6
        elif self.resettable:
            self.megabytes = _high_water_mark() / 1e6


@contextmanager
def all_threads() -> Iterator[None]:
    """Has this process compute with the threads of all processes of the run, which wait."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(threads * processes.count())
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def hardware() -> dict[str, Any]:
    import torch

    return {"device": describe(default_device()), "threads": torch.get_num_threads()}


def _reset_high_water_mark() -> bool:
    # Linux: writing 5 resets VmHWM (man 5 proc, /proc/pid/clear_refs). Elsewhere the mark is of
    # the whole process life, training included, so no figure is given.
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _high_water_mark() -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("no VmHWM in /proc/self/status")
