"""Prompts: a text within a template, cut so that the whole fits and the template stays."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


COLUMN = re.compile(r"\{([^\W\d][\w.-]*)\}")


@dataclass(frozen=True)
class Template:
    """What stands before and after the text."""

    before: str
    after: str

    @classmethod
    def of(cls, text: str, placeholder: str) -> Template:
        """Of `{context} Translate: {source} =`, where the placeholder is `source`."""
        before, _, after = text.partition("{" + placeholder + "}")
        return cls(before, after)

    @property
    def columns(self) -> list[str]:
        """The other columns whose texts stand in it, such as `context`."""
        return list(dict.fromkeys(COLUMN.findall(f"{self.before} {self.after}")))

    def with_values(self, values: Mapping[str, str]) -> Template:
        """With the texts of a row in place of its columns."""

        def value(found: re.Match[str]) -> str:
            return values[found[1]]

        return Template(COLUMN.sub(value, self.before), COLUMN.sub(value, self.after))

    def fill(self, text: str) -> str:
        return self.before + text + self.after


@dataclass(frozen=True)
class Prompts:
    """n prompts that fit.

    Attributes:
        ids: their tokens.
        whole_lengths: how many tokens they would have had.
    """

    texts: list[str]
    ids: list[list[int]]
    whole_lengths: list[int]


def fit(
    tokenizer: PreTrainedTokenizerBase,
    templates: Sequence[Template],
    sources: Sequence[str],
    limit: int,
    *,
    special: bool,
    keep_end: bool = False,
) -> Prompts:
    """The prompts of n texts, of which as many tokens are cut off as it takes.

    Args:
        templates: of each of them.
        limit: most tokens of a prompt.
        special: with the tokens that a tokenizer puts around a text, which count.
        keep_end: cut a text off at its beginning.

    Raises:
        UserError: a template alone is longer than `limit`.
    """
    texts = [template.fill(text) for template, text in zip(templates, sources, strict=True)]
    ids = _ids(tokenizer, texts, special)
    whole_lengths = [len(row) for row in ids]
    long = [row for row, count in enumerate(whole_lengths) if count > limit]
    if not long:
        return Prompts(texts, ids, whole_lengths)
    cuts = _cuts(tokenizer, [sources[row] for row in long])
    kept = {row: len(places) for row, places in zip(long, cuts, strict=True)}
    offsets = dict(zip(long, cuts, strict=True))
    while long:
        for row in long:
            # How the text is cut into tokens can change a little where it meets the template.
            kept[row] -= len(ids[row]) - limit
            part = _part(sources[row], offsets[row], kept[row], keep_end)
            texts[row] = templates[row].fill(part)
        shorter = _ids(tokenizer, [texts[row] for row in long], special)
        for row, found in zip(long, shorter, strict=True):
            ids[row] = found
        stuck = [row for row in long if len(ids[row]) > limit and kept[row] <= 0]
        if stuck:
            raise UserError(
                f"task.max_source_length leaves {limit} tokens to a prompt, and without its source "
                f"one has {len(ids[stuck[0]])}, of the template and special ones; make it longer"
            )
        long = [row for row in long if len(ids[row]) > limit]
    return Prompts(texts, ids, whole_lengths)


def _ids(tokenizer: PreTrainedTokenizerBase, texts: list[str], special: bool) -> list[list[int]]:
    found: Any = tokenizer(texts, add_special_tokens=special, verbose=False)["input_ids"]
    return list(found)


def _cuts(tokenizer: PreTrainedTokenizerBase, sources: list[str]) -> list[list[tuple[int, int]]]:
    """Where each token of a text begins and ends, in characters."""
    if not tokenizer.is_fast:
        return [[(place, place + 1) for place in range(len(source))] for source in sources]
    found: Any = tokenizer(
        sources, add_special_tokens=False, return_offsets_mapping=True, verbose=False
    )
    return list(found["offset_mapping"])


def _part(source: str, offsets: list[tuple[int, int]], count: int, keep_end: bool) -> str:
    """The first or last `count` tokens of a text."""
    if count <= 0:
        return ""
    if keep_end:
        return source[offsets[max(0, len(offsets) - count)][0] :]
    return source[: offsets[min(count, len(offsets)) - 1][1]]
