"""How far a long piece of work is: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType
from typing import Any, Self

logger = logging.getLogger("nlpbench")
SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Counts `unit`s of work and shows rate and time left; silent below the log level INFO."""

    def __init__(self, what: str, total: int, unit: str = "rows", done: int = 0) -> None:
        self.what, self.total, self.unit = what, total, unit
        self.done = self.done_before = done
        self.shown = logger.isEnabledFor(logging.INFO)
        self.bar: Any = None

    def __enter__(self) -> Self:
        self.started = self.last_line = time.perf_counter()
        if self.shown and sys.stderr.isatty():
            self.bar, self.task = self._make_bar()
            self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.bar is not None:
            self.bar.stop()

    def advance(self, count: int = 1, note: str = "") -> None:
        self.done += count
        now = time.perf_counter()
        if self.bar is not None:
            rate = (self.done - self.done_before) / max(now - self.started, 1e-9)
            self.bar.update(self.task, completed=self.done, note=note, rate=f"{rate:.1f}/s")
        elif self.shown and now - self.last_line >= SECONDS_BETWEEN_LINES:
            self.last_line = now
            logger.info("%s", self.line(now, note))

    def line(self, now: float, note: str = "") -> str:
        rate = (self.done - self.done_before) / max(now - self.started, 1e-9)
        left = (self.total - self.done) / rate if rate else float("inf")
        text = (
            f"{self.what}: {self.done}/{self.total} {self.unit}, {rate:.1f}/s, {_clock(left)} left"
        )
        return f"{text}, {note}" if note else text

    def _make_bar(self) -> tuple[Any, Any]:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as Bar

        bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(self.unit),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
            transient=True,
        )
        return bar, bar.add_task(self.what, total=self.total, completed=self.done, note="", rate="")


def _clock(seconds: float) -> str:
    if seconds == float("inf"):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
