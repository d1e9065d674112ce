"""Which rows of a step fall to a process: every step has the same rows, however many share it."""

from __future__ import annotations

from collections.abc import Iterator

from torch.utils.data import BatchSampler, Sampler


class Shares(Sampler[list[int]]):
    """For each step, one process's share of the rows of the effective batch.

    The rows are dealt in turn, so that shares differ by one row at most, and by little in length
    where a batch is sorted by length. An incomplete last batch is dealt in the same way, and no row
    is repeated to fill it up, as accelerate's samplers do; a share of it may be empty.

    Args:
        rows: the numbers of the training rows, in the order of the epoch; the same in every process.
        batch_size: the effective one.
    """

    def __init__(
        self, rows: Sampler[int], batch_size: int, rank: int, count: int, drop_last: bool
    ) -> None:
        self.batches = BatchSampler(rows, batch_size, drop_last)
        self.rank, self.count = rank, count

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.batches:
            yield batch[self.rank :: self.count]
