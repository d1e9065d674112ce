"""Which rows a device predicts together: a number of rows, or as many as a budget of tokens holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from nlpbench.evaluation import memory

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    Index = NDArray[np.int64]

BatchSize = int | Literal["auto"]

# What a processor's caches hold of the states of a small encoder; more at once come from memory.
# Few rows make some batches all the same, for several threads.
CPU_TOKENS, LEAST_CPU_TOKENS, LEAST_BATCHES = 2048, 256, 8
# A GPU begins with so many, and takes more where they fit, up to what keeps a large one busy.
FIRST_TOKENS, MOST_TOKENS = 16_384, 131_072
SHARE_OF_MEMORY = 0.8  # that a batch may take: not every one needs the same
WRITTEN_TOGETHER = 32  # texts: a step takes one token of each, however long they are


def for_texts(asked: BatchSize) -> int:
    """Rows at a time for a task that writes texts."""
    return WRITTEN_TOGETHER if asked == "auto" else asked


def by_rows(order: Index, size: int) -> list[Index]:
    """Rows in their order, `size` at a time."""
    return [order[start : start + size] for start in range(0, len(order), size)]


def cpu_tokens(total: int) -> int:
    """The budget of a CPU for rows of so many tokens together; the same for any number of threads."""
    return min(CPU_TOKENS, max(LEAST_CPU_TOKENS, total // LEAST_BATCHES))


def by_tokens(order: Index, lengths: Index, tokens: int) -> list[Index]:
    """Rows, the longest first, as many at a time as are at most `tokens` when they are padded.

    Args:
        order: the rows from the longest to the shortest.
        lengths: (n,) tokens of every row.
    """
    batches = []
    start = 0
    while start < len(order):
        size = max(1, tokens // max(1, int(lengths[order[start]])))
        batches.append(order[start : start + size])
        start += size
    return batches


def tokens_that_fit(order: Index, lengths: Index, times: Callable[[Index], float]) -> int:
    """The budget of a GPU: as many tokens as fit into its memory, where the rows are the longest.

    Args:
        times: computes rows, and says how many times over they would have fitted.

    Raises:
        RunError: a single row does not fit.
    """
    found = [0.0]

    def attempt(tokens: int) -> None:
        rows = by_tokens(order, lengths, tokens)[0]
        found[0] = len(rows) * int(lengths[rows[0]]) * times(rows)

    least = memory.largest_that_fits(FIRST_TOKENS, attempt)
    return max(least, min(MOST_TOKENS, int(SHARE_OF_MEMORY * found[0])))


def times_it_fits(device: torch.device, compute: Callable[[], object]) -> float:
    """How many times over what `compute` takes of a GPU's memory is there."""
    import torch

    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    compute()
    torch.cuda.synchronize(device)
    taken = torch.cuda.max_memory_allocated(device) - before
    free, _ = torch.cuda.mem_get_info(device)
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return (free + cached) / max(1, taken)
