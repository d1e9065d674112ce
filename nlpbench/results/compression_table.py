"""The table of a chain of compression methods: a row a step, each beside the original."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nlpbench.results.cell import Cell, Row
from nlpbench.results.numbers import told
from nlpbench.results.record import Record
from nlpbench.results.table import Table

COSTS = {
    "size_mb": "MB",
    "latency_ms_p50": "p50 ms",
    "examples_per_second": "rows/s",
    "peak_memory_mb": "memory MB",
}


def build(records: Sequence[Record]) -> Table:
    """The table of the original and the steps, as `runs.compress` gives their records.

    Costs stand with their ratio to the original's, the difference is that of the first score, paired
    on the same rows.
    """
    original, *_ = records
    scores = list(original.scores)
    rows = [_row(record, scores) for record in records]
    costs = [
        name
        for key, name in COSTS.items()
        if any(record.efficiency.get(key) is not None for record in records)
    ]
    headline = scores[0] if scores else ""
    notes = [
        f"difference: of {headline} to the original, paired on the same rows, with its "
        f"{original.interval.get('confidence', 0.95) * 100:g} % interval",
        "in brackets: times the original's",
    ]
    if original.efficiency.get("measured_together") or len(records) > 1:
        device, threads = (original.efficiency.get(key) for key in ("device", "threads"))
        if device is not None:
            notes.append(f"costs measured side by side on {device}, {threads} threads")
    for record in records:
        lacking = record.compression.get("no_gain_in")
        if lacking:
            notes.append(f"{record.name}: no gain in {' or '.join(lacking)} on this device")
    columns = ["step", *scores, "difference", "params", "nonzero", *costs]
    return Table(columns, rows, scores, notes)


def _row(record: Record, scores: Sequence[str]) -> Row:
    facts = record.compression
    ratios: dict[str, float] = facts.get("ratios", {})
    row = {"step": Cell(record.name)}
    for key in scores:
        score = record.scores.get(key)
        row[key] = Cell(score.value, score.low, score.high) if score else Cell()
    difference: dict[str, Any] = facts.get("differences", {}).get(scores[0], {}) if scores else {}
    row["difference"] = Cell(difference.get("value"), difference.get("low"), difference.get("high"))
    row["params"] = Cell(
        _with_ratio(_count(record.efficiency.get("parameters")), ratios.get("parameters"))
    )
    share = facts.get("nonzero_share")
    row["nonzero"] = Cell(None if share is None else f"{share:.1%}")
    for key, name in COSTS.items():
        value = record.efficiency.get(key)
        row[name] = Cell(None if value is None else _with_ratio(told(value), ratios.get(key)))
    return row


def _with_ratio(text: str | None, ratio: float | None) -> str | None:
    return text if text is None or ratio is None else f"{text} ({ratio:.2f})"


def _count(value: int | None) -> str | None:
    if value is None:
        return None
    return f"{value / 1e6:.1f}M" if value >= 1e6 else f"{value / 1e3:.1f}k"
