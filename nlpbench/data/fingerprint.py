"""A digest of what a split holds, the same from csv, jsonl or parquet."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datasets

BATCH = 5_000  # rows; part of the definition, so it never changes


def fingerprint(rows: datasets.Dataset, columns: Sequence[str]) -> str:
    """Over the columns in alphabetical order and the rows in the order they stand."""
    digest = hashlib.sha256()
    selected = rows.select_columns(sorted(set(columns))).with_format(None)
    for start in range(0, rows.num_rows, BATCH):
        count = min(BATCH, rows.num_rows - start)
        batch = {"rows": count, "columns": selected[start : start + count] if columns else {}}
        text = json.dumps(
            batch, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str
        )
        digest.update(text.encode("utf-8", "surrogatepass") + b"\n")
    return f"sha256:{digest.hexdigest()}"


def joined(fingerprints: Sequence[str]) -> str:
    """One digest of what several tables hold."""
    digest = hashlib.sha256("\n".join(fingerprints).encode())
    return f"sha256:{digest.hexdigest()}"
