"""What to do when rows do not fit into memory: how to tell, and how to go on with fewer at a time."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from nlpbench.config.errors import RunError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")
logger = logging.getLogger("nlpbench")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device, or the CPU's allocator, has no memory left."""
    from accelerate.utils.memory import should_reduce_batch_size

    return isinstance(error, Exception) and bool(should_reduce_batch_size(error))


def free() -> None:
    """Gives cached memory back after an error that held on to it."""
    from accelerate.utils.memory import clear_device_cache

    gc.collect()
    clear_device_cache()


def halved(size: int, error: Exception) -> int:
    """Half as many rows at a time, rounded up.

    Raises:
        RunError: a single row did not fit.
    """
    if size == 1:
        raise RunError(
            f"a single row does not fit into memory ({error}); take a smaller model, a shorter "
            "task.max_length, or, to train, training.gradient_checkpointing: true"
        ) from error
    return -(-size // 2)


def largest_that_fits(size: int, attempt: Callable[[int], None]) -> int:
    """The first of `size`, half of it, a quarter … that `attempt` gets through.

    Raises:
        RunError: a single row does not fit.
    """
    while True:
        try:
            attempt(size)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            smaller = halved(size, error)
        else:
            return size
        free()  # outside of the handler, whose traceback holds the tensors
        size = smaller


def in_pieces(
    index: NDArray[np.int64], size: int, compute: Callable[[NDArray[np.int64]], T]
) -> tuple[list[T], int]:
    """Computes rows `size` at a time, halved as often as it takes for them to fit.

    Returns:
        the results, in order, and the number of rows that was right in the end.

    Raises:
        RunError: a single row does not fit.
    """
    results: list[T] = []
    done = 0
    while done < len(index):
        try:
            results.append(compute(index[done : done + size]))
            done += size
            continue
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            smaller = halved(size, error)
        free()
        logger.warning("%d rows at a time do not fit into memory; going on with %d", size, smaller)
        size = smaller
    return results, size


class Fitting:
    """Has batches computed whole, or in the parts that fit; those that follow begin with such parts."""

    def __init__(self) -> None:
        self.share = 1.0  # of a batch

    def in_pieces(
        self, index: NDArray[np.int64], compute: Callable[[NDArray[np.int64]], T]
    ) -> list[T]:
        """The results of a batch, in order.

        Raises:
            RunError: a single row does not fit.
        """
        size = max(1, round(len(index) * self.share))
        results, fits = in_pieces(index, size, compute)
        self.share *= fits / size
        return results
