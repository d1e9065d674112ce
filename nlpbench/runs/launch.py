"""One run in several processes: starts them, ends all when one dies, and tells the error once."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import NlpbenchError, RunError, UserError
from nlpbench.config.run_config import RunConfig
from nlpbench.evaluation import processes

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

LAUNCHER = "NLPBENCH_LAUNCHER"  # the process that started this one with `launch`
ERROR_FILE = "TORCHELASTIC_ERROR_FILE"  # where torch's launcher looks for a process's error
SECONDS_TO_END = 5


class InterruptedRunError(RunError):
    """A run that Ctrl-C ended."""

    exit_code = 130


def check(config: RunConfig, count: int) -> None:
    """Raises UserError where the config cannot run in so many processes on this machine."""
    from nlpbench.training.arguments import spread
    from nlpbench.training.schedule import plan

    check_machine(count)
    spread(config.training, plan(config.training, rows=count, processes=count))


def check_machine(count: int) -> None:
    """Raises UserError where this machine cannot run so many processes, or runs them already."""
    if os.environ.get("WORLD_SIZE"):
        raise UserError(
            f"--processes {count}: a launcher has started this process already, as one of "
            f"{processes.count()}; leave --processes out"
        )
    import torch

    devices = torch.cuda.device_count()
    if 0 < devices < count:
        raise UserError(f"--processes {count}: this machine has {devices} GPU(s), one a process")


def launch(arguments: Sequence[str], count: int) -> None:
    """Runs `nlpbench ARGUMENTS` in `count` processes of this machine, by torch's elastic launcher.

    Raises:
        NlpbenchError: what ended the first process that failed; the others are ended within
            seconds.
        InterruptedRunError: after Ctrl-C, when all processes have ended.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for name in ("torch.distributed.elastic", "torch.distributed.launcher"):
        # They log what each process did; what the user needs to know is raised.
        logging.getLogger(name).addHandler(logging.NullHandler())
        logging.getLogger(name).propagate = False
    with TemporaryDirectory(prefix="nlpbench-") as logs, _settings(count), _signals_put_back():
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=count,
            run_id="nlpbench",
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",  # a free port
            local_addr="localhost",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=logs),
            shutdown_timeout=SECONDS_TO_END,
        )
        program = ["-m", "nlpbench.commands.main", *arguments]
        try:
            elastic_launch(config, sys.executable)(*program)
        except ChildFailedError as error:
            raise _cause(error.failures) from None
        except SignalException as error:
            if error.sigval == signal.SIGINT:
                raise InterruptedRunError("interrupted; go on with --resume") from None
            raise RunError(f"ended by {error.sigval.name}") from None


def join(config: RunConfig) -> None:
    """Connects this process with the others of its run, if a launcher started it with some.

    All but the first one say nothing but errors from then on.
    """
    end_with_launcher()
    if not processes.is_first():
        logging.getLogger("nlpbench").setLevel(logging.ERROR)
    arguments = config.training.arguments
    seconds = arguments.get("ddp_timeout")
    patience = timedelta(seconds=seconds) if seconds else processes.PATIENCE
    processes.join(arguments.get("ddp_backend"), patience)


def tell_launcher(message: str, exit_code: int) -> bool:
    """Hands the error that ends this process to the launcher that started it.

    Returns:
        whether that is enough: this process then prints nothing, since `launch` will, or since
        another process of the run was faster.
    """
    file = os.environ.get(ERROR_FILE)
    if processes.count() == 1 or not file:
        return False
    now = time.time()
    said = {"message": message, "extraInfo": {"timestamp": str(int(now)), "py_callstack": message}}
    content = {"message": said, "exit_code": exit_code, "time": now}
    Path(file).write_text(json.dumps(content), encoding="utf-8")
    if launched():
        return True
    try:
        (Path(file).parent.parent / "told").touch(exist_ok=False)
    except FileExistsError:
        return True
    return False


def end_at_once(exit_code: int) -> None:
    """Ends this process, if it is one of several, without the interpreter's way out.

    Connections to the other processes are still open after an error, and the threads behind
    them can abort a process that takes its libraries down while another one goes.
    """
    if processes.count() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_code)


def launched() -> bool:
    """Whether `launch` started this process: the launcher then speaks for it."""
    return LAUNCHER in os.environ and processes.count() > 1


def end_with_launcher() -> None:
    """Ends this process when the one that launched it is gone, even if that was killed."""
    if not launched():
        return
    launcher = int(os.environ[LAUNCHER])

    def watch() -> None:
        while os.getppid() == launcher:
            time.sleep(1)
        os._exit(RunError.exit_code)

    threading.Thread(target=watch, daemon=True).start()


def _cause(failures: dict[int, ProcessFailure]) -> NlpbenchError:
    """The failure that the others followed from.

    A process that was killed leaves no message, and the others soon have an error because they
    cannot reach it; those that the launcher itself ended do not count.
    """
    told: dict[int, dict[str, Any]] = {
        rank: failure.error_file_data
        for rank, failure in failures.items()
        if "exit_code" in failure.error_file_data
    }
    killed = {
        rank: failure
        for rank, failure in failures.items()
        if rank not in told and failure.exitcode < 0 and failure.exitcode != -signal.SIGTERM
    }
    if killed:
        rank = min(killed, key=lambda number: killed[number].timestamp)
        first = min((data["time"] for data in told.values()), default=float("inf"))
        if killed[rank].timestamp <= first + 1:
            name = killed[rank].signal_name()
            hint = ": the system does that where memory runs out" if name == "SIGKILL" else ""
            return RunError(f"process {rank} of the run was ended by {name}{hint}")
    if told:
        rank = min(told, key=lambda number: told[number]["time"])
        message, exit_code = told[rank]["message"]["message"], told[rank]["exit_code"]
        return processes.as_told(exit_code, message)
    rank, failure = next(iter(failures.items()))
    return RunError(f"process {rank} of the run ended with exit code {failure.exitcode}")


@contextmanager
def _settings(count: int) -> Iterator[None]:
    """The environment that the processes start with."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    settings = {
        LAUNCHER: str(os.getpid()),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(max(1, (cores or 1) // count)),
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _signals_put_back() -> Iterator[None]:
    """torch's launcher leaves its own handlers behind."""
    kinds = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT]
    before = {kind: signal.getsignal(kind) for kind in kinds}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for kind, handler in before.items():
                signal.signal(kind, handler)
