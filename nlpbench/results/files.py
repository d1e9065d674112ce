"""Files and directories that are whole or not there: written beside, then renamed."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nlpbench.config.errors import UserError

PARTIAL = ".partial"
REPLACED = ".replaced"
NO_PLACE = {
    errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EFBIG,
    errno.ENOTDIR, errno.EISDIR, errno.ENOENT, errno.EEXIST, errno.ENAMETOOLONG,
}  # fmt: skip


@contextmanager
def told_clearly(path: Path) -> Iterator[None]:
    """Raises UserError where a place cannot be written: no rights, no space, read-only."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_PLACE:
            raise UserError(f"cannot write {path}: {error.strerror}") from error
        raise


def write_text(path: Path, text: str) -> None:
    """Writes a file that a kill leaves either whole or as it was before."""
    partial = path.with_name(path.name + PARTIAL)
    with told_clearly(path):
        try:
            # Half a surrogate pair, as broken data may hold, has no UTF-8; the escape that is
            # written instead is the one that JSON and YAML know.
            with partial.open("w", encoding="utf-8", errors="backslashreplace") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            partial.replace(path)
        except BaseException:
            _remove(partial)
            raise


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Writes one JSON object a line, whole or not at all."""
    write_text(path, "".join(strict_json(row) + "\n" for row in rows))


def strict_json(value: Any, indent: int | None = None) -> str:
    """JSON that every reader takes: what is not a finite number is null."""
    return json.dumps(finite(value), indent=indent, ensure_ascii=False, allow_nan=False)


def finite(value: Any) -> Any:
    """A value of JSON with None for what is not a finite number, at any depth."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, list | tuple) else value


def spelled_if_infinite(value: Any) -> Any:
    """A number for JSON, which knows no infinity: the text "inf" or "-inf" in its place."""
    infinite = isinstance(value, float) and math.isinf(value)
    return str(value) if infinite else value


@contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """A directory to fill; it takes its name when the block ends without an error.

    What had the name before is kept until then, and is put back by the next call if the program
    was killed between the two renames.
    """
    partial = path.with_name(path.name + PARTIAL)
    replaced = path.with_name(path.name + REPLACED)
    with told_clearly(path):
        if replaced.exists() and not path.exists():
            replaced.rename(path)
        _remove(partial)
        partial.mkdir(parents=True)
        try:
            yield partial
            for file in partial.rglob("*"):
                if file.is_file():
                    with file.open("rb") as stream:
                        os.fsync(stream.fileno())
            _remove(replaced)
            if path.is_dir():
                path.rename(replaced)
            partial.rename(path)
        except BaseException:
            _remove(partial)
            if replaced.exists() and not path.exists():
                replaced.rename(path)
            raise
        _remove(replaced)


def _remove(path: Path) -> None:
    """Removes a file or a directory, if it is there and can be removed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        try:
            path.unlink(missing_ok=True)
        except OSError:
            return
