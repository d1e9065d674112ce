"""Whether a run compiles its model: only where the steps to come repay it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from nlpbench.config.errors import UserError

if TYPE_CHECKING:
    import torch

# Taken as: a minute or two to compile a model of BERT's size, a hundredth of a second saved a step.
# Not measured on a GPU yet.
STEPS_THAT_REPAY = 10_000


@dataclass(frozen=True)
class Compilation:
    on: bool
    reason: str


def choose(
    asked: bool | Literal["auto"], device: torch.device, steps: int, constant: bool = True
) -> Compilation:
    """`auto` is on for long runs on a GPU.

    Args:
        constant: the same parameters are trained from the first step to the last.

    On CPUs it is off: a hand-written loop with MiniLM took 145 ms a step compiled and 132 ms as it
    is, and 75 s to compile; `scripts/benchmark.py compile` measures it anew.

    Raises:
        UserError: asked for where there is no compiler.
    """
    compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if asked is True:
        if compiler is None:
            raise UserError("training.torch_compile: true needs a C++ compiler, and none was found")
        return Compilation(True, "asked for")
    if asked is False:
        return Compilation(False, "not asked for")
    if device.type != "cuda":
        return Compilation(False, f"a compiled step is not faster on {device.type}")
    if not constant:
        return Compilation(False, "what is trained changes on the way")
    if compiler is None:
        return Compilation(False, "no C++ compiler was found")
    if steps < STEPS_THAT_REPAY:
        return Compilation(False, f"{steps} steps do not repay it")
    return Compilation(True, f"{steps} steps repay it")
