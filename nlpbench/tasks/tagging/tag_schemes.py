"""Ways to write entities as a tag a word, and all of them as IOB2."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Literal, NamedTuple

Scheme = Literal["iob2", "iob1", "ioe", "bilou", "bioes", "bmes", "io"]

LETTERS: dict[Scheme, str] = {
    "iob2": "BI",
    "iob1": "BI",
    "ioe": "IE",
    "bilou": "BILU",
    "bioes": "BIES",
    "bmes": "BMESW",
}
"""What may stand before the type; words outside of entities are O in all of them."""
ALIKE = {"L": "E", "U": "S", "W": "S", "M": "I"}
UNCLOSED = ("iob2", "iob1", "ioe")  # nothing marks the last word of every entity
UNTYPED = "_"


class Place(NamedTuple):
    """A word of a sentence, both counted from 0."""

    sentence: int
    word: int


class Entity(NamedTuple):
    """Words `start` to `end` of a sentence, the last one excluded."""

    type: str
    start: int
    end: int


@cache
def split_tag(tag: str) -> tuple[str, str] | None:
    """Letter and type: `B-PER` is B and PER, `O` is O and nothing; None where it is no such tag."""
    letter, hyphen, entity_type = tag.partition("-")
    if tag == "O":
        return "O", ""
    known = letter in ("B", "I", "E", "S", *ALIKE) and bool(entity_type) == bool(hyphen)
    return (letter, entity_type) if known else None


def detect(sentences: Sequence[Sequence[str]]) -> Scheme | None:
    """The scheme of a corpus; None where its letters are of no one scheme.

    IOB1 begins an entity with I, and with B only right behind another one of the same type; IOB2
    always with B. So the first entity of a corpus tells them apart, and where there is none it
    does not matter. A corpus with the Bs of IOB2 and some entities that begin with I is IOB2 with
    faults (Tjong Kim Sang and Veenstra 1999, "Representing Text Chunks").
    """
    letters = {
        found[0]
        for tag in {tag for tags in sentences for tag in tags}
        if (found := split_tag(tag)) is not None
    } - {"O"}
    if letters <= {"B", "I"}:
        return "iob1" if _begins_with_i(sentences) else "iob2"
    candidates: list[Scheme] = ["ioe", "bilou", "bioes", "bmes"]
    return next((scheme for scheme in candidates if letters <= set(LETTERS[scheme])), None)


def faults(sentences: Iterable[Sequence[str]], scheme: Scheme) -> Iterator[Place]:
    """The words where the tags break the rules of the scheme, though its letters are right."""
    if scheme in ("iob1", "ioe", "io"):
        return
    for number, tags in enumerate(sentences):
        opened: str | None = None
        for word, tag in enumerate((*tags, "O")):
            letter, entity_type = _read(tag)
            continues = letter in "IE" and entity_type == opened
            unclosed = opened is not None and scheme not in UNCLOSED
            if not continues and (letter in "IE" or unclosed):
                yield Place(number, min(word, len(tags) - 1))
            opened = entity_type if letter in "BI" else None


def to_iob2(tags: Sequence[str], scheme: Scheme) -> list[str]:
    """The same entities in IOB2; where the rules of the scheme are broken, an entity begins."""
    converted = []
    opened: str | None = None
    for tag in tags:
        letter, entity_type = _of_type(tag) if scheme == "io" else _read(tag)
        if letter == "O":
            converted.append("O")
        else:
            continues = letter in "IE" and entity_type == opened
            converted.append(_tag("I" if continues else "B", entity_type))
        opened = entity_type if letter in "BI" else None
    return converted


def types_of(tags: Iterable[str], scheme: Scheme | None) -> list[str]:
    """The types that the tags name, in order of appearance."""
    found = [_of_type(tag)[1] if scheme == "io" else _read(tag)[1] for tag in tags if tag != "O"]
    return list(dict.fromkeys(found))


def tags_of(types: Iterable[str]) -> list[str]:
    """The IOB2 tags of these types: O, and B and I of each."""
    return ["O", *(_tag(letter, entity_type) for entity_type in types for letter in "BI")]


def is_iob2(tag: str) -> bool:
    found = split_tag(tag)
    return found is not None and found[0] in "BIO"


def inside(tag: str) -> str:
    """The tag of what goes on where this one began: I for a B."""
    letter, entity_type = _read(tag)
    return tag if letter == "O" else _tag("I", entity_type)


def entities(tags: Sequence[str]) -> Iterator[Entity]:
    """The entities in strict IOB2: a B and the Is of its type right behind it."""
    opened, start = "", 0
    for place, tag in enumerate((*tags, "O")):
        letter, entity_type = _read(tag)
        entity_type = entity_type or UNTYPED
        if letter == "I" and entity_type == opened:
            continue
        if opened:
            yield Entity(opened, start, place)
        opened, start = (entity_type, place) if letter == "B" else ("", place)


def _begins_with_i(sentences: Sequence[Sequence[str]]) -> bool:
    """Whether entities begin with I, and with B only where they must."""
    begins = False
    for tags in sentences:
        before: str | None = None
        for tag in tags:
            letter, entity_type = _read(tag)
            if letter == "B" and entity_type != before:
                return False
            begins = begins or (letter == "I" and entity_type != before)
            before = None if letter == "O" else entity_type
    return begins


def _read(tag: str) -> tuple[str, str]:
    """Letter, one of O, B, I, E and S, and type."""
    found = split_tag(tag)
    if found is None:
        raise ValueError(tag)
    return ALIKE.get(found[0], found[0]), found[1]


def _of_type(tag: str) -> tuple[str, str]:
    return ("O", "") if tag == "O" else ("I", tag)


def _tag(letter: str, entity_type: str) -> str:
    return f"{letter}-{entity_type}" if entity_type else letter
