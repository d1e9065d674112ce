"""What a source is made of: a file, or the files of one text in several languages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DataFile:
    """A file, and what messages call it.

    Attributes:
        path: the file; of parallel text the first one.
        sides: of parallel text the names of the columns, each with its file; else empty.
    """

    path: Path
    place: str
    sides: tuple[tuple[str, DataFile], ...] = ()

    @property
    def named(self) -> tuple[tuple[str, DataFile], ...]:
        """The files that are read, with the names of their columns where they have one."""
        return self.sides or (("", self),)


def stamps(files: Sequence[DataFile]) -> list[tuple[int, int]]:
    """Size and time of every file: what changes where a file does."""
    found = [each.path.stat() for file in files for _, each in file.named]
    return [(status.st_size, status.st_mtime_ns) for status in found]
