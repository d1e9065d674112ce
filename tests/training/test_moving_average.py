"""The moving average: its recurrence, the exchange of weights, and that it survives a checkpoint."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from nlpbench.training import moving_average
from nlpbench.training.moving_average import MovingAverage, decay_at, put_average


class Course:
    """Plain gradient descent on a small model with a frozen part, and its moving average."""

    def __init__(self, decay: float, steps: int = 0) -> None:
        torch.manual_seed(0)
        self.model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
        self.model[0].requires_grad_(False)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.SGD(trained, lr=0.5, momentum=0.9)
        self.average = MovingAverage(self.model, decay)
        self.seen = [self.weights()]
        self.average.on_train_begin(None, None, None, optimizer=self.optimizer)
        self.go(steps)

    def weights(self) -> dict[str, torch.Tensor]:
        return {name: p.detach().clone() for name, p in self.model.named_parameters()}

    def go(self, steps: int) -> None:
        for _ in range(steps):
            number = len(self.seen)
            inputs = torch.randn(5, 3, generator=torch.Generator().manual_seed(number))
            self.optimizer.zero_grad()
            self.model(inputs).square().mean().backward()
            self.optimizer.step()
            self.average.on_optimizer_step(None, None, None)
            self.seen.append(self.weights())

    def averages(self) -> dict[str, torch.Tensor]:
        with self.average.averaged():
            return self.weights()


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def by_hand(seen, decay):
    average = {name: value.double() for name, value in seen[0].items()}
    for step, weights in enumerate(seen[1:], 1):
        kept = min(decay, (1 + step) / (10 + step))
        average = {
            name: kept * value + (1 - kept) * weights[name].double()
            for name, value in average.items()
        }
    return average


@pytest.mark.parametrize("decay", [0.15, 0.5, 0.999])
def test_it_is_the_recurrence(decay):
    course = Course(decay, 30)
    expected = by_hand(course.seen, decay)
    found = course.averages()
    for name in expected:
        assert torch.allclose(found[name].double(), expected[name], atol=1e-6)
    assert not torch.allclose(found["1.weight"], course.weights()["1.weight"], atol=1e-3)


def test_the_first_steps_keep_less_than_the_last():
    assert [decay_at(step, 0.9) for step in (1, 2, 70, 90, 1000)] == pytest.approx(
        [2 / 11, 3 / 12, 71 / 80, 0.9, 0.9]
    )


def test_after_a_few_steps_little_of_the_first_weights_is_left(monkeypatch):
    """Moves the weights by one, once, and counts what the average has of it."""

    def share_of_the_first_weights():
        course = Course(0.999)
        with torch.no_grad():
            course.model[1].bias += 1
        for _ in range(50):
            course.average.on_optimizer_step(None, None, None)
        missing = course.weights()["1.bias"] - course.averages()["1.bias"]
        return float(missing.abs().max())

    assert share_of_the_first_weights() < 1e-4
    monkeypatch.setattr(moving_average, "decay_at", lambda step, decay: decay)
    assert share_of_the_first_weights() > 0.9


def test_what_is_not_trained_is_not_averaged():
    course = Course(0.9, 3)
    assert course.average.names == ["1.weight", "1.bias"]
    assert torch.equal(course.averages()["0.weight"], course.seen[0]["0.weight"])


def test_the_weights_come_back_bit_for_bit_also_after_an_error():
    course = Course(0.9, 5)
    before = course.weights()
    averages = course.averages()
    assert same(course.weights(), before)

    def fail():
        with course.average.averaged():
            assert same(course.weights(), averages)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert same(course.weights(), before)
    assert same(course.averages(), averages)


def test_looking_at_the_average_changes_no_step():
    watched, alone = Course(0.9), Course(0.9)
    for _ in range(6):
        watched.go(1)
        watched.averages()
    alone.go(6)
    assert same(watched.weights(), alone.weights())
    assert same(watched.averages(), alone.averages())


@pytest.mark.parametrize("when", ["before the training begins", "after it began"])
def test_it_goes_on_from_a_checkpoint_bit_for_bit(tmp_path: Path, when):
    unbroken = Course(0.9, 4)
    unbroken.average.save(tmp_path)
    resumed = Course(0.9)
    if when == "before the training begins":
        resumed.average = MovingAverage(resumed.model, 0.9)
        resumed.average.load(tmp_path)
    resumed.model.load_state_dict(unbroken.model.state_dict())
    resumed.optimizer.load_state_dict(deepcopy(unbroken.optimizer.state_dict()))
    resumed.seen = list(unbroken.seen)
    if when == "before the training begins":
        resumed.average.on_train_begin(None, None, None, optimizer=resumed.optimizer)
    else:
        resumed.average.load(tmp_path)
    unbroken.go(4)
    resumed.go(4)
    assert same(resumed.weights(), unbroken.weights())
    assert same(resumed.averages(), unbroken.averages())


def test_without_its_checkpoint_the_average_is_another(tmp_path: Path):
    unbroken = Course(0.999, 8)
    forgetful = Course(0.999, 4)
    forgetful.average.on_train_begin(None, None, None, optimizer=forgetful.optimizer)
    forgetful.go(4)
    assert same(forgetful.weights(), unbroken.weights())
    assert not same(forgetful.averages(), unbroken.averages())


def test_a_model_is_given_the_average_of_a_checkpoint(tmp_path: Path):
    course = Course(0.9, 4)
    course.average.save(tmp_path)
    expected = course.averages()
    course.go(3)
    put_average(course.model, tmp_path)
    assert same(course.weights(), expected)
    assert set(load_file(tmp_path / moving_average.FILE)) == {"1.weight", "1.bias", "n_averaged"}
