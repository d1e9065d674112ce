"""The bytes of a data file, unpacked and known to be UTF-8 text."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from nlpbench.config.errors import UserError

UTF8_MARK = b"\xef\xbb\xbf"
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
MARK_HARM = {
    "csv": "would become part of the first column's name",
    "tsv": "would become part of the first column's name",
    "txt": "would become part of the first row's text",
    "json": "is not JSON",
    "jsonl": "is not JSON",
}


def read_bytes(path: Path, place: str) -> bytes:
    """The content of a file; a name that ends in .gz is unpacked."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{place}: no such file (looked for {path.absolute()})") from None
    except IsADirectoryError:
        raise UserError(f"{place}: is a directory where a file is due") from None
    except OSError as error:
        raise UserError(f"{place}: cannot be read ({error.strerror or error})") from None
    if not data:
        raise UserError(f"{place}: the file is empty (0 bytes)")
    if path.suffix.lower() == ".gz":
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as error:
            raise UserError(
                f"{place}: not a whole gzip file ({error}); copy or download it again"
            ) from None
        if not data:
            raise UserError(f"{place}: the file is empty once unpacked (0 bytes)")
    return data


def check_text(data: bytes, place: str, format_name: str) -> None:
    """Refuse a byte order mark, UTF-16, and bytes that are not UTF-8."""
    if data.startswith(UTF8_MARK):
        raise UserError(
            f"{place}: begins with a UTF-8 byte order mark, which {MARK_HARM[format_name]}; "
            "save the file as UTF-8 without it"
        )
    if data.startswith(UTF16_MARKS) or b"\0" in data[:200]:
        raise UserError(f"{place}: is UTF-16 or binary, not UTF-8 text; save the file as UTF-8")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{place}, line {line}: byte 0x{data[error.start]:02x} at byte offset {error.start} "
            "is not UTF-8; save the file as UTF-8"
        ) from None
