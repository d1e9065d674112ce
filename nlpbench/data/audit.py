"""What a look at the rows tells before training: duplicates, leakage, conflicts, lengths."""

from __future__ import annotations

import functools
import math
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
EXAMPLES = 3


@dataclass(frozen=True)
class SplitAudit:
    """One split by itself. A duplicate is a row whose text an earlier row has; empty ones apart."""

    rows: int
    classes: dict[str, int] | None
    empty_texts: int
    exact_duplicates: int
    normalised_duplicates: int
    words: dict[str, int]
    characters: dict[str, int]
    conflicting_texts: int | None
    conflicting_rows: int | None


@dataclass(frozen=True)
class Leakage:
    """Rows of an evaluation split whose text stands in train, which is not empty."""

    exact_rows: int
    exact_share: float
    normalised_rows: int
    normalised_share: float
    examples: list[tuple[int, int]]  # (row of the split, row of train), counted from 0


@dataclass(frozen=True)
class Audit:
    splits: dict[str, SplitAudit]
    leakage: dict[str, Leakage]
    warnings: list[str]

    def to_json(self) -> dict[str, Any]:
        leakage = {name: asdict(found) for name, found in self.leakage.items()}
        for found in leakage.values():
            found["examples"] = [list(pair) for pair in found["examples"]]
        return {
            "splits": {name: asdict(split) for name, split in self.splits.items()},
            "leakage": leakage,
        }

    def lines(self) -> list[tuple[str, ...]]:
        """A table: the names of the splits, then a row for each thing counted."""
        splits = self.splits.values()
        lines: list[tuple[str, ...]] = [("", *self.splits)]
        lines.append(("rows", *(f"{split.rows}" for split in splits)))
        if any(split.classes is not None for split in splits):
            lines.append(("classes", *(balance(split.classes) for split in splits)))
        lines += [
            ("empty texts", *(f"{split.empty_texts}" for split in splits)),
            ("duplicates, exact", *(f"{split.exact_duplicates}" for split in splits)),
            ("duplicates, normalised", *(f"{split.normalised_duplicates}" for split in splits)),
        ]
        if any(split.conflicting_rows is not None for split in splits):
            conflicts = (conflict(split) for split in splits)
            lines.append(("label conflicts", *conflicts))
        label = " ".join(PERCENTILES)
        lines.append((f"words, {label}", *(figures(split.words) for split in splits)))
        lines.append((f"characters, {label}", *(figures(split.characters) for split in splits)))
        if self.leakage:
            found = [self.leakage.get(name) for name in self.splits]
            exact = (
                f"{each.exact_rows} ({each.exact_share:.1%})" if each else "" for each in found
            )
            folded = (
                f"{each.normalised_rows} ({each.normalised_share:.1%})" if each else ""
                for each in found
            )
            lines += [("stand in train, exact", *exact), ("stand in train, normalised", *folded)]
        return lines


def audit(
    texts: Mapping[str, Sequence[str]],
    labels: Mapping[str, Sequence[str]] | None,
    max_leakage: float | None,
    locate: Callable[[str, int], str] | None = None,
) -> Audit:
    """`texts[split]` has one string an example; `locate(split, index)` says where a row stands."""
    keys = {name: [normalise(text) for text in rows] for name, rows in texts.items()}
    splits = {
        name: audit_split(rows, keys[name], None if labels is None else labels[name])
        for name, rows in texts.items()
    }
    leakage = {
        name: find_leakage(texts["train"], keys["train"], rows, keys[name])
        for name, rows in texts.items()
        if name != "train" and "train" in texts
    }
    where = locate or (lambda name, index: f"{name} row {index + 1}")
    for name, found in leakage.items():
        if max_leakage is not None and found.normalised_share > max_leakage:
            row, train_row = found.examples[0]
            raise UserError(
                f"{name}: {found.normalised_rows} of {len(texts[name])} rows "
                f"({found.normalised_share:.1%}) stand in train as well, more than "
                f"data.max_leakage allows ({max_leakage:.1%}), such as "
                f"{where(name, row)} and {where('train', train_row)}: {show(texts[name][row])}; "
                "remove them from train, or raise data.max_leakage"
            )
    return Audit(splits, leakage, warn(texts, leakage, where))


