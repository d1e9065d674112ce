"""What a model costs, measured: parameters, bytes, latency, throughput and memory."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpbench.evaluation.allocator import give_back_freed_memory
from nlpbench.evaluation.device import autocast, default_device, describe, without_gradients
from nlpbench.evaluation.predict import Infer, Outputs
from nlpbench.tasks import Collate

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

WARM_UP = 10
MOST_CALLS = 200
MOST_SECONDS = 3.0
LONGEST_SECONDS = 15.0


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


def latency(
    model: PreTrainedModel, features: Dataset, collate: Collate, infer: Infer, precision: str
) -> dict[str, float]:
    """Milliseconds from an encoded row to what the model says at batch size 1, after a warm-up.

    The rows are spread over the split, so that their lengths are those of the data.
    """
    import numpy as np

    device = default_device()
    model.to(device).eval()  # type: ignore[arg-type]
    count = min(len(features), MOST_CALLS)
    chosen = np.linspace(0, len(features) - 1, count).round().astype(int).tolist()
    rows = features.select(chosen)
    batches = [collate([{k: v for k, v in row.items() if k != "labels"}]) for row in rows]
    times: list[float] = []
    with without_gradients(precision), autocast(device, precision):
        began = time.perf_counter()
        for call in range(WARM_UP + MOST_CALLS):
            batch = batches[call % count]
            started = time.perf_counter()
            infer({key: value.to(device) for key, value in batch.items()})
            now = time.perf_counter()
            if call >= WARM_UP or now - began > MOST_SECONDS:
                times.append(now - started)
            # Enough calls, or as many as a slow model, such as one that writes, has time for.
            spent = now - began
            if len(times) >= (20 if spent < LONGEST_SECONDS else 1) and spent > MOST_SECONDS:
                break
    p50, p95 = np.percentile(times, [50, 95]) * 1000
    return {"latency_ms_p50": float(p50), "latency_ms_p95": float(p95)}


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


def throughput(outputs: Outputs) -> dict[str, float]:
    """Rows and real tokens per second of a prediction pass."""
    return {
        "examples_per_second": outputs.count / outputs.seconds,
        "tokens_per_second": outputs.tokens / outputs.seconds,
    }


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
