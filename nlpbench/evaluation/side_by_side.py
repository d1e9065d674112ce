"""Several batches at once on a CPU, each by a thread of its own.

The cores then wait for each other once at the end, and not after every layer; and as each batch is
computed by one core, what comes out does not depend on how many there are.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

B = TypeVar("B")
R = TypeVar("R")

# Threads of one Python process take turns at all that is not arithmetic.
MOST = 8


def workers(device: torch.device, batches: int) -> int:
    """How many batches are computed at once."""
    import torch

    if device.type != "cpu":
        return 1
    return max(1, min(torch.get_num_threads(), MOST, batches))


def compute_each(
    compute: Callable[[B], R],
    batches: Sequence[B],
    count: int,
    settings: Callable[[], AbstractContextManager[object]],
    done: Callable[[B], None],
) -> list[R]:
    """What `compute` makes of each batch, in order, by `count` threads that share torch's.

    Args:
        settings: entered in each thread around its work, since gradients, inference mode and
            autocast are matters of a thread.
        done: called in this thread after each batch.

    Raises:
        Exception: the first that `compute` raised; batches not begun by then are left.
    """
    if count == 1:
        return _alone(compute, batches, settings, done)
    import torch

    threads = torch.get_num_threads()
    left = iter(range(len(batches)))
    taking, stopped = threading.Lock(), threading.Event()
    found: dict[int, R] = {}
    finished: SimpleQueue[int | BaseException] = SimpleQueue()

    def work() -> None:
        try:
            torch.set_num_threads(max(1, threads // count))
            with settings():
                while not stopped.is_set():
                    with taking:
                        number = next(left, None)
                    if number is None:
                        return
                    found[number] = compute(batches[number])
                    finished.put(number)
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            finished.put(error)

    pool = [threading.Thread(target=work, daemon=True) for _ in range(count)]
    for thread in pool:
        thread.start()
    try:
        for _ in batches:
            outcome = finished.get()
            if isinstance(outcome, BaseException):
                raise outcome
            done(batches[outcome])
    finally:
        stopped.set()
        for thread in pool:
            thread.join()
        torch.set_num_threads(threads)
    return [found[number] for number in range(len(batches))]


def _alone(
    compute: Callable[[B], R],
    batches: Sequence[B],
    settings: Callable[[], AbstractContextManager[object]],
    done: Callable[[B], None],
) -> list[R]:
    results = []
    with settings():
        for batch in batches:
            results.append(compute(batch))
            done(batch)
    return results
