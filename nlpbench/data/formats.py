"""Which suffix is which format, and the rows that files of them hold."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError
from nlpbench.config.sections import ConllColumns, DataSection
from nlpbench.data import cache
from nlpbench.data.conll import read_conll
from nlpbench.data.data_file import DataFile, stamps
from nlpbench.data.delimited import NumberColumns, as_numbers, read_delimited
from nlpbench.data.encoding import check_text, content_hash, is_packed
from nlpbench.data.json_rows import read_json, read_jsonl
from nlpbench.data.parallel import read_parallel
from nlpbench.data.parquet_rows import read_parquet
from nlpbench.data.plain_text import read_text
from nlpbench.data.segments import Segments, conform

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

logger = logging.getLogger("nlpbench")
SECONDS_BETWEEN_LINES = 10.0
FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".txt": "txt",
    ".conll": "conll",
    ".iob": "conll",
    ".iob2": "conll",
    ".bio": "conll",
    ".bioes": "conll",
    ".bilou": "conll",
}
PARALLEL = "parallel"  # no suffix tells it: two files do
SUFFIXES = ", ".join(suffix.removeprefix(".") for suffix in FORMATS)
READABLE = f"{SUFFIXES}, each also .gz, and parallel text (train.en beside train.de)"
# The keys of the data section that say how files of a format are read.
OPTIONS = {
    "csv": ("delimiter", "column_names"),
    "tsv": ("column_names",),
    "txt": ("text_unit",),
    "conll": ("conll_columns",),
}


def split_suffix(name: str) -> tuple[str, str | None]:
    """`("train", "csv")` for train.csv and train.csv.gz; None where the format is not known."""
    bare = name[:-3] if name.lower().endswith(".gz") else name
    stem, dot, suffix = bare.rpartition(".")
    format_name = FORMATS.get((dot + suffix).lower())
    return (stem, format_name) if format_name else (name, None)


def read_files(
    files: Sequence[DataFile], config: DataSection
) -> tuple[datasets.Dataset, list[int]]:
    """The rows of several files one after the other, and how many each of them holds.

    They are checked and converted once, into a memory-mapped table in the cache.
    """
    formats = [format_of(file, config) for file in files]
    before = stamps(files)
    key = {"files": digests(files, formats), "options": options(formats, config)}

    def write(path: Path) -> dict[str, Any]:
        with tempfile.TemporaryDirectory(dir=path.parent) as workshop:
            segments = Segments(Path(workshop))
            try:
                counts = convert(files, formats, segments, path, config)
            finally:
                segments.close()
        check_unchanged(files, before)
        return {"rows": counts}

    found = cache.stored("rows", key, write)
    return found.dataset(), found.facts["rows"]


def digests(files: Sequence[DataFile], formats: Sequence[str]) -> list[Any]:
    """What the files hold, and how it is to be read; what they are called does not matter."""
    return [
        [
            kind,
            *(
                [n, is_packed(each.path), content_hash(each.path, each.place)]
                for n, each in f.named
            ),
        ]
        for kind, f in zip(formats, files, strict=True)
    ]


def options(formats: Sequence[str], config: DataSection) -> dict[str, Any]:
    """The options that these formats have."""
    names = {name for kind in formats for name in OPTIONS.get(kind, ())}
    values = config.model_dump(mode="json")
    return {name: values[name] for name in sorted(names)}


def check_unchanged(files: Sequence[DataFile], before: Sequence[tuple[int, int]]) -> None:
    each = [side for file in files for _, side in file.named]
    for side, then, now in zip(each, before, stamps(files), strict=True):
        if then != now:
            raise UserError(f"{side.place}: has changed while it was read; run it again")


def convert(
    files: Sequence[DataFile],
    formats: Sequence[str],
    segments: Segments,
    path: Path,
    config: DataSection,
) -> list[int]:
    """Writes the rows of all files to `path`; how many each of them holds."""
    import pyarrow as pa

    counts, schemas = [], []
    shown = time.monotonic()
    for file, kind in zip(files, formats, strict=True):
        rows, schema = 0, pa.schema([])
        for table in read_file(file, kind, config):
            segments.add(table)
            rows, schema = rows + table.num_rows, table.schema
            if time.monotonic() - shown > SECONDS_BETWEEN_LINES:
                shown = time.monotonic()
                logger.info("reading %s: %d rows", file.place, rows)
        counts.append(rows)
        schemas.append(schema)
    schema = join(files, schemas)
    # One file with a word in a column of numbers makes it text in all: so only now.
    numbers = find_numbers(segments, schema) if {*formats} <= {"csv", "tsv"} else {}
    final = pa.schema(
        [each.with_type(numbers.get(each.name, each.type)) for each in schema], schema.metadata
    )

    def change(table: pa.Table) -> pa.Table:
        for name in numbers.keys() & set(table.column_names):
            position = table.column_names.index(name)
            table = table.set_column(position, name, as_numbers(table[name], numbers[name]))
        try:
            return conform(table, final)
        except pa.ArrowException as error:
            raise UserError(
                f"{files[0].place}: a value does not go with the type of its column ({error})"
            ) from None

    segments.write(path, final, change)
    return counts


def format_of(file: DataFile, config: DataSection) -> str:
    """Raises UserError for a directory, and for a suffix that tells no format."""
    for _, each in file.named:
        if each.path.is_dir():
            raise UserError(f"{each.place}: is a directory where a file is due")
    kind = known_format(file, config)
    if kind is None and file.path.exists():
        raise UserError(f"{file.place}: unknown kind of file; nlpbench reads {READABLE}")
    assert kind is not None
    return kind


def known_format(file: DataFile, config: DataSection) -> str | None:
    return PARALLEL if file.sides else config.format or split_suffix(file.path.name)[1]


def read_file(file: DataFile, kind: str, config: DataSection) -> Iterator[pa.Table]:
    path, place = file.path, file.place
    if kind == PARALLEL:
        for _, side in file.sides:
            check_text(side.path, side.place, "txt")
        return read_parallel(file)
    if kind == "parquet":
        return read_parquet(path, place)
    check_text(path, place, kind)
    if kind == "csv":
        return read_delimited(path, place, config.delimiter or ",", config.column_names)
    if kind == "tsv":
        return read_delimited(path, place, "\t", config.column_names)
    if kind == "json":
        return read_json(path, place)
    if kind == "jsonl":
        return read_jsonl(path, place)
    if kind == "conll":
        return read_conll(path, place, config.conll_columns or ConllColumns())
    return read_text(path, place, config.text_unit)


def join(files: Sequence[DataFile], schemas: Sequence[pa.Schema]) -> pa.Schema:
    """The schema that holds the rows of all files."""
    import pyarrow as pa

    first = joined = schemas[0]
    for file, schema in zip(files[1:], schemas[1:], strict=True):
        odd = sorted(set(first.names) ^ set(schema.names))
        if odd:
            raise UserError(
                f"{file.place}: other columns ({', '.join(schema.names)}) than "
                f"{files[0].place} ({', '.join(first.names)})"
            )
    for file, schema in zip(files[1:], schemas[1:], strict=True):
        try:
            joined = pa.unify_schemas([joined, schema], promote_options="permissive")
        except pa.ArrowException as error:
            raise UserError(
                f"{file.place}: a column holds another type than in the files before ({error})"
            ) from None
    return joined


def find_numbers(segments: Segments, schema: pa.Schema) -> dict[str, pa.DataType]:
    """The columns where every value is a number."""
    columns = NumberColumns(schema.names)
    for table in segments.tables():
        columns.look_at(table)
    return columns.found()
