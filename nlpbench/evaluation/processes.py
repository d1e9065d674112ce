"""The processes of one run: which of them this is, and how they act together.

They are started by `nlpbench finetune --processes`, torchrun or `accelerate launch`, which tell
each its place by environment variables; torch is imported only where there is more than one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

from nlpbench.config.errors import NlpbenchError, RunError, UserError

T = TypeVar("T")
# The first process may read and encode data for long while the others wait. One that dies is
# noticed at once by its closed connections and by the launcher, not by this limit.
PATIENCE = timedelta(days=7)


# As torchrun names them, and the launchers of Intel MPI, OpenMPI and MVAPICH, by which
# `accelerate launch` starts processes on CPUs.
SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
RANKS = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")


def count() -> int:
    """How many processes the run has."""
    return _told(SIZES, 1)


def rank() -> int:
    """The number of this process, from 0."""
    return _told(RANKS, 0) if count() > 1 else 0


def is_first() -> bool:
    """Whether this is the process that writes and talks."""
    return rank() == 0


def join(backend: str | None = None, timeout: timedelta = PATIENCE) -> None:
    """Connects this process with the others, by NCCL on GPUs and by gloo on CPUs; once is enough."""
    if count() == 1:
        return
    # Else DDP warns in each process that it looked for unused parameters and found none.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    import torch
    from accelerate import PartialState

    PartialState(cpu=not torch.cuda.is_available(), backend=backend, timeout=timeout)


def leave() -> None:
    """Closes the connections that `join` opened."""
    if count() == 1:
        return
    import torch.distributed

    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def barrier() -> None:
    """Waits until every process is here."""
    if count() > 1:
        from accelerate import PartialState

        PartialState().wait_for_everyone()


def from_first(make: Callable[[], T]) -> T:
    """What `make` returns in the first process, in every process; the others do not call it.

    Raises:
        NlpbenchError: what `make` raised, in every process.
    """
    if count() == 1:
        return make()
    with _outcome_for_all() as outcome:
        if is_first():
            outcome.append(make())
    return outcome[0]  # type: ignore[no-any-return]


@contextmanager
def first_goes_first() -> Iterator[None]:
    """A block that the first process runs alone, and the others when it is done.

    What it leaves in a cache is there for the others.

    Raises:
        NlpbenchError: what the first process raised, in every process.
    """
    if count() > 1 and not is_first():
        with _outcome_for_all():
            pass
        yield
    else:
        with _outcome_for_all():
            yield


def everywhere(make: Callable[[], T]) -> T:
    """What `make` returns in each process; where it fails in one, it fails in all.

    The first process goes first, so that what it leaves in a cache is there for the others.

    Raises:
        NlpbenchError: what `make` raised, here or in another process.
    """
    if count() == 1:
        return make()
    made: list[T] = []
    error: NlpbenchError | None = None
    try:
        with first_goes_first():
            made.append(make())
    except NlpbenchError as raised:
        error = raised
    told = gather(None if error is None else (error.exit_code, str(error)))
    if error is not None:
        raise error
    for exit_code, message in filter(None, told):
        raise as_told(exit_code, message)
    return made[0]


def gather(value: T) -> list[T]:
    """The values of all processes, by rank; every process must call it."""
    if count() == 1:
        return [value]
    from accelerate.utils import gather_object

    return list(gather_object([value]))


def _told(names: Sequence[str], otherwise: int) -> int:
    return next((int(os.environ[name]) for name in names if os.environ.get(name)), otherwise)


@contextmanager
def _outcome_for_all() -> Iterator[list[Any]]:
    """Sends what the first process put into the list, or the error it ended with, to the others."""
    outcome: list[Any] = []
    if count() == 1:
        yield outcome
        return
    from accelerate.utils import broadcast_object_list

    error: NlpbenchError | None = None
    try:
        yield outcome
    except NlpbenchError as raised:
        error = raised
    sent: list[Any] = [outcome, error and (error.exit_code, str(error))]
    broadcast_object_list(sent, from_process=0)
    outcome[:] = sent[0]
    if error is not None:
        raise error
    if sent[1] is not None:
        raise as_told(*sent[1])


def as_told(exit_code: int, message: str) -> NlpbenchError:
    """The error that another process ended with."""
    return (UserError if exit_code == UserError.exit_code else RunError)(message)
