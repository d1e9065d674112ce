"""A column of tags in the scheme that it is written in; every doubt is told with row and word."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show
from nlpbench.tasks.tagging import tag_schemes as schemes
from nlpbench.tasks.tagging.tag_schemes import Scheme
from nlpbench.tasks.tagging.word_columns import check_words, names_in, tag_lists

if TYPE_CHECKING:
    from datasets import Dataset

    from nlpbench.tasks import Locate

logger = logging.getLogger("nlpbench")
OTHERWISE = (
    "write task.scheme: io if it is a type of entities, or none if words have tags of their own, "
    "such as parts of speech"
)


@dataclass(frozen=True)
class TagColumn:
    """The tags of a split as they are written.

    Attributes:
        names: what the integers of the column mean; none where it holds words.
        scheme: None where the tags are of words, not of entities.
    """

    rows: Dataset
    tokens: str
    name: str
    locate: Locate
    names: Sequence[str]
    sentences: list[list[str]]
    scheme: Scheme | None

    def place(self, sentence: int, word: int) -> str:
        text = self.rows[sentence][self.tokens][word]
        return f"{self.locate(sentence)}, word {word + 1} ({show(text)})"

    def check_classes(self, labels: list[str]) -> list[str]:
        """These labels, if there is something to tell apart; else raises UserError."""
        if len(labels) < 2:
            held = "no entity" if self.scheme else "only one tag"
            raise UserError(
                f"{self.locate(0)} on: the column {self.name} holds {held} in the training rows "
                f"({listed(labels)}); there is nothing to learn"
            )
        return labels

    def check_known(self, sentences: Sequence[Sequence[str]], labels: Sequence[str]) -> None:
        """Raises UserError for a tag that is none of the labels."""
        known = {*labels}
        for index, tags in enumerate(sentences):
            for word, tag in enumerate(tags):
                if tag not in known:
                    raise UserError(
                        f"{self.place(index, word)}: the tag {show(tag)} is none of those of the "
                        f"model ({listed(labels)}), which come from its training rows; "
                        "task.labels can name more than they hold"
                    )

    def report_faults(self, held_to: bool) -> None:
        """Warns where the tags break the rules of their scheme, or raises UserError.

        Args:
            held_to: the scheme was asked for, not found out.
        """
        assert self.scheme is not None
        found = list(schemes.faults(self.sentences, self.scheme))
        if not found:
            return
        sentence, word = found[0]
        more = f", and {len(found) - 1} more do" if len(found) > 1 else ""
        told = (
            f"{self.place(sentence, word)}: the tag {show(self.sentences[sentence][word])} breaks "
            f"the rules of {self.scheme.upper()}{more}"
        )
        if held_to:
            raise UserError(
                f"{told}; mend the tags, or write task.scheme: auto to have them read as they are"
            )
        logger.warning("%s; they are read all the same", told)


def read(
    rows: Dataset,
    tokens: str,
    column: str,
    locate: Locate,
    *,
    scheme: Scheme | Literal["auto", "none"],
    names: Sequence[str] | None,
) -> TagColumn:
    """Reads the tags of a split, and finds out their scheme where it is not told.

    Raises:
        UserError: lists that do not fit the words, or tags that are not of the scheme.
    """
    check_words(rows, tokens, locate)
    names = names or names_in(rows, column)
    sentences = tag_lists(rows, tokens, column, locate, names)
    found = TagColumn(rows, tokens, column, locate, names or (), sentences, None)
    if scheme == "none":
        return found
    if scheme == "io":
        return replace(found, scheme="io")
    for name in names or ():
        if schemes.split_tag(name) is None:
            raise UserError(
                f"the name {show(name)} of the column {column} is no tag of an entity, such as "
                f"B-PER, I-PER or O; {OTHERWISE}"
            )
    _check_tags(found, None if scheme == "auto" else scheme)
    if scheme != "auto":
        return replace(found, scheme=scheme)
    detected = schemes.detect(sentences)
    if detected is None:
        letters = sorted({tag.partition("-")[0] for tags in sentences for tag in tags})
        raise UserError(
            f"{locate(0)} on: the tags of the column {column} begin with {listed(letters)}, and no "
            "scheme has them all; name it with task.scheme, and the first tag that does not "
            "belong will be shown"
        )
    return replace(found, scheme=detected)


def listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:10])
    return shown if len(names) <= 10 else f"{shown}, … {len(names)} in all"


def _check_tags(column: TagColumn, scheme: Scheme | None) -> None:
    """Raises UserError for a tag that is not of the scheme, or of none at all."""
    allowed = ("O", *(schemes.LETTERS[scheme] if scheme else ()))
    right = {
        tag
        for tag in {tag for tags in column.sentences for tag in tags}
        if (found := schemes.split_tag(tag)) and (scheme is None or found[0] in allowed)
    }
    for index, tags in enumerate(column.sentences):
        for word, tag in enumerate(tags):
            if tag in right:
                continue
            if schemes.split_tag(tag) is None:
                raise UserError(
                    f"{column.place(index, word)}: {show(tag)} is no tag of an entity, such as "
                    f"B-PER, I-PER or O; {OTHERWISE}"
                )
            raise UserError(
                f"{column.place(index, word)}: {show(tag)} is no tag of {str(scheme).upper()}, "
                "which task.scheme names; leave it out to have the scheme found out"
            )
