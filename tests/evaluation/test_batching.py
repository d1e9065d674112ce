"""Batches by a budget of tokens hold every row once, and no more tokens than they may."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nlpbench.config.errors import RunError
from nlpbench.evaluation import batching


def longest_first(lengths):
    return np.argsort(-lengths, kind="stable")


@given(st.lists(st.integers(1, 60), max_size=80), st.integers(1, 200))
def test_every_row_is_in_one_batch_and_no_batch_of_several_rows_is_over_the_budget(rows, tokens):
    lengths = np.array(rows, dtype=np.int64)
    order = longest_first(lengths)
    batches = batching.by_tokens(order, lengths, tokens)
    assert [row for batch in batches for row in batch] == order.tolist()
    for batch in batches:
        assert len(batch) == 1 or len(batch) * lengths[batch].max() <= tokens


@given(st.lists(st.integers(1, 60), min_size=2, max_size=80), st.integers(60, 200))
def test_a_batch_has_no_room_for_the_next_row(rows, tokens):
    lengths = np.array(rows, dtype=np.int64)
    batches = batching.by_tokens(longest_first(lengths), lengths, tokens)
    for batch in batches[:-1]:
        assert (len(batch) + 1) * lengths[batch].max() > tokens


def test_a_number_of_rows_is_a_number_of_rows():
    assert [batch.tolist() for batch in batching.by_rows(np.arange(5), 2)] == [[0, 1], [2, 3], [4]]


def test_rows_without_tokens_do_not_divide_by_zero():
    assert len(batching.by_tokens(np.arange(3), np.zeros(3, dtype=np.int64), 10)) == 1


@pytest.mark.parametrize(
    ("total", "tokens"), [(100, 256), (2048, 256), (8000, 1000), (10_000_000, batching.CPU_TOKENS)]
)
def test_a_cpu_cuts_few_rows_into_several_batches(total, tokens):
    assert batching.cpu_tokens(total) == tokens


def test_texts_are_written_some_at_a_time_unless_told():
    assert batching.for_texts("auto") == batching.WRITTEN_TOGETHER
    assert batching.for_texts(5) == 5


LONG = np.full(10_000, 512)


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (0.9, batching.FIRST_TOKENS),  # it did fit, if barely
        (2.5, int(0.8 * 2.5 * batching.FIRST_TOKENS)),
        (1e6, batching.MOST_TOKENS),
    ],
)
def test_a_gpu_takes_as_many_tokens_as_its_memory_has_room_for(times, expected):
    seen = []

    def room(rows):
        seen.append(len(rows))
        return times

    assert batching.tokens_that_fit(longest_first(LONG), LONG, room) == expected
    assert seen == [batching.FIRST_TOKENS // 512]


def test_a_first_batch_that_does_not_fit_is_halved():
    def room(rows):
        if len(rows) > 9:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return 1.1

    assert batching.tokens_that_fit(longest_first(LONG), LONG, room) == batching.FIRST_TOKENS // 4


def test_a_single_row_that_does_not_fit_is_said():
    def room(rows):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    with pytest.raises(RunError, match="a single row does not fit into memory"):
        batching.tokens_that_fit(longest_first(LONG), LONG, room)