def warn(
    texts: Mapping[str, Sequence[str]],
    leakage: Mapping[str, Leakage],
    where: Callable[[str, int], str],
) -> list[str]:
    """One sentence a run on all that leaks."""
    leaking = {name: found for name, found in leakage.items() if found.normalised_rows}
    if not leaking:
        return []
    counts = [
        f"{found.normalised_rows} of {len(texts[name])} {name} rows "
        f"({found.normalised_share:.1%}, {found.exact_rows} of them word for word)"
        for name, found in leaking.items()
    ]
    name, found = next(reversed(leaking.items()))
    row, train_row = found.examples[0]
    return [
        f"{' and '.join(counts)} stand in train as well, so scores on them flatter the model; "
        f"for example {where(name, row)} and {where('train', train_row)}: "
        f"{show(texts[name][row])}"
    ]


def audit_split(
    texts: Sequence[str], keys: Sequence[str], labels: Sequence[str] | None
) -> SplitAudit:
    filled = [text for text in texts if text.strip()]
    filled_keys = [key for key in keys if key]
    conflicting_texts = conflicting_rows = None
    if labels is not None:
        met: dict[str, set[str]] = {}
        for key, label in zip(keys, labels, strict=True):
            if key:
                met.setdefault(key, set()).add(label)
        conflicting = {key for key, found in met.items() if len(found) > 1}
        conflicting_texts = len(conflicting)
        conflicting_rows = sum(key in conflicting for key in keys) if conflicting else 0
    return SplitAudit(
        rows=len(texts),
        classes=None if labels is None else dict(sorted(Counter(labels).items())),
        empty_texts=len(texts) - len(filled),
        exact_duplicates=len(filled) - len(set(filled)),
        normalised_duplicates=len(filled_keys) - len(set(filled_keys)),
        words=percentiles([len(text.split()) for text in texts]),
        characters=percentiles([len(text) for text in texts]),
        conflicting_texts=conflicting_texts,
        conflicting_rows=conflicting_rows,
    )


def find_leakage(
    train: Sequence[str], train_keys: Sequence[str], texts: Sequence[str], keys: Sequence[str]
) -> Leakage:
    rows = {key: number for number, key in reversed(list(enumerate(train_keys))) if key}
    found = [number for number, key in enumerate(keys) if key in rows]
    exact_texts = set(train)
    exact = sum(texts[number] in exact_texts for number in found)
    total = max(len(texts), 1)
    return Leakage(
        exact_rows=exact,
        exact_share=exact / total,
        normalised_rows=len(found),
        normalised_share=len(found) / total,
        examples=[(number, rows[keys[number]]) for number in found[:EXAMPLES]],
    )


@functools.cache
def punctuation() -> dict[int, str]:
    """Every mark of punctuation, folded to a space; symbols and emoji carry meaning and stay."""
    points = range(0x20000)
    return {point: " " for point in points if unicodedata.category(chr(point))[0] == "P"}


def normalise(text: str) -> str:
    """Without case, punctuation and runs of whitespace; a text of nothing else stays as it is."""
    folded = " ".join(text.casefold().translate(punctuation()).split())
    return folded or text.strip()


def percentiles(lengths: Sequence[int]) -> dict[str, int]:
    """Nearest rank: each figure is the length of a real row."""
    ordered = sorted(lengths)
    return {
        name: ordered[math.ceil(share * len(ordered)) - 1] if ordered else 0
        for name, share in PERCENTILES.items()
    }


def balance(classes: Mapping[str, int] | None) -> str:
    if not classes:
        return ""
    least, most = min(classes, key=classes.__getitem__), max(classes, key=classes.__getitem__)
    if classes[least] == classes[most]:
        return f"{len(classes)} ({classes[most]} each)"
    return f"{len(classes)} ({least} {classes[least]} … {most} {classes[most]})"


def conflict(split: SplitAudit) -> str:
    if split.conflicting_rows is None:
        return ""
    if not split.conflicting_rows:
        return "0"
    noun = "text" if split.conflicting_texts == 1 else "texts"
    return f"{split.conflicting_texts} {noun} ({split.conflicting_rows} rows)"


def figures(values: Mapping[str, int]) -> str:
    return " ".join(str(value) for value in values.values())
