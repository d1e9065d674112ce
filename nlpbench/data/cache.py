"""Tables kept on disk from run to run, each under a digest of what it was made from."""

from __future__ import annotations

import atexit
import functools
import hashlib
import json
import logging
import mmap
import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpbench.config.cache_home import ENVIRONMENT, cache_home
from nlpbench.config.errors import UserError
from nlpbench.data.sealed import read_seal, seal

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa
    from datasets.table import MemoryMappedTable

logger = logging.getLogger("nlpbench")
VERSION = 1  # of what the entries hold; a new one forgets all entries
PATIENCE = 5.0  # seconds of waiting in silence for another run

_mappings: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()

Write = Callable[[Path], dict[str, Any]]


@dataclass(frozen=True)
class Stored:
    """A memory-mapped table, and what was noted about it when it was made."""

    table: MemoryMappedTable
    facts: dict[str, Any]
    digest: str

    def dataset(self) -> datasets.Dataset:
        import datasets

        try:
            return datasets.Dataset(self.table, fingerprint=self.digest)
        except (ValueError, KeyError, TypeError, NotImplementedError):
            # Metadata that another program left about columns which are no longer so.
            plain = self.table.replace_schema_metadata(None)
            return datasets.Dataset(plain, fingerprint=self.digest)


def stored(kind: str, key: Mapping[str, Any], write: Write) -> Stored:
    """The table made from `key`: from the cache, or written now and kept for the next run.

    An entry is one file, renamed into place when it is whole, and read only if it still is what
    was written: runs at the same time, kills and bad disks harm none. Where the cache cannot be
    written, a temporary directory of this process takes its place.

    Args:
        kind: the folder in the cache, such as rows.
        key: everything that the content follows from; JSON must know it.
        write: makes the Arrow stream at the path that it is given, and returns facts to note.

    Raises:
        UserError: neither the cache nor a temporary directory takes the table.
    """
    text = json.dumps([VERSION, kind, key], sort_keys=True)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    try:
        return _stored(cache_home() / kind, digest, write)
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home
        _note_once(str(error))
    try:
        return _stored(_temporary() / kind, digest, write)
    except OSError as error:
        raise UserError(
            f"{tempfile.gettempdir()}: no place for {kind} ({error.strerror or error}); set "
            f"{ENVIRONMENT} to a directory with room"
        ) from None


def _stored(folder: Path, digest: str, write: Write) -> Stored:
    from filelock import FileLock, Timeout

    path = folder / f"{digest}.arrow"
    if (found := _open(path)) is not None:
        return found
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{digest}.lock")
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        logger.info("waiting for another run that writes %s", path)
        lock.acquire()
    try:
        if (found := _open(path)) is not None:
            return found
        if path.exists():
            logger.info("%s is damaged and is made again", path)
        with tempfile.TemporaryDirectory(dir=folder, prefix=f"{digest}.") as workshop:
            part = Path(workshop) / "table.arrow"
            seal(part, write(part))
            part.replace(path)
        found = _open(path)
    finally:
        lock.release()
    if found is None:
        raise OSError(f"{path} reads back otherwise than it was written")
    return found


def _open(path: Path) -> Stored | None:
    """The entry, or None where there is none that is whole."""
    import pyarrow as pa
    from datasets.table import MemoryMappedTable

    try:
        facts = read_seal(path)
        if facts is None:
            return None
        return Stored(MemoryMappedTable(_map(path), str(path)), facts, path.stem)
    except (FileNotFoundError, pa.ArrowInvalid):
        return None


def _map(path: Path) -> pa.Table:
    import pyarrow as pa

    with path.open("rb") as stream:
        mapping = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    _mappings.add(mapping)
    with pa.ipc.open_stream(pa.BufferReader(pa.py_buffer(mapping))) as reader:
        return reader.read_all()


def release_pages() -> None:
    """Gives back the memory of tables that were read; what is needed again is read again.

    Pages of a mapped file count as resident once they are touched, although the system may take
    them whenever it wants. After a pass over all rows they would stand in every measured peak.
    """
    if hasattr(mmap, "MADV_DONTNEED"):
        for mapping in list(_mappings):
            mapping.madvise(mmap.MADV_DONTNEED)


@functools.cache
def _note_once(reason: str) -> None:
    logger.warning(
        "the cache cannot be written (%s): rows and tokens go to a temporary directory, and the "
        "next run makes them again; set %s to a directory that can be written",
        reason,
        ENVIRONMENT,
    )


@functools.cache
def _temporary() -> Path:
    """A directory that goes when the process ends."""
    place = tempfile.mkdtemp(prefix="nlpbench-")
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return Path(place)
