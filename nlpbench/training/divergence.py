"""Stops a run whose loss or gradient is no longer finite, and says where that began."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import torch

from nlpbench.config.errors import RunError

SHOWN = 8


class Divergence:
    """Remembers the rows of the latest steps, and the first step that was not finite.

    Args:
        name: the id of a training row by its number.
        steps_remembered: whose rows can be named.
        at_once: look at every step once it is computed, as is best on a CPU. Otherwise, since that
            would make the program wait for its device at every step, the first such step is kept
            on the device, and looked at when losses are logged.
    """

    def __init__(
        self, name: Callable[[int], int | str], steps_remembered: int, at_once: bool
    ) -> None:
        self.name, self.at_once = name, at_once
        self.rows: deque[tuple[int, Sequence[int]]] = deque(maxlen=steps_remembered)
        self.first: dict[str, torch.Tensor] = {}

    def remember(self, step: int, rows: Sequence[int]) -> None:
        self.rows.append((step, rows))

    def watch(self, what: str, value: torch.Tensor, step: int, rate: float) -> None:
        """Looks at a scalar of the step; raises RunError `at_once` where it is not finite."""
        if self.at_once:
            self.check(what, float(value), step, rate)
            return
        first = self.first.setdefault(what, torch.full((), math.inf, device=value.device))
        bad = torch.where(torch.isfinite(value.detach()), math.inf, step)
        self.first[what] = torch.minimum(first, bad)

    def check_watched(self, rate: float) -> None:
        """Raises RunError where one of the steps so far was not finite."""
        for what, first in self.first.items():
            if math.isfinite(step := float(first)):
                self.check(what, math.nan, int(step), rate)

    def check(self, what: str, value: float, step: int, rate: float) -> None:
        """Raises RunError unless the value is finite."""
        if math.isfinite(value):
            return
        raise RunError(
            f"the {what} became {value} at step {step} (learning rate {rate:.3g}"
            f"{self._named(step)}): the training has diverged; try a lower "
            "training.learning_rate, more warmup_steps, or precision: fp32"
        )

    def _named(self, step: int) -> str:
        rows = next((rows for number, rows in self.rows if number == step), None)
        if rows is None:
            return ""
        names: list[Any] = [self.name(int(row)) for row in rows[:SHOWN]]
        more = f", … {len(rows)} in all" if len(rows) > SHOWN else ""
        return f", rows with the ids {', '.join(map(str, names))}{more}"
