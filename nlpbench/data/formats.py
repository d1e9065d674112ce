"""Which suffix is which format, and the rows that files of them hold."""

from __future__ import annotations

import io
import logging
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError
from nlpbench.data import cache
from nlpbench.data.delimited import NumberColumns, as_numbers, read_delimited
from nlpbench.data.encoding import check_text, content_hash, is_packed, open_unpacked
from nlpbench.data.json_rows import CHUNK_ROWS, read_json, read_jsonl
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
}
READABLE = ", ".join(suffix.removeprefix(".") for suffix in FORMATS)


@dataclass(frozen=True)
class DataFile:
    """A file, and what messages call it."""

    path: Path
    place: str


def split_suffix(name: str) -> tuple[str, str | None]:
    """`("train", "csv")` for train.csv and train.csv.gz; None where the format is not known."""
    bare = name[:-3] if name.lower().endswith(".gz") else name
    stem, dot, suffix = bare.rpartition(".")
    format_name = FORMATS.get((dot + suffix).lower())
    return (stem, format_name) if format_name else (name, None)


def read_files(
    files: Sequence[DataFile], delimiter: str | None, column_names: Sequence[str] | None
) -> tuple[datasets.Dataset, list[int]]:
    """The rows of several files one after the other, and how many each of them holds.

    They are checked and converted once, into a memory-mapped table in the cache.
    """
    formats = [format_of(file) for file in files]
    stamps = [stamp(file) for file in files]
    key = {
        "files": [
            [kind, is_packed(file.path), content_hash(file.path, file.place)]
            for kind, file in zip(formats, files, strict=True)
        ],
        "delimiter": delimiter,
        "column_names": column_names,
    }

    def write(path: Path) -> dict[str, Any]:
        with tempfile.TemporaryDirectory(dir=path.parent) as workshop:
            segments = Segments(Path(workshop))
            try:
                counts = convert(files, formats, segments, path, delimiter, column_names)
            finally:
                segments.close()
        for file, before in zip(files, stamps, strict=True):
            if stamp(file) != before:
                raise UserError(f"{file.place}: has changed while it was read; run it again")
        return {"rows": counts}

    found = cache.stored("rows", key, write)
    return found.dataset(), found.facts["rows"]


def convert(
    files: Sequence[DataFile],
    formats: Sequence[str],
    segments: Segments,
    path: Path,
    delimiter: str | None,
    column_names: Sequence[str] | None,
) -> list[int]:
    """Writes the rows of all files to `path`; how many each of them holds."""
    import pyarrow as pa

    counts, schemas = [], []
    shown = time.monotonic()
    for file, kind in zip(files, formats, strict=True):
        rows, schema = 0, pa.schema([])
        for table in read_file(file, kind, delimiter, column_names):
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


def stamp(file: DataFile) -> tuple[int, int]:
    status = file.path.stat()
    return status.st_size, status.st_mtime_ns


def format_of(file: DataFile) -> str:
    if file.path.is_dir():
        raise UserError(f"{file.place}: is a directory where a file is due")
    kind = split_suffix(file.path.name)[1]
    if kind is None and file.path.exists():
        raise UserError(
            f"{file.place}: unknown kind of file; nlpbench reads {READABLE}, each also .gz"
        )
    assert kind is not None
    return kind


def read_file(
    file: DataFile, kind: str, delimiter: str | None, column_names: Sequence[str] | None
) -> Iterator[pa.Table]:
    path, place = file.path, file.place
    if kind == "parquet":
        return read_parquet(path, place)
    check_text(path, place, kind)
    if kind == "csv":
        return read_delimited(path, place, delimiter or ",", column_names)
    if kind == "tsv":
        return read_delimited(path, place, "\t", column_names)
    if kind == "json":
        return read_json(path, place)
    if kind == "jsonl":
        return read_jsonl(path, place)
    return read_lines(path, place)


def read_lines(path: Path, place: str) -> Iterator[pa.Table]:
    import pyarrow as pa

    lines: list[str] = []
    with open_unpacked(path, place) as stream:
        for line in stream:
            lines.append(line.decode("utf-8").removesuffix("\n").removesuffix("\r"))
            if len(lines) == CHUNK_ROWS:
                yield pa.table({"text": pa.array(lines, pa.string())})
                lines = []
    yield pa.table({"text": pa.array(lines, pa.string())})


def read_parquet(path: Path, place: str) -> Iterator[pa.Table]:
    import pyarrow as pa
    from pyarrow import parquet

    with open_unpacked(path, place) as stream:
        source = io.BytesIO(stream.read()) if is_packed(path) else str(path)
    try:
        with parquet.ParquetFile(source) as file:
            yield plain(file.schema_arrow.empty_table())
            for batch in file.iter_batches(CHUNK_ROWS):
                yield plain(pa.Table.from_batches([batch]))
    except (pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{place}: not a whole parquet file ({reason})") from None


def plain(table: pa.Table) -> pa.Table:
    """Without dictionaries: those of pandas' categories differ from batch to batch."""
    import pyarrow as pa

    for position, each in enumerate(table.schema):
        if pa.types.is_dictionary(each.type):
            column = table[each.name].cast(each.type.value_type)
            table = table.set_column(position, each.with_type(column.type), column)
    return table


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
