"""Which of several failures is told as the cause."""

import json
import signal

import pytest

from nlpbench.config.errors import RunError, UserError
from nlpbench.runs.launch import ERROR_FILE, _cause, tell_launcher


@pytest.fixture
def failure(tmp_path, monkeypatch):
    """A process that ended with `exitcode`, having told `message` if one is given."""
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("NLPBENCH_LAUNCHER", "1")

    def make(rank, exitcode, message=None):
        file = tmp_path / f"{rank}.json"
        if message is not None:
            monkeypatch.setenv(ERROR_FILE, str(file))
            assert tell_launcher(message, UserError.exit_code)
            assert json.loads(file.read_text())["exit_code"] == 2
        return ProcessFailure(rank, 1, exitcode, str(file))

    return make


def test_a_process_that_aborts_after_it_told_its_error_has_told_it(failure):
    cause = _cause({1: failure(1, -signal.SIGABRT, 'no column "nope"')})
    assert isinstance(cause, UserError)
    assert str(cause) == 'no column "nope"'


def test_a_killed_process_is_the_cause_of_what_the_others_tell(failure):
    failures = {0: failure(0, 2, "connection lost"), 1: failure(1, -signal.SIGKILL)}
    cause = _cause(failures)
    assert isinstance(cause, RunError)
    assert "process 1 of the run was ended by SIGKILL" in str(cause)
