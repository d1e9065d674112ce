"""Texts as tokens without special ones, and the special tokens that a tokenizer puts around them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Tokens:
    """A text of m tokens.

    Attributes:
        ids: (m,)
        words: (m,) the number of the word that each belongs to, from 0 on.
    """

    ids: list[int]
    words: list[int]


@dataclass(frozen=True)
class Frame:
    """What a tokenizer puts around one text, or around and between two.

    Attributes:
        gaps: the special tokens before, between and behind the texts.
        gap_types, part_types: the segment ids of these and of the texts; None where the model
            takes none.
    """

    gaps: tuple[tuple[int, ...], ...]
    gap_types: tuple[tuple[int, ...], ...] | None
    part_types: tuple[int, ...] | None

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase, parts: int = 1) -> Frame:
        """As the tokenizer itself frames one text or two.

        Raises:
            UserError: a tokenizer that does not tell its own tokens from those of the text.
        """
        if not tokenizer.is_fast:
            raise UserError(
                f"{type(tokenizer).__name__} does not tell special tokens from those of a text; take "
                "a model with a tokenizer of the library tokenizers (a tokenizer.json)"
            )
        sample: Any = tokenizer(*["a"] * parts, verbose=False)
        ids, types = sample["input_ids"], sample.get("token_type_ids")
        gaps: list[list[int]] = [[]]
        behind = None
        places: list[int] = []  # of the first token of each text
        for place, number in enumerate(sample.sequence_ids(0)):
            if number is None:
                gaps[-1].append(place)
            elif number != behind:
                gaps.append([])
                places.append(place)
                behind = number
        found = tuple(tuple(ids[place] for place in gap) for gap in gaps)
        if types is None:
            return cls(found, None, None)
        return cls(
            found,
            tuple(tuple(types[place] for place in gap) for gap in gaps),
            tuple(types[place] for place in places),
        )

    @property
    def special(self) -> int:
        """How many tokens it adds."""
        return sum(map(len, self.gaps))

    @property
    def tokens(self) -> set[int]:
        return {token for gap in self.gaps for token in gap}

    def around(self, *parts: Sequence[int]) -> list[int]:
        """The tokens of the texts with the special ones."""
        return self._joined(self.gaps, parts)

    def types(self, *parts: Sequence[int]) -> list[int] | None:
        """The segment ids of `around`."""
        if self.gap_types is None or self.part_types is None:
            return None
        kinds = zip(self.part_types, parts, strict=True)
        return self._joined(self.gap_types, [[kind] * len(part) for kind, part in kinds])

    def filled(self, *parts: Sequence[Any], value: Any) -> list[Any]:
        """What belongs to the tokens of the texts, with `value` for each special one."""
        return self._joined(tuple((value,) * len(gap) for gap in self.gaps), parts)

    @staticmethod
    def _joined(gaps: tuple[tuple[Any, ...], ...], parts: Sequence[Sequence[Any]]) -> list[Any]:
        joined = list(gaps[0])
        for part, gap in zip(parts, gaps[1:], strict=True):
            joined += [*part, *gap]
        return joined


def tokenize(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> Iterator[Tokens]:
    """Each text whole, without special tokens."""
    found: Any = tokenizer(list(texts), add_special_tokens=False, verbose=False)
    for text, encoding in zip(texts, found.encodings or [], strict=True):
        yield Tokens(encoding.ids, word_numbers(text, encoding.word_ids, encoding.offsets))


def word_numbers(
    text: str, word_ids: Sequence[int | None], offsets: Sequence[tuple[int, int]]
) -> list[int]:
    """(m,) the number of each token's word.

    A word is what a tokenizer takes for one, such as a run of letters, or what stands between
    spaces where it cuts texts into no words beforehand. So a word is known by the same rule,
    whether its pieces are marked by `##`, `▁`, `Ġ` or nothing.

    Args:
        word_ids: what the tokenizer takes for words.
        offsets: where the characters of each token begin and end.
    """
    numbers = []
    number, last, end = -1, None, 0
    for word, (start, stop) in zip(word_ids, offsets, strict=True):
        spaced = start >= end and any(map(str.isspace, text[end : start + 1]))
        if number < 0 or word != last or spaced:
            number += 1
        numbers.append(number)
        last, end = word, max(end, stop)
    return numbers
