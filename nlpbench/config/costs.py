"""The names of what a run costs, as columns of a table and as keys of a gate."""

from __future__ import annotations

from typing import Final

STATIC_COSTS: Final = ("parameters", "non_embedding_parameters", "size_mb")
MEASURED_COSTS: Final = (
    "latency_ms_p50",
    "latency_ms_p95",
    "examples_per_second",
    "tokens_per_second",
    "peak_memory_mb",
)
COSTS: Final = (*STATIC_COSTS, *MEASURED_COSTS)
MORE_IS_BETTER: Final = ("examples_per_second", "tokens_per_second")
