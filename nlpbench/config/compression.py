"""What is wrong with a chain of compression methods before any model is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from nlpbench.config.problems import Path, Problem


class _Method(Protocol):
    name: str
    trainable: bool
    takes_compressed: bool
    recover: Any


def problems(chain: Sequence[_Method]) -> list[Problem]:
    """Methods that cannot work where they stand, each with its place."""
    found = []
    for number, method in enumerate(chain):
        path: Path = ("compression", number)
        if method.recover is not None and not method.trainable:
            message = f"{method.name} leaves nothing that could be trained"
            advice = "recover before it, or take quantization-aware-training"
            found.append(Problem((*path, "recover"), message, advice, at_key=True))
        before = next((one.name for one in chain[:number] if not one.trainable), None)
        if before is not None and not method.takes_compressed:
            message = (
                f"{method.name} cannot come after {before}, whose weights are no floats any more"
            )
            found.append(Problem((*path, "name"), message, "put it before"))
    return found
