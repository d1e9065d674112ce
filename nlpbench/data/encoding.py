"""The content of a data file, unpacked as it is read and known to be UTF-8 text."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from nlpbench.config.errors import UserError

BLOCK = 1 << 20  # bytes
UTF8_MARK = b"\xef\xbb\xbf"
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
MARK_HARM = {
    "csv": "would become part of the first column's name",
    "tsv": "would become part of the first column's name",
    "txt": "would become part of the first row's text",
    "json": "is not JSON",
    "jsonl": "is not JSON",
    "conll": "would become part of the first word",
}


def open_unpacked(path: Path, place: str) -> io.BufferedReader:
    """A stream over the content of a file; a name that ends in .gz is unpacked.

    Raises:
        UserError: there is no such file, it is empty, or it cannot be read, now or later on.
    """
    packed = _open(path, place)
    if not is_packed(path):
        return packed
    told = _Told(_Unpacking(fileobj=packed), place, packed=True)
    return _filled(told, f"{place}: the file is empty once unpacked (0 bytes)")


def is_packed(path: Path) -> bool:
    return path.suffix.lower() == ".gz"


def content_hash(path: Path, place: str) -> str:
    """The sha256 of the bytes on the disk."""
    with _open(path, place) as stream:
        digest = hashlib.sha256()
        for block in blocks(stream):
            digest.update(block)
    return digest.hexdigest()


def blocks(stream: BinaryIO) -> Iterator[bytes]:
    while block := stream.read(BLOCK):
        yield block


def check_text(path: Path, place: str, format_name: str) -> None:
    """Refuse a byte order mark, UTF-16, and bytes that are not UTF-8."""
    with open_unpacked(path, place) as stream:
        start = stream.peek(200)
        if start.startswith(UTF8_MARK):
            raise UserError(
                f"{place}: begins with a UTF-8 byte order mark, which {MARK_HARM[format_name]}; "
                "save the file as UTF-8 without it"
            )
        if start.startswith(UTF16_MARKS) or b"\0" in start[:200]:
            raise UserError(f"{place}: is UTF-16 or binary, not UTF-8 text; save the file as UTF-8")
        decoder = codecs.getincrementaldecoder("utf-8")()
        read = lines = 0
        for block in _with_end(blocks(stream)):
            pending = len(decoder.getstate()[0])
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                lines += error.object.count(b"\n", 0, error.start)
                raise UserError(
                    f"{place}, line {lines + 1}: byte 0x{error.object[error.start]:02x} at byte "
                    f"offset {read - pending + error.start} is not UTF-8; save the file as UTF-8"
                ) from None
            read += len(block)
            lines += block.count(b"\n")


def _with_end(stream: Iterator[bytes]) -> Iterator[bytes]:
    yield from stream
    yield b""


def _open(path: Path, place: str) -> io.BufferedReader:
    try:
        raw = path.open("rb", buffering=0)
    except FileNotFoundError:
        raise UserError(f"{place}: no such file (looked for {path.absolute()})") from None
    except IsADirectoryError:
        raise UserError(f"{place}: is a directory where a file is due") from None
    except OSError as error:
        raise UserError(f"{place}: cannot be read ({error.strerror or error})") from None
    return _filled(_Told(raw, place), f"{place}: the file is empty (0 bytes)")


def _filled(raw: io.RawIOBase, otherwise: str) -> io.BufferedReader:
    stream: io.BufferedReader = io.BufferedReader(raw, BLOCK)
    try:
        if not stream.peek(1):
            raise UserError(otherwise)
    except UserError:
        stream.close()
        raise
    return stream


class _Unpacking(gzip.GzipFile):
    """Closes the packed file too."""

    def close(self) -> None:
        packed = self.fileobj
        super().close()
        if isinstance(packed, io.BufferedReader):
            packed.close()


class _Told(io.RawIOBase):
    """A stream whose errors are told as those of the file, however late they come."""

    def __init__(self, inner: Any, place: str, packed: bool = False) -> None:
        super().__init__()
        self.inner, self.place, self.packed = inner, place, packed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            return self.inner.readinto(buffer) or 0
        except (EOFError, OSError, zlib.error) as error:
            if self.packed:
                raise UserError(
                    f"{self.place}: not a whole gzip file ({error}); copy or download it again"
                ) from None
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"{self.place}: cannot be read ({reason})") from None

    def close(self) -> None:
        self.inner.close()
        super().close()
