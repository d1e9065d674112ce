"""Costs are measured in turns, after one that does not count."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from datasets import Dataset

from nlpbench.evaluation import efficiency
from nlpbench.evaluation.efficiency import Candidate, measure
from nlpbench.tasks import Inferred

ROWS = Dataset.from_dict({"input_ids": [[1] * (1 + n % 5) for n in range(300)]}).map(
    lambda row: {"length": len(row["input_ids"]), "labels": 0}
)


def collate(features):
    width = max(len(row["input_ids"]) for row in features)
    return {"input_ids": torch.ones(len(features), width, dtype=torch.long)}


def candidate(name, calls, seconds=0.0, clock=None, rows_per_second=40.0):
    def infer(batch):
        count = len(batch["input_ids"])
        calls.append((name, count))
        if clock is not None:
            clock[0] += seconds * count
        return Inferred(np.zeros((count, 2)))

    model = torch.nn.Linear(1, 1)
    return Candidate(model, ROWS, collate, infer, 8, "fp32", rows_per_second)


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only where a model computes."""
    now = [0.0]
    monkeypatch.setattr(efficiency.time, "perf_counter", lambda: now[0])
    return now


def names_in_turn(calls):
    return [
        name for place, (name, _) in enumerate(calls) if not place or calls[place - 1][0] != name
    ]


def test_models_take_turns(clock):
    calls = []
    found = measure([candidate("a", calls, 0.001, clock), candidate("b", calls, 0.002, clock)])
    assert names_in_turn(calls) == ["a", "b"] * (1 + efficiency.TURNS)
    assert [one["measured_together"] for one in found] == [2, 2]
    assert [one["turns"] for one in found] == [efficiency.TURNS] * 2


def test_the_figures_are_those_of_the_clock(clock):
    [found] = measure([candidate("a", [], 0.004, clock)])
    assert found["latency_ms_p50"] == found["latency_ms_p95"] == pytest.approx(4.0)
    assert found["examples_per_second"] == pytest.approx(250)
    assert found["rows_timed"] == 20
    lengths = [len(ids) for ids in ROWS["input_ids"]]
    assert found["tokens_per_second"] == pytest.approx(250 * np.mean(lengths), rel=0.1)


def test_the_first_turn_does_not_count(clock):
    seen = []

    def infer(batch):
        seen.append(len(batch["input_ids"]))
        clock[0] += (0.1 if len(seen) < 5 else 0.001) * len(batch["input_ids"])
        return Inferred(np.zeros((len(batch["input_ids"]), 2)))

    cold = Candidate(torch.nn.Linear(1, 1), ROWS, collate, infer, 8, "fp32", 40.0)
    [found] = measure([cold])
    assert found["latency_ms_p95"] == pytest.approx(1.0)


def test_a_slow_model_has_fewer_turns(clock):
    [found] = measure([candidate("a", [], 0.5, clock, rows_per_second=2.0)])
    assert found["turns"] == 2 < efficiency.TURNS
    assert found["rows_timed"] == efficiency.LEAST_ROWS
    assert found["examples_per_second"] == pytest.approx(2.0)


def test_all_predict_as_many_rows_as_the_slowest_has_time_for(clock):
    calls = []
    slow = candidate("slow", calls, 0.01, clock, rows_per_second=100.0)
    fast = candidate("fast", calls, 0.0001, clock, rows_per_second=10_000.0)
    assert [one["rows_timed"] for one in measure([slow, fast])] == [50, 50]


def test_rows_are_from_all_over_the_split_without_labels(clock):
    seen = []

    def keep(features):
        seen.extend(features)
        return collate(features)

    one = candidate("a", [], 0.001, clock)
    measure([Candidate(one.model, ROWS, keep, one.infer, 8, "fp32", 40.0)])
    assert {len(row["input_ids"]) for row in seen} == {1, 2, 3, 4, 5}
    assert not any("labels" in row for row in seen if len(seen) == 1)


def test_the_processes_that_wait_lend_their_threads(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr(efficiency.processes, "count", lambda: 2)
    with efficiency.all_threads():
        assert torch.get_num_threads() == 2 * before
    assert torch.get_num_threads() == before
