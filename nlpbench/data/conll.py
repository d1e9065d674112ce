"""CoNLL and IOB files: a word a line with its tag, a blank line after a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show
from nlpbench.config.sections import ConllColumns
from nlpbench.data.delimited import counted
from nlpbench.data.json_values import shorten
from nlpbench.data.plain_text import lines

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK_WORDS = 100_000
DOCUMENT = "-DOCSTART-"  # stands between documents, and is no word
LIKE_A_TAG = re.compile(r"O|[BIESULMW]-\S+")

Sentence = tuple[list[str], list[str]]


def read_conll(path: Path, place: str, columns: ConllColumns) -> Iterator[pa.Table]:
    """A row a sentence: `tokens` and `tags`, lists of strings as they stand in the file.

    Raises:
        UserError: a line that has another number of columns than those before, with its number.
    """
    import pyarrow as pa

    kind = pa.list_(pa.string())
    tokens: list[list[str]] = []
    tags: list[list[str]] = []

    def table() -> pa.Table:
        return pa.table({"tokens": pa.array(tokens, kind), "tags": pa.array(tags, kind)})

    words = 0
    for sentence in sentences(path, place, columns):
        tokens.append(sentence[0])
        tags.append(sentence[1])
        words += len(sentence[0])
        if words >= CHUNK_WORDS:
            yield table()
            tokens, tags, words = [], [], 0
    yield table()


def sentences(path: Path, place: str, columns: ConllColumns) -> Iterator[Sentence]:
    cells = Cells(place, columns)
    tokens: list[str] = []
    tags: list[str] = []
    for number, line in enumerate(lines(path, place), 1):
        if not line.strip(" \t") or line.startswith(DOCUMENT):
            if tokens:
                yield tokens, tags
                tokens, tags = [], []
        elif tokens or not cells.comment(line, number):
            token, tag = cells.read(line, number)
            tokens.append(token)
            tags.append(tag)
    if tokens:
        yield tokens, tags


class Cells:
    """Finds word and tag in the lines of one file, which all have as many columns as the first."""

    def __init__(self, place: str, columns: ConllColumns) -> None:
        self.place, self.columns = place, columns
        self.width: int | None = None
        self.tabs = False

    def comment(self, line: str, number: int) -> bool:
        """Whether the first line of a sentence is a comment as CoNLL-U has it, such as `# text = …`.

        The sign # may also be the first word of a sentence.
        """
        if not line.startswith("# "):
            return False
        cells = split(line)
        if self.tabs and "\t" not in line:
            return True
        if len(cells) < 2 or (self.width is not None and len(cells) != self.width):
            return True
        if self.width is None:
            return not LIKE_A_TAG.fullmatch(cells[-1])
        if LIKE_A_TAG.fullmatch(cells[self.columns.tags]):
            return False
        if "\t" in line:
            return False
        if " = " in line:
            return True
        raise UserError(
            f"{self.place}, line {number}: {show(shorten(line))} may be a comment or the word #; "
            "take the comment away, or separate the columns of the file with tabs"
        )

    def read(self, line: str, number: int) -> tuple[str, str]:
        where = f"{self.place}, line {number}"
        cells = split(line)
        if self.width is None:
            self.begin(cells, line, where)
        if len(cells) != self.width:
            raise UserError(
                f"{where}: {counted(len(cells), 'column')} where the lines before have "
                f"{self.width}: {show(shorten(line))}; a blank line ends a sentence, and where "
                "words hold spaces, tabs must separate the columns"
            )
        token, tag = cells[self.columns.tokens], cells[self.columns.tags]
        if not token or not tag:
            raise UserError(
                f"{where}: the {'tag' if token else 'word'} is empty: {show(shorten(line))}"
            )
        return token, tag

    def begin(self, cells: list[str], line: str, where: str) -> None:
        """The first line tells how many columns there are."""
        if len(cells) < 2:
            raise UserError(
                f"{where}: 1 column where a word and its tag are due: {show(shorten(line))}; "
                "put a tag after every word, with a space or a tab between them"
            )
        for key in ("tokens", "tags"):
            column = getattr(self.columns, key)
            if not -len(cells) <= column < len(cells):
                raise UserError(
                    f"{where}: data.conll_columns.{key} is {column}, and there are "
                    f"{len(cells)} columns, 0 to {len(cells) - 1}: {show(shorten(line))}"
                )
        if self.columns.tokens % len(cells) == self.columns.tags % len(cells):
            raise UserError(
                f"{where}: data.conll_columns names one column for tokens and tags "
                f"({self.columns.tokens} and {self.columns.tags} of {len(cells)})"
            )
        self.width, self.tabs = len(cells), "\t" in line


def split(line: str) -> list[str]:
    """At tabs, where there are any, else at spaces: other white space belongs to a word."""
    if "\t" in line:
        return [cell.strip(" ") for cell in line.split("\t")]
    return [cell for cell in line.split(" ") if cell]
