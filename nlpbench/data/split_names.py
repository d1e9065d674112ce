"""Which of the names that a source gives its splits is train, validation or test."""

from __future__ import annotations

import re
from collections.abc import Iterable

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show, suggest
from nlpbench.config.sections import DataSection

SPLITS = ("train", "validation", "test")
ALIASES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}


def split_of(name: str) -> str | None:
    """The split that a name such as train, sst2_train or dev-2 speaks of."""
    words = re.split(r"[^a-z]+", name.lower())
    return next((ALIASES[word] for word in words if word in ALIASES), None)


def choose(names: Iterable[str], config: DataSection, source: str) -> dict[str, list[str]]:
    """The names that make up each split: those the config gives, else those that speak of it."""
    names = list(names)
    chosen = {}
    for split in SPLITS:
        wanted = getattr(config, split)
        if wanted is not None:
            if wanted not in names:
                alike = [name for name in names if ALIASES.get(name) == wanted]
                if not alike:
                    raise UserError(
                        f"data.{split}: {source} has no split {show(wanted)}; "
                        f"{suggest(wanted, names)}"
                    )
                wanted = alike[0]
            chosen[split] = [wanted]
            continue
        exact = [name for name in names if ALIASES.get(name.lower()) == split]
        found = exact or [name for name in names if split_of(name) == split]
        if found:
            chosen[split] = found
    return chosen


def refuse_ambiguous(names: Iterable[str], split: str, source: str) -> None:
    """train_1 and train_2 are parts of one split; validation_matched and _mismatched are not."""
    names = list(names)
    if len({re.sub(r"\d+", "", name) for name in names}) > 1:
        raise UserError(
            f"{source}: {' and '.join(names)} could each be the {split} split; "
            f"say which with data.{split}"
        )
