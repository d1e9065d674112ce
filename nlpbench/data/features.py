"""Features of rows on disk: made once for the same rows and options, and found again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from nlpbench.data import cache
from nlpbench.data.fingerprint import fingerprint

if TYPE_CHECKING:
    import datasets
    import numpy as np
    from numpy.typing import NDArray

logger = logging.getLogger("nlpbench")
# Rows that a tokenizer gets at once: enough to keep all its threads at work.
BATCH = 5_000


class Advances(Protocol):
    """What is told how many rows are done."""

    def advance(self, count: int) -> None: ...


def kept(
    rows: datasets.Dataset,
    key: Mapping[str, Any],
    encode: Callable[[Iterable[Mapping[str, Any]]], Iterator[Mapping[str, Any]]],
    progress: Callable[[], AbstractContextManager[Advances]],
) -> datasets.Dataset:
    """Memory-mapped features, from the cache where the same rows and `key` have been there.

    Args:
        rows: with the columns that are encoded, and no other.
        key: all that the features follow from besides the rows; JSON must know it.
        encode: columns of batches of rows, in order, to columns of batches of features.
        progress: shows how far it is; entered only where there is something to do.
    """
    from datasets.arrow_writer import ArrowWriter

    made = False

    def write(path: Path) -> dict[str, Any]:
        nonlocal made
        made = True
        with progress() as shown, ArrowWriter(path=str(path)) as writer:

            def batches() -> Iterator[Mapping[str, Any]]:
                for batch in rows.with_format(None).iter(BATCH):
                    yield batch
                    shown.advance(len(next(iter(batch.values()))))

            for made_of_batch in encode(batches()):
                writer.write_batch(dict(made_of_batch))
            writer.finalize()
        return {}

    found = cache.stored("features", {"rows": fingerprint(rows, rows.column_names), **key}, write)
    if not made:
        logger.info("%d encoded rows from the cache", found.table.num_rows)
    return found.dataset()


def lengths(features: datasets.Dataset, column: str = "length") -> NDArray[np.int64]:
    """(n,) tokens of every row; no list of a million Python numbers on the way."""
    import numpy as np

    tables = features.select_columns([column]).with_format("arrow").iter(100_000)
    parts = [np.asarray(table.column(0), dtype=np.int64) for table in tables]
    return np.concatenate(parts) if parts else np.empty(0, np.int64)
