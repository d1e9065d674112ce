"""Entities in IOB2 tags, and how many of each type are found, predicted and right."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from nlpbench.config.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

Mode = Literal["strict", "lenient"]

UNTYPED = "_"
"""The type of the tags `B` and `I`, which name none."""


class Entity(NamedTuple):
    """Words `start` to `end` of a sentence, the last one excluded."""

    type: str
    start: int
    end: int


@dataclass(frozen=True)
class EntityCounts:
    """How many entities each sentence holds, by type."""

    types: list[str]
    """(T,) sorted: the declared ones and those that occur."""
    counts: Array
    """(n, T, 3) int: right, predicted and actual entities."""


@cache
def split_tag(tag: str) -> tuple[str, str]:
    """Prefix and type: `B-PER` is B and PER, `O` is O and nothing.

    Raises:
        UserError: no tag of IOB2.
    """
    prefix, _, entity_type = tag.partition("-")
    if tag == "O":
        return "O", ""
    if prefix not in ("B", "I"):
        raise UserError(f"{tag!r} is no tag of IOB2, allowed: O, B-TYPE, I-TYPE")
    return prefix, entity_type or UNTYPED


def entity_types(tags: Iterable[str]) -> list[str]:
    """The types that the tags name, sorted.

    Raises:
        UserError: no tag of IOB2.
    """
    return sorted({split_tag(tag)[1] for tag in tags} - {""})


def entities(tags: Sequence[str], mode: Mode = "strict") -> Iterator[Entity]:
    """The entities of one sentence.

    An entity is a `B` and the `I`s of its type right behind it. An `I` of another type, or with no
    entity before it, belongs to nothing if strict; if lenient it begins an entity, as in the
    conlleval script of CoNLL-2000 (Tjong Kim Sang and Buchholz 2000).

    Raises:
        UserError: no tag of IOB2.
    """
    opened, start = "", 0
    for place, tag in enumerate((*tags, "O")):
        prefix, entity_type = split_tag(tag)
        if prefix == "I" and entity_type == opened:
            continue
        if opened:
            yield Entity(opened, start, place)
        begins = prefix == "B" or (prefix == "I" and mode == "lenient")
        opened, start = (entity_type, place) if begins else ("", place)


def entity_counts(
    predictions: Array, references: Array, declared: Sequence[str] = (), mode: Mode = "strict"
) -> EntityCounts:
    """Counts the entities of n sentences: right are those with the same words and type.

    Args:
        predictions: (n,) lists of IOB2 tags.
        references: (n,) lists of IOB2 tags.
        declared: types that are counted even if none occurs.
    """
    import numpy as np

    predicted = [set(entities(tags, mode)) for tags in predictions]
    actual = [set(entities(tags, mode)) for tags in references]
    occurring = {entity.type for found in (*predicted, *actual) for entity in found}
    types = sorted({*declared, *occurring})
    column = {entity_type: number for number, entity_type in enumerate(types)}
    counts = np.zeros((len(actual), len(types), 3), dtype=np.int32)
    for row, (guessed, true) in enumerate(zip(predicted, actual, strict=True)):
        for number, found in enumerate((guessed & true, guessed, true)):
            for entity in found:
                counts[row, column[entity.type], number] += 1
    return EntityCounts(types, counts)


def check_words(metric: str, predictions: Array, references: Array) -> None:
    """Refuses what cannot be compared word by word.

    Raises:
        UserError: a number of sentences or words that differs.
    """
    if len(predictions) != len(references):
        raise UserError(
            f"{metric}: {len(predictions)} predictions for {len(references)} references; "
            "give one list of tags for every sentence"
        )
    for row, (guessed, true) in enumerate(zip(predictions, references, strict=True), start=1):
        if len(guessed) != len(true):
            raise UserError(
                f"{metric}: row {row}: {len(guessed)} predicted tags for {len(true)} words; "
                "give one tag for every word"
            )


def check_tags(metric: str, predictions: Array, references: Array) -> None:
    """Refuses what are no entities.

    Raises:
        UserError: as `check_words`, and for a tag that is none of IOB2.
    """
    check_words(metric, predictions, references)
    for row, (guessed, true) in enumerate(zip(predictions, references, strict=True), start=1):
        for side, tags in (("prediction", guessed), ("reference", true)):
            for word, tag in enumerate(tags, start=1):
                try:
                    split_tag(tag)
                except UserError as error:
                    raise UserError(f"{metric}: row {row}, word {word}, {side}: {error}") from None
