"""Parallel text: one file a language, line by line a translation of the others."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show
from nlpbench.data.data_file import DataFile
from nlpbench.data.delimited import counted
from nlpbench.data.plain_text import CHUNK_ROWS, lines

if TYPE_CHECKING:
    import pyarrow as pa

# The two-letter codes of ISO 639-1: other short suffixes, such as py, are no languages.
CODES = set(
    "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy "
    "da de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu "
    "hy hz ia id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb "
    "lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om "
    "or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw "
    "ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu".split()
)
LANGUAGE = re.compile(r"([a-z]{2})([_-][A-Za-z]{2,4})*")  # de, pt_BR, zh-Hans
LANGUAGE_AND_SCRIPT = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")  # deu_Latn
SIDES = {"src", "tgt", "trg", "source", "target"}
PATTERN = re.compile(r"(?P<before>[^{}]*)\{(?P<choices>[^{},]+(,[^{},]+)+)\}(?P<after>[^{}]*)")


def split_language(name: str) -> tuple[str, str] | None:
    """`("train", "de")` for train.de and train.de.gz; None where no language follows the dot."""
    stem, _, suffix = unpacked(name).rpartition(".")
    language = LANGUAGE.fullmatch(suffix)
    known = (
        suffix in SIDES
        or LANGUAGE_AND_SCRIPT.fullmatch(suffix)
        or (language is not None and language.group(1) in CODES)
    )
    return (stem, suffix) if known and stem else None


def unpacked(name: str) -> str:
    return name[:-3] if name.lower().endswith(".gz") else name


def is_pattern(name: str) -> bool:
    """Whether a name has braces with choices in them: train.{en,de}."""
    return PATTERN.fullmatch(name) is not None


def choices(pattern: str, key: str) -> dict[str, str]:
    """The names that a pattern stands for, by their columns: what the choice says after its last dot.

    `train.{en,de}` gives en and de, as does `{a/x.en,b/y.de}`.
    """
    found = PATTERN.fullmatch(pattern)
    assert found is not None
    names: dict[str, str] = {}
    for choice in found["choices"].split(","):
        word = re.split(r"[./]", unpacked(choice.strip()))[-1]
        if word in names or not word:
            raise UserError(
                f"{key}: {pattern} names {show(word)} twice; each language is a column of its own"
                if word
                else f"{key}: {pattern} holds a choice without a name"
            )
        names[word] = found["before"] + choice.strip() + found["after"]
    return names


def pair(files: Mapping[str, Sequence[tuple[str, DataFile]]], place: str) -> dict[str, DataFile]:
    """Parallel files by what they are called before the language: those that have a counterpart."""
    found = {}
    for stem, sides in files.items():
        by_language: dict[str, DataFile] = {}
        for language, file in sides:
            if language in by_language:
                names = f"{by_language[language].path.name} and {file.path.name}"
                raise UserError(f"{place}: {names} are the same text twice; keep one of them")
            by_language[language] = file
        if len(by_language) > 1:
            endings = [file.path.name.removeprefix(stem + ".") for file in by_language.values()]
            name = f"{place}/{stem}.{{{','.join(endings)}}}"
            found[stem] = join(name, by_language)
    return found


def join(place: str, sides: Mapping[str, DataFile]) -> DataFile:
    first = next(iter(sides.values()))
    return DataFile(first.path, place, tuple(sides.items()))


def read_parallel(file: DataFile) -> Iterator[pa.Table]:
    """A row for each line number, with a column for each language.

    Raises:
        UserError: the files have unlike numbers of lines.
    """
    import pyarrow as pa

    names = [name for name, _ in file.sides]
    schema = pa.schema([(name, pa.string()) for name in names])
    for rows in in_chunks(file):
        columns = [[row[number] for row in rows] for number in range(len(names))]
        yield pa.table([pa.array(column, pa.string()) for column in columns], schema=schema)


def in_chunks(file: DataFile) -> Iterator[list[tuple[str, ...]]]:
    chunk: list[tuple[str, ...]] = []
    streams = [lines(each.path, each.place) for _, each in file.sides]
    for number, row in enumerate(itertools.zip_longest(*streams), 1):
        if None in row:
            raise unequal(file, [number - (line is None) for line in row], streams)
        chunk.append(row)
        if len(chunk) == CHUNK_ROWS:
            yield chunk
            chunk = []
    yield chunk


def unequal(file: DataFile, counts: Sequence[int], streams: Sequence[Iterator[str]]) -> UserError:
    """Counts what is left of the longer files."""
    wholes = [count + sum(1 for _ in stream) for count, stream in zip(counts, streams, strict=True)]
    each = [
        f"{side.place} has {counted(count, 'line')}"
        for (_, side), count in zip(file.sides, wholes, strict=True)
    ]
    return UserError(
        f"{file.place}: {' and '.join(each)}; parallel files must be translations of each other "
        "line by line"
    )
