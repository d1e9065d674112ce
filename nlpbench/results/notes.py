"""What a reader must know besides the figures of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nlpbench.config.costs import MEASURED_COSTS
from nlpbench.results.cell import OF_SLICES, is_number
from nlpbench.results.hardware import Hardware
from nlpbench.results.record import Record
from nlpbench.results.row import Failed, data_of, headline


def of_scores(
    records: Sequence[Record], scores: Sequence[str], directions: Mapping[str, bool]
) -> list[str]:
    """How intervals were made, which scores are better when low, and which are not one metric."""
    if not scores:
        return []
    intervals = sorted({_told(record.interval) for record in records if record.interval})
    notes = intervals[:1] if len(intervals) == 1 else []
    if len(intervals) > 1:
        notes.append(f"intervals are not alike in all rows: {'; '.join(intervals)}")
    lower = [key for key in scores if not directions[key]]
    if lower:
        notes.append(f"lower is better: {', '.join(lower)}")
    for key in scores:
        signatures = {record.scores[key].signature for record in records if key in record.scores}
        if len(signatures) > 1:
            told = " and ".join(sorted(signatures))
            notes.append(f"{key} is not the same metric in all rows: {told}")
    return notes


def of_slices(records: Sequence[Record], shown: Sequence[str]) -> list[str]:
    """Which score the columns about slices are of."""
    columns = [key for key in OF_SLICES if key in shown]
    keys = dict.fromkeys(headline(record) for record in records if record.slices)
    if not columns or not keys:
        return []
    verb = "is" if len(columns) == 1 else "are"
    return [f"{' and '.join(columns)} {verb} of {' or '.join(str(key) for key in keys)}"]


def of_costs(hardware: Hardware, shown: Sequence[str], sorted_by: str | None) -> list[str]:
    """What the costs were measured on."""
    if not any(key in MEASURED_COSTS for key in shown):
        return []
    notes = [hardware.note] if hardware.note else []
    if sorted_by in MEASURED_COSTS and hardware.differs:
        notes.append(f"sorted by {sorted_by} across different hardware, which is no ranking")
    return notes


def of_data(records: Sequence[Record], scores: Sequence[str], shown: Sequence[str]) -> list[str]:
    """Whether the rows were scored on the same examples."""
    fingerprints = {(record.split, record.data[record.split].fingerprint) for record in records}
    if not scores or len(fingerprints) < 2:
        return []
    told = {
        (data_of(record), record.split, record.data[record.split].fingerprint) for record in records
    }
    # With the data named, and one data set behind each name, every reader sees which rows compare.
    if "data" in shown and len({(name, split) for name, split, _ in told}) == len(told):
        return ["compare rows of the same data only"]
    return ["rows were scored on different data; do not compare them"]


def of_failures(named: Sequence[tuple[str, Failed]], shown: Sequence[str]) -> list[str]:
    """The reasons, each with the rows it ended."""
    rows: dict[str, list[str]] = {}
    for name, failed in named:
        place = f"{name} on {failed.data}" if "data" in shown else name
        rows.setdefault(failed.reason, []).append(place)
    return [f"{', '.join(places)} failed: {reason}" for reason, places in rows.items()]


def _told(interval: dict[str, Any]) -> str:
    confidence, resamples = interval.get("confidence"), interval.get("resamples")
    share = f"{confidence * 100:g} % intervals" if is_number(confidence) else "intervals"
    method = str(interval.get("method", "bootstrap over examples"))
    return f"{share}: {method}" + (f", {resamples} resamples" if resamples else "")
