"""What a look at the rows tells before training: duplicates, leakage, conflicts, lengths."""

from __future__ import annotations

import functools
import hashlib
import math
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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
    labels: Mapping[str, Iterable[str]] | None,
    max_leakage: float | None,
    locate: Callable[[str, int], str] | None = None,
) -> Audit:
    """`texts[split]` has one string an example; `locate(split, index)` says where a row stands."""
    looks = {name: look(rows) for name, rows in texts.items()}
    splits = {
        name: audit_split(found, None if labels is None else labels[name])
        for name, found in looks.items()
    }
    leakage = {
        name: find_leakage(looks["train"], found)
        for name, found in looks.items()
        if name != "train" and "train" in looks
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


@dataclass(frozen=True)
class Look:
    """What the audit keeps of n texts: 25 bytes each, however long they are.

    Texts are compared by 64-bit hashes. That two among ten million unlike ones have the same is a
    matter of 3 in a million, and then a count is wrong by one.

    Attributes:
        exact: (n,) a hash of each text.
        keys: (n,) a hash of each normalised text.
        filled: (n,) whether there is more than whitespace.
        words, characters: (n,) lengths.
    """

    exact: NDArray[np.uint64]
    keys: NDArray[np.uint64]
    filled: NDArray[np.bool_]
    words: NDArray[np.int32]
    characters: NDArray[np.int32]


def look(texts: Sequence[str]) -> Look:
    """Reads every text once."""
    import numpy as np

    count = len(texts)
    found = Look(
        exact=np.empty(count, np.uint64),
        keys=np.empty(count, np.uint64),
        filled=np.empty(count, np.bool_),
        words=np.empty(count, np.int32),
        characters=np.empty(count, np.int32),
    )
    for number, text in enumerate(texts):
        key = normalise(text)
        found.exact[number] = digest(text)
        found.keys[number] = digest(key)
        found.filled[number] = bool(key)
        found.words[number] = len(text.split())
        found.characters[number] = len(text)
    return found


def digest(text: str) -> int:
    data = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def audit_split(found: Look, labels: Iterable[str] | None) -> SplitAudit:
    import numpy as np

    exact, keys = found.exact[found.filled], found.keys[found.filled]
    classes = conflicting_texts = conflicting_rows = None
    if labels is not None:
        numbers: dict[str, int] = {}
        codes = np.fromiter(
            (numbers.setdefault(label, len(numbers)) for label in labels), np.int32, len(found.keys)
        )
        rows = np.bincount(codes, minlength=len(numbers)).tolist()
        classes = {name: rows[numbers[name]] for name in sorted(numbers)}
        conflicting_texts, conflicting_rows = conflicts(keys, codes[found.filled])
    return SplitAudit(
        rows=len(found.filled),
        classes=classes,
        empty_texts=int((~found.filled).sum()),
        exact_duplicates=len(exact) - distinct(exact),
        normalised_duplicates=len(keys) - distinct(keys),
        words=percentiles(found.words),
        characters=percentiles(found.characters),
        conflicting_texts=conflicting_texts,
        conflicting_rows=conflicting_rows,
    )


def distinct(hashes: NDArray[np.uint64]) -> int:
    import numpy as np

    ordered = np.sort(hashes)
    return int(np.count_nonzero(ordered[1:] != ordered[:-1])) + bool(len(ordered))


def conflicts(keys: NDArray[np.uint64], codes: NDArray[np.int32]) -> tuple[int, int]:
    """How many texts have more than one label, and how many rows hold them."""
    import numpy as np

    if not len(keys):
        return 0, 0
    order = np.argsort(keys)
    ordered = keys[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    codes = codes[order]
    conflicting = np.minimum.reduceat(codes, starts) != np.maximum.reduceat(codes, starts)
    rows = np.diff(starts, append=len(keys))
    return int(conflicting.sum()), int(rows[conflicting].sum())


def find_leakage(train: Look, found: Look) -> Leakage:
    import numpy as np

    train_rows = np.flatnonzero(train.filled)
    order = train_rows[np.argsort(train.keys[train.filled], kind="stable")]
    keys = train.keys[order]
    leaking = np.flatnonzero(found.filled & stand_in(keys, found.keys))
    exact = int(stand_in(np.sort(train.exact), found.exact[leaking]).sum())
    shown = leaking[:EXAMPLES]
    twins = order[np.searchsorted(keys, found.keys[shown])]  # the first row of those alike
    total = max(len(found.filled), 1)
    return Leakage(
        exact_rows=exact,
        exact_share=exact / total,
        normalised_rows=len(leaking),
        normalised_share=len(leaking) / total,
        examples=list(zip(shown.tolist(), twins.tolist(), strict=True)),
    )


def stand_in(ordered: NDArray[np.uint64], hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """(n,) which of the hashes stand among the ordered ones."""
    import numpy as np

    if not len(ordered):
        return np.zeros(len(hashes), np.bool_)
    places = np.minimum(np.searchsorted(ordered, hashes), len(ordered) - 1)
    return np.asarray(ordered[places] == hashes)


@functools.cache
def punctuation() -> dict[int, str]:
    """Every mark of punctuation, folded to a space; symbols and emoji carry meaning and stay."""
    points = range(0x20000)
    return {point: " " for point in points if unicodedata.category(chr(point))[0] == "P"}


def normalise(text: str) -> str:
    """Without case, punctuation and runs of whitespace; a text of nothing else stays as it is."""
    folded = " ".join(text.casefold().translate(punctuation()).split())
    return folded or text.strip()


def percentiles(lengths: NDArray[np.int32]) -> dict[str, int]:
    """Nearest rank: each figure is the length of a real row."""
    import numpy as np

    ordered = np.sort(lengths)
    return {
        name: int(ordered[math.ceil(share * len(ordered)) - 1]) if len(ordered) else 0
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
