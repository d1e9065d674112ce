"""Files and directories that are whole or not there: written beside, then renamed."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nlpbench.config.errors import UserError

PARTIAL = ".partial"
NO_PLACE = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR}


@contextmanager
def told_clearly(path: Path) -> Iterator[None]:
    """Raises UserError where a place cannot be written: no rights, no space, read-only."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_PLACE or isinstance(error, FileExistsError):
            raise UserError(f"cannot write {path}: {error.strerror}") from error
        raise


def write_text(path: Path, text: str) -> None:
    """Writes a file that a kill leaves either whole or as it was before."""
    partial = path.with_name(path.name + PARTIAL)
    with told_clearly(path):
        with partial.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Writes one JSON object a line, whole or not at all."""
    write_text(
        path, "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    )


@contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """A directory to fill; it takes its name when the block ends without an error."""
    partial = path.with_name(path.name + PARTIAL)
    with told_clearly(path):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        for file in partial.rglob("*"):
            if file.is_file():
                with file.open("rb") as stream:
                    os.fsync(stream.fileno())
        if path.exists():
            shutil.rmtree(path)
        partial.rename(path)
