"""Documents to passages of sentences, and passages to pairs: one goes on, or another one follows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

from nlpbench.tasks.language.framing import Tokens

if TYPE_CHECKING:
    import numpy as np

NEXT, RANDOM = 0, 1  # as BERT's head has it
CLOSING = r"[\"'”’»)\]]*"
# A mark with a space behind it, unless a small letter follows, or one of a script without spaces.
END = re.compile(rf"(?<=[.!?…]){CLOSING}\s+(?=[^a-zß-öø-ÿ\s])|(?<=[。！？।॥؟۔]){CLOSING}\s*")


def split_sentences(text: str, by: Literal["punctuation", "lines"]) -> list[str]:
    """The sentences of a document. A line break ends one, and so do marks where these are asked for."""
    lines = [line.strip() for line in text.splitlines()]
    if by == "lines":
        return [line for line in lines if line]
    return [sentence for line in lines for sentence in _sentences(line)]


def _sentences(line: str) -> Iterator[str]:
    start = 0
    for match in END.finditer(line):
        if found := line[start : match.end()].strip():
            yield found
        start = match.end()
    if rest := line[start:].strip():
        yield rest


@dataclass(frozen=True)
class Passage:
    """Consecutive sentences of one document.

    Attributes:
        tokens: of all of them.
        ends: how many tokens there are up to the end of each.
    """

    tokens: Tokens
    ends: list[int]

    @classmethod
    def of(cls, sentences: Sequence[Tokens]) -> Passage:
        ids = [token for sentence in sentences for token in sentence.ids]
        words: list[int] = []
        for sentence in sentences:
            first = words[-1] + 1 if words else 0
            words += [first + word for word in sentence.words]
        return cls(Tokens(ids, words), [*accumulate(len(sentence.ids) for sentence in sentences)])

    @property
    def length(self) -> int:
        return len(self.tokens.ids)

    def part(self, start: int, stop: int) -> Tokens:
        return Tokens(self.tokens.ids[start:stop], self.tokens.words[start:stop])


def passages(sentences: Sequence[Tokens], size: int) -> list[Passage]:
    """As many sentences each as fit `size` tokens, and two at least where there are two.

    A last sentence that would stand alone goes with the one before it, again.
    """
    groups: list[list[Tokens]] = [[]]
    room = size
    for sentence in (sentence for sentence in sentences if sentence.ids):
        if len(groups[-1]) > 1 and len(sentence.ids) > room:
            groups.append([])
            room = size
        groups[-1].append(sentence)
        room -= len(sentence.ids)
    if len(groups) > 1 and len(groups[-1]) == 1:
        groups[-1].insert(0, groups[-2][-1])
    return [Passage.of(group) for group in groups if group]


@dataclass(frozen=True)
class Pair:
    """Two texts that fit a model, and whether the second goes on where the first one ends."""

    first: Tokens
    second: Tokens
    label: int

    @property
    def words(self) -> tuple[list[int], list[int]]:
        """The word of each token of either text; no word stands in both."""
        behind = max(self.first.words, default=-1) + 1
        return self.first.words, [behind + word for word in self.second.words]


def draw_label(random: np.random.Generator, sentences: int) -> int:
    """NEXT or RANDOM, as likely; what has one sentence has no next one."""
    found = RANDOM if random.random() < 0.5 else NEXT
    return RANDOM if sentences < 2 else found


def draw_pair(
    passage: Passage, other: Passage, label: int, size: int, random: np.random.Generator
) -> Pair:
    """Splits a passage at the end of a sentence; what follows is its rest, or sentences of another.

    The other's are its last ones, as many as are nearest in length to the rest and fit, so that
    length does not tell the one from the other. Tokens are cut off only where single sentences are
    too long: far from where the two texts meet.
    """
    ends = passage.ends
    border = ends[int(random.integers(len(ends) - 1))] if len(ends) > 1 else _middle(passage, label)
    first, rest = passage.part(0, border), passage.part(border, passage.length)
    if label == NEXT:
        return Pair(*_cut(first, rest, size), NEXT)
    start = _start(other, len(rest.ids), size - len(first.ids))
    return Pair(*_cut(first, other.part(start, other.length), size), RANDOM)


def _middle(passage: Passage, label: int) -> int:
    """Where to split a single sentence: at its end, unless something must be left to follow."""
    return passage.length if label == RANDOM else passage.length // 2


def _start(other: Passage, wanted: int, room: int) -> int:
    """Where the last sentences of a passage begin that are nearest to the wanted length and fit."""
    starts = [0, *other.ends[:-1]]
    fitting = [start for start in starts if other.length - start <= room] or starts[-1:]
    return min(fitting, key=lambda start: abs(other.length - start - wanted))


def _cut(first: Tokens, second: Tokens, size: int) -> tuple[Tokens, Tokens]:
    """The end of the first and the beginning of the second: the longer one is cut first."""
    one, two = len(first.ids), len(second.ids)
    if one + two > size:
        half = size // 2
        one = min(one, max(half, size - two))
        two = size - one
    begin = len(first.ids) - one
    return (
        Tokens(first.ids[begin:], first.words[begin:]),
        Tokens(second.ids[:two], second.words[:two]),
    )
