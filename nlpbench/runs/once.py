"""Something that is made when it is first asked for, and kept, or the error that this ended in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

Made = TypeVar("Made")


class Once(Generic[Made]):
    """Calls `make` once; every call of this gives its value, or raises its error."""

    def __init__(self, make: Callable[[], Made]) -> None:
        self._make = make
        self._made: list[Made] = []
        self._error: Exception | None = None

    def __call__(self) -> Made:
        if not self._made and self._error is None:
            try:
                self._made.append(self._make())
            except Exception as error:  # noqa: BLE001 - raised below, at this call and all others
                self._error = error
        if self._error is not None:
            raise self._error
        return self._made[0]
