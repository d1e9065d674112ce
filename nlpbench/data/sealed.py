"""An Arrow stream on disk that proves itself: a digest of it and a few facts stand at its end.

Readers of Arrow streams stop at the mark of their end, so that what follows it harms none.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, BinaryIO

MAGIC = b"NLPBENCH"
TAIL = len(MAGIC) + 8  # the length of the facts in bytes, then the magic
BLOCK = 1 << 20


def seal(path: Path, facts: dict[str, Any]) -> None:
    """Appends the facts, which JSON must know, and the digest."""
    with path.open("r+b") as stream:
        digest = _digest(stream, path.stat().st_size)
        text = json.dumps({"sha256": digest, "facts": facts}).encode()
        stream.seek(0, os.SEEK_END)
        stream.write(text + len(text).to_bytes(8, "little") + MAGIC)


def read_seal(path: Path) -> dict[str, Any] | None:
    """The facts; None where the file is none of ours, cut off or changed.

    Raises:
        OSError: the file cannot be read, or there is none.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        if size < TAIL:
            return None
        stream.seek(size - TAIL)
        tail = stream.read(TAIL)
        length = int.from_bytes(tail[:8], "little")
        if tail[8:] != MAGIC or length > size - TAIL:
            return None
        stream.seek(size - TAIL - length)
        try:
            sealed = json.loads(stream.read(length))
            expected, facts = sealed["sha256"], sealed["facts"]
        except (ValueError, KeyError, TypeError):
            return None
        stream.seek(0)
        return facts if _digest(stream, size - TAIL - length) == expected else None


def _digest(stream: BinaryIO, size: int) -> str:
    """Of the next `size` bytes. They are read, not mapped: mapped pages count as resident."""
    digest = hashlib.sha256()
    while size > 0 and (block := stream.read(min(BLOCK, size))):
        digest.update(block)
        size -= len(block)
    return digest.hexdigest()
