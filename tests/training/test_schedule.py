"""The plan of a run: steps, batches, warm-up; and the precision it trains in."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nlpbench.config.errors import UserError
from nlpbench.config.training import TrainingSection
from nlpbench.training import precision
from nlpbench.training.schedule import plan


@st.composite
def sections(draw):
    micro = draw(st.integers(1, 16))
    return TrainingSection(
        effective_batch_size=micro * draw(st.integers(1, 16)),
        per_device_train_batch_size=draw(st.sampled_from([micro, None])),
        num_train_epochs=draw(st.floats(0.01, 20)),
        max_steps=draw(st.none() | st.integers(1, 500)),
        warmup_steps=draw(st.floats(0, 0.99) | st.integers(1, 300)),
    )


@given(sections(), st.integers(1, 5000))
def test_the_plan_of_a_run(section, rows):
    found = plan(section, rows)
    assert found.micro_batch_size * found.accumulation == section.effective_batch_size
    assert (found.steps_per_epoch - 1) * section.effective_batch_size < rows
    assert rows <= found.steps_per_epoch * section.effective_batch_size
    assert found.steps >= 1
    if section.max_steps:
        assert found.steps == section.max_steps
    else:
        assert found.steps == math.ceil(section.num_train_epochs * found.steps_per_epoch)
    if section.warmup_steps >= 1:
        assert found.warmup_steps == section.warmup_steps
    else:
        assert 0 <= found.warmup_steps <= found.steps
        assert found.warmup_steps == math.ceil(section.warmup_steps * found.steps)
    assert found.epochs == found.steps / found.steps_per_epoch


@given(sections(), st.integers(1, 5000), st.integers(1, 8))
def test_the_plan_of_a_run_on_several_processes(section, rows, processes):
    try:
        found = plan(section, rows, processes)
    except UserError as error:
        if rows < processes:
            assert (
                str(error) == f"{rows} training rows cannot be shared out to {processes} processes"
            )
            return
        micro = section.per_device_train_batch_size or 1
        assert section.effective_batch_size % (processes * micro)
        assert f"training.effective_batch_size {section.effective_batch_size}" in str(error)
    else:
        rows_a_step = found.micro_batch_size * found.accumulation * processes
        assert rows_a_step == section.effective_batch_size
        assert found.steps == plan(section, rows).steps


def test_two_processes_do_not_divide_an_odd_batch():
    with pytest.raises(UserError) as caught:
        plan(TrainingSection(effective_batch_size=33), 100, 2)
    assert str(caught.value) == (
        "training.effective_batch_size 33 is not a multiple of 2 processes"
    )


CPU, GPU = torch.device("cpu"), torch.device("cuda")
OVERFLOW = "training.precision: t5 overflows in fp16; take bf16 or fp32"
NEEDS_GPU = "training.precision: fp16 needs a GPU; take auto, bf16 or fp32"


@pytest.mark.parametrize(
    ("asked", "model_type", "device", "in_bf16", "expected"),
    [
        ("auto", "bert", CPU, False, "fp32"),
        ("auto", "bert", CPU, True, "bf16"),
        ("auto", "bert", GPU, True, "bf16"),
        ("auto", "bert", GPU, False, "fp16"),
        ("auto", "t5", GPU, False, "fp32"),
        ("fp32", "bert", GPU, True, "fp32"),
        ("bf16", "bert", CPU, False, "bf16"),
        ("fp16", "bert", GPU, True, "fp16"),
        ("fp16", "t5", GPU, True, OVERFLOW),
        ("fp16", "bert", CPU, True, NEEDS_GPU),
        ("bf16", "bert", GPU, False, "training.precision: X1 does not compute in bf16; take auto"),
    ],
)
def test_precision(monkeypatch, asked, model_type, device, in_bf16, expected):
    monkeypatch.setattr(precision, "computes_in_bf16", lambda device: in_bf16)
    monkeypatch.setattr(precision, "describe", lambda device: "X1")
    if len(expected) > 4:
        with pytest.raises(UserError) as caught:
            precision.choose(asked, model_type, device)
        assert str(caught.value) == expected
    else:
        found = precision.choose(asked, model_type, device)
        assert found.name == expected
        assert found.reason == "asked for" or "X1" in found.reason
