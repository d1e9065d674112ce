"""Batches that threads compute at once come back in order, and an error ends them all."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager

import pytest
import torch

from nlpbench.evaluation import side_by_side


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@contextmanager
def nothing():
    yield


def ignore(batch):
    pass


@pytest.mark.parametrize("count", [1, 2, 4])
def test_results_come_in_the_order_of_the_batches(threads, count):
    def compute(batch):
        time.sleep(0.001 * (batch % 3))
        return batch * 10

    told = []
    found = side_by_side.compute_each(compute, range(20), count, nothing, told.append)
    assert found == [batch * 10 for batch in range(20)]
    assert sorted(told) == list(range(20))


def test_the_threads_are_shared_and_given_back(threads):
    seen = set()

    def compute(batch):
        seen.add((threading.get_ident(), torch.get_num_threads()))
        time.sleep(0.01)

    side_by_side.compute_each(compute, range(12), 2, nothing, ignore)
    assert len(seen) == 2
    assert {count for _, count in seen} == {2}
    assert torch.get_num_threads() == 4


def test_settings_hold_in_every_thread(threads):
    @contextmanager
    def settings():
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            yield

    def compute(batch):
        made = torch.ones(2, 2) @ torch.ones(2, 2)
        return made.dtype, made.is_inference()

    found = side_by_side.compute_each(compute, range(6), 2, settings, ignore)
    assert found == [(torch.bfloat16, True)] * 6
    assert not torch.is_inference_mode_enabled()


def test_an_error_is_raised_and_what_was_not_begun_is_left(threads):
    begun = []

    def compute(batch):
        begun.append(batch)
        if batch == 3:
            raise ZeroDivisionError(batch)
        time.sleep(0.02)

    with pytest.raises(ZeroDivisionError):
        side_by_side.compute_each(compute, range(100), 2, nothing, ignore)
    assert len(begun) < 20
    assert torch.get_num_threads() == 4
    assert not [one for one in threading.enumerate() if one.name.endswith("(work)")]


@pytest.mark.parametrize(
    ("device", "batches", "expected"),
    [("cpu", 100, 4), ("cpu", 3, 3), ("cpu", 0, 1), ("cuda", 100, 1)],
)
def test_how_many_work_at_once(threads, device, batches, expected):
    assert side_by_side.workers(torch.device(device), batches) == expected


def test_not_more_than_python_can_feed(threads):
    torch.set_num_threads(64)
    assert side_by_side.workers(torch.device("cpu"), 1000) == side_by_side.MOST
