"""The learning rate at every step of a run."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import nn

from nlpbench.config.errors import UserError
from nlpbench.config.load import loads
from nlpbench.config.training import TrainingSection
from nlpbench.config.yaml12 import dump
from nlpbench.runs.finetune import finetune
from nlpbench.training.learning_rates import scheduler

STEPS = 40
HIGHEST = (0.01, 0.1)


def rates(warmup_steps=0, steps=STEPS, options=None, **section):
    """The learning rates of two groups at each step, and after the last."""
    groups = [{"params": [nn.Parameter(torch.ones(1))], "lr": rate} for rate in HIGHEST]
    optimizer = torch.optim.AdamW(groups, lr=HIGHEST[0])
    course = scheduler(TrainingSection(**section), optimizer, steps, warmup_steps, options)
    found = [course.get_last_lr()]
    for _ in range(steps):
        optimizer.step()
        course.step()
        found.append(course.get_last_lr())
    return [list(group) for group in zip(*found, strict=True)]


def ulmfit(t, total, cut_frac, ratio, eta_max):
    """Equation 3 of Howard & Ruder (2018), as it is printed."""
    cut = math.floor(total * cut_frac)
    p = t / cut if t < cut else 1 - (t - cut) / (cut * (1 / cut_frac - 1))
    return eta_max * (1 + p * (ratio - 1)) / ratio


@pytest.mark.parametrize(
    ("cut_fraction", "ratio"), [(0.1, 32), (0.25, 32), (0.5, 10), (0.025, 2.5)]
)
def test_slanted_triangular_is_the_papers_equation(cut_fraction, ratio):
    shape = {"cut_fraction": cut_fraction, "ratio": ratio}
    found = rates(lr_scheduler_type="slanted_triangular", slanted_triangular=shape)
    for group, highest in zip(found, HIGHEST, strict=True):
        expected = [ulmfit(t, STEPS, cut_fraction, ratio, highest) for t in range(STEPS + 1)]
        assert group == pytest.approx(expected)
        assert max(group) == pytest.approx(highest)
        assert min(group) == pytest.approx(highest / ratio)


def test_slanted_triangular_has_the_papers_shape_unless_told():
    assert rates(lr_scheduler_type="slanted_triangular") == rates(
        lr_scheduler_type="slanted_triangular",
        slanted_triangular={"cut_fraction": 0.1, "ratio": 32},
    )


@pytest.mark.parametrize("steps", [1, 2, 5, 9, 10, 11, 19, 39])
def test_slanted_triangular_stays_above_its_floor_in_a_short_run(steps):
    assert steps < 19 or ulmfit(steps, steps, 0.1, 32, 1) < 0, "as the paper's equation does not"
    [group, _] = rates(lr_scheduler_type="slanted_triangular", steps=steps)
    floor = HIGHEST[0] / 32
    assert min(group) == pytest.approx(floor)
    assert max(group) == pytest.approx(HIGHEST[0])
    assert group[-1] == pytest.approx(floor)
    top = group.index(max(group))
    assert group[:top] == sorted(group[:top])
    assert group[top:] == sorted(group[top:], reverse=True)


EXPECTED = {
    "linear": lambda t: (STEPS - t) / (STEPS - 10),
    "cosine": lambda t: (1 + math.cos(math.pi * (t - 10) / (STEPS - 10))) / 2,
    "constant": lambda t: 1.0,
    "inverse_sqrt": lambda t: math.sqrt(10 / t),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_every_schedule_warms_up_and_takes_its_course(name):
    for group, highest in zip(rates(10, lr_scheduler_type=name), HIGHEST, strict=True):
        rise = [highest * t / 10 for t in range(10)]
        course = [highest * EXPECTED[name](t) for t in range(10, STEPS + 1)]
        assert group == pytest.approx(rise + course, abs=1e-9)


@pytest.mark.parametrize("name", ["linear", "cosine", "constant", "polynomial"])
def test_without_warm_up_the_first_step_has_the_highest_rate(name):
    for group, highest in zip(rates(lr_scheduler_type=name), HIGHEST, strict=True):
        assert group[0] == highest == max(group)


def test_options_reach_the_schedule():
    [group, _] = rates(lr_scheduler_type="polynomial", options={"power": 2.0, "lr_end": 0.0})
    assert group == pytest.approx([HIGHEST[0] * (1 - t / STEPS) ** 2 for t in range(STEPS + 1)])


def test_options_that_a_schedule_does_not_have():
    message = r"^training\.arguments\.lr_scheduler_kwargs: .* with linear: .*power"
    with pytest.raises(UserError, match=message):
        rates(lr_scheduler_type="linear", options={"power": 2.0})


@pytest.mark.parametrize("layerwise", [None, 0.5])
def test_a_run_follows_the_schedule(layerwise, tiny_config, tmp_path):
    tiny_config["training"] |= {
        "max_steps": 20,
        "lr_scheduler_type": "slanted_triangular",
        "slanted_triangular": {"cut_fraction": 0.25, "ratio": 8},
        "logging_steps": 1,
        "layerwise_lr_decay": layerwise,
    }
    finetune(loads(dump(tiny_config)), tmp_path / "run")
    lines = (tmp_path / "run" / "history.jsonl").read_text().splitlines()
    found = [line["learning_rate"] for line in map(json.loads, lines) if "learning_rate" in line]
    highest = tiny_config["training"]["learning_rate"]
    assert found == pytest.approx([ulmfit(t, 20, 0.25, 8, highest) for t in range(20)])
