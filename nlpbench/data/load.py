"""Loads the splits that a run needs: finds, splits off, samples and identifies their rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show, suggest
from nlpbench.config.sections import DataSection
from nlpbench.data.beir import BeirSource
from nlpbench.data.documents import join
from nlpbench.data.fingerprint import fingerprint, joined
from nlpbench.data.nested import names_of, reach
from nlpbench.data.origin import Original, Part, Source, locate
from nlpbench.data.renaming import renamed
from nlpbench.data.sources import open_source
from nlpbench.data.split_names import SPLITS
from nlpbench.data.splitting import groups, sample, split_off, strata

if TYPE_CHECKING:
    import datasets
    import numpy as np

BATCH = 10_000  # rows


@dataclass(frozen=True)
class Split:
    """The rows of one split, each of which knows where it came from."""

    name: str
    rows: datasets.Dataset
    fingerprint: str
    id_column: str | None = field(default=None, repr=False)
    parts: tuple[Part, ...] = field(default=(), repr=False)
    positions: np.ndarray | None = field(default=None, repr=False)  # in the parts; None: as it is

    def position(self, index: int) -> int:
        """The 0-based number of the row in the split as its source holds it."""
        if not 0 <= index < self.rows.num_rows:
            raise IndexError(index)
        return index if self.positions is None else int(self.positions[index])

    def locate(self, index: int) -> str:
        return locate(self.parts, self.position(index))

    def id(self, index: int) -> int | str:
        if self.id_column is None:
            return self.position(index)
        value = self.rows[index][self.id_column]
        return value if isinstance(value, int | str) else str(value)


@dataclass(frozen=True)
class LoadedData:
    """The splits that were asked for, what was decided on the way, and which were taken from train.

    Attributes:
        corpus: of retrieval data the documents, with the columns _id, title and text; else None.
            The fingerprint of every split then covers them too.
    """

    splits: dict[str, Split]
    notes: list[str]
    drawn: frozenset[str] = frozenset()
    corpus: datasets.Dataset | None = None


def load(
    config: DataSection,
    needed: Sequence[str],
    columns: Sequence[str],
    stratify_by: str | None = None,
    beside: Mapping[str, Mapping[str, str]] | None = None,
) -> LoadedData:
    """The needed splits; one that the source lacks is split off train, and so is never in it.

    Args:
        columns: that every split needs.
        beside: by split the further columns that it alone needs, each with the key of the config
            that names it. They do not count towards its fingerprint.
    """
    source = open_source(config)
    available = source.available()
    lacking = [name for name in SPLITS if name in needed and name not in available]
    if "train" in lacking or (lacking and "train" not in available):
        raise UserError(lacks(source, lacking, available))
    notes: list[str] = []
    read = [name for name in available if name in needed or (name == "train" and lacking)]
    wanted = [*columns, *([config.id_column] if config.id_column else [])]
    wanted += [config.group_column] if config.group_column else []
    wanted += [name for further in (beside or {}).values() for name in further]
    originals = {
        name: reached(renamed(source.read(name), config.rename_columns), wanted)
        for name in SPLITS
        if name in read
    }
    for original in originals.values():
        check_rows(original, columns, config)
    if config.document_start is not None:
        originals = {name: join(found, columns, config) for name, found in originals.items()}
    for original in originals.values():
        notes += original.notes
    places: dict[str, tuple[Original, np.ndarray | None]] = {
        name: (original, None) for name, original in originals.items()
    }
    if lacking:
        held_out, method = draw(originals["train"], available, config, stratify_by)
        total = originals["train"].rows.num_rows
        places["train"] = (
            originals["train"],
            kept(total, [held_out[name] for name in lacking], originals["train"].place),
        )
        for name in lacking:
            places[name] = (originals["train"], held_out[name])
            share = getattr(config, f"{name}_share")
            notes.append(
                f"{name}: {share * 100:.4g} % of train ({len(held_out[name])} rows), "
                f"{method}, split seed {config.split_seed}"
            )
    for name, further in (beside or {}).items():
        check_columns(places[name][0], further)
    corpus, id_column = None, config.id_column
    if isinstance(source, BeirSource):
        corpus, id_column = source.corpus(), config.id_column or source.id_column
    splits = {}
    for name in SPLITS:
        if name in needed:
            original, positions = places[name]
            positions = cap(name, original, positions, config, notes)
            splits[name] = build(name, original, positions, columns, id_column)
    if corpus is not None:
        documents = fingerprint(corpus, corpus.column_names)
        splits = {
            name: replace(split, fingerprint=joined([split.fingerprint, documents]))
            for name, split in splits.items()
        }
    return LoadedData(splits, notes, frozenset(lacking), corpus)


def reached(original: Original, columns: Sequence[str]) -> Original:
    """With columns of their own for what a name such as translation.en means."""
    return replace(original, rows=reach(original.rows, columns))


def lacks(source: Source, lacking: Sequence[str], available: Sequence[str]) -> str:
    if "train" not in lacking and "train" not in available:
        return (
            f"{source.name}: has no {lacking[0]} split and no train split to take one from; "
            f"it has {', '.join(available)}"
        )
    return f"{source.name}: has no train split; it has {', '.join(available)}"


def check_rows(original: Original, columns: Sequence[str], config: DataSection) -> None:
    """Refuse a split without rows, without a column that is read, or with an id met twice."""
    rows, place = original.rows, original.place
    if rows.num_rows == 0 and not rows.column_names:
        raise UserError(f"{place}: has no rows")
    for name in columns:
        if name not in rows.column_names:
            raise UserError(f"{place}: {no_column(name, names_of(rows))}")
    if config.id_column is not None and config.id_column not in rows.column_names:
        problem = no_column(config.id_column, names_of(rows))
        raise UserError(f"{place}: data.id_column: {problem}")
    if rows.num_rows == 0:
        raise UserError(f"{place}: has no rows")
    if config.id_column is not None:
        check_ids(original, config.id_column)


def check_columns(original: Original, keys: Mapping[str, str]) -> None:
    """Refuse a split without a column that a key of the config names."""
    for name, key in keys.items():
        if name not in original.rows.column_names:
            problem = no_column(name, names_of(original.rows))
            raise UserError(f"{original.place}: {key}: {problem}")


def check_ids(original: Original, name: str) -> None:
    first: dict[Any, int] = {}
    for number, value in suspects(original.rows, name):
        if isinstance(value, list | dict):
            raise UserError(
                f"{locate(original.parts, number)}, column {show(name)}: {show(value)} "
                "cannot be an id; data.id_column needs a column of strings or whole numbers"
            )
        if value in first:
            raise UserError(
                f"data.id_column: {show(name)} holds {show(value)} twice "
                f"({locate(original.parts, first[value])}, and "
                f"{locate(original.parts, number)}); an id must be unique"
            )
        first[value] = number


def suspects(rows: datasets.Dataset, name: str) -> Iterator[tuple[int, Any]]:
    """The rows, by number, whose id may be met twice, or is none: equal ids have equal hashes."""
    import numpy as np

    try:
        hashes = np.fromiter(map(hash, values(rows, name)), np.int64, rows.num_rows)
    except TypeError:  # lists and mappings
        yield from enumerate(values(rows, name))
        return
    _, place, times = np.unique(hashes, return_inverse=True, return_counts=True)
    for number in np.flatnonzero(times[place] > 1).tolist():
        yield number, rows[number][name]


def values(rows: datasets.Dataset, name: str) -> Iterator[Any]:
    """A column, read a little at a time."""
    for batch in rows.select_columns([name]).with_format(None).iter(BATCH):
        yield from batch[name]


def no_column(name: str, names: Sequence[str]) -> str:
    outer, dot, _ = name.rpartition(".")
    beside = [each for each in names if dot and each.startswith(f"{outer}.")]
    inside = [each for each in names if each.endswith(f".{name}")]
    advice = suggest(name, beside or names)
    if len(inside) == 1:
        advice = f"did you mean {inside[0]}?"
    hint = f" {advice}" if advice.startswith("did you mean") else ""
    text = f"no column {show(name)};{hint} columns: {', '.join(names)}"
    if len(names) == 1 and any(mark in names[0] for mark in ";|\t"):
        text += ". If another character than a comma separates them, set data.delimiter"
    if list(names) == ["text"] and name in ("tokens", "tags"):
        text += ". If a word and its tag stand in each line, set data.format to conll"
    return text


def draw(
    train: Original, available: Sequence[str], config: DataSection, stratify_by: str | None
) -> tuple[dict[str, np.ndarray], str]:
    """The rows of every split that the source lacks, needed or not, and how they were drawn."""
    shares = {
        name: getattr(config, f"{name}_share")
        for name in ("test", "validation")
        if name not in available
    }
    classes, group_of = None, None
    if config.group_column is not None:
        group_of = groups_of(train, config.group_column, len(shares) + 1)
    elif stratify_by is not None and stratify_by in train.rows.column_names:
        classes = strata(values(train.rows, stratify_by))
    held_out = split_off(train.rows.num_rows, shares, classes, config.split_seed, group_of)
    if group_of is not None:
        return held_out, f"in groups of {config.group_column}"
    return held_out, "drawn at random" if classes is None else f"stratified by {stratify_by}"


def groups_of(train: Original, column: str, least: int) -> np.ndarray:
    """The group number of each row, of at least so many groups."""
    place = f"{train.place}: data.group_column"
    check_columns(train, {column: "data.group_column"})
    try:
        found = groups(values(train.rows, column))
    except TypeError as error:
        raise UserError(
            f"{place}: {show(column)} holds lists or mappings, and groups need texts or numbers"
        ) from error
    if (count := len(set(found.tolist()))) < least:
        raise UserError(
            f"{place}: too few groups ({count}) for {least} splits; name another column, or a file "
            "for each split"
        )
    return found


def kept(total: int, held_out: Sequence[np.ndarray], place: str) -> np.ndarray:
    """The rows that train keeps."""
    import numpy as np

    taken = np.concatenate(held_out)
    left = np.setdiff1d(np.arange(total), taken, assume_unique=True)
    if len(left) == 0 or any(len(rows) == 0 for rows in held_out):
        raise UserError(
            f"{place}: too few rows ({total}) to split validation and test off; "
            "bring more rows, or a file for each split"
        )
    return left


def cap(
    name: str,
    original: Original,
    positions: np.ndarray | None,
    config: DataSection,
    notes: list[str],
) -> np.ndarray | None:
    """At most `max_samples` of the rows."""
    limit = getattr(config.max_samples, name)
    total = original.rows.num_rows if positions is None else len(positions)
    if limit is None or limit >= total:
        return positions
    notes.append(f"{name}: {limit} of {total} rows, sampled with seed {config.split_seed}")
    chosen = sample(total, limit, config.split_seed)
    return chosen if positions is None else positions[chosen]


def build(
    name: str,
    original: Original,
    positions: np.ndarray | None,
    columns: Sequence[str],
    id_column: str | None,
) -> Split:
    rows = original.rows if positions is None else original.rows.select(positions)
    return Split(name, rows, fingerprint(rows, columns), id_column, original.parts, positions)
