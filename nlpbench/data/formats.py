"""Which suffix is which format, and the table that a file of it holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nlpbench.config.errors import UserError
from nlpbench.data.delimited import find_numbers, read_delimited
from nlpbench.data.encoding import check_text, read_bytes
from nlpbench.data.json_rows import read_json, read_jsonl

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

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
) -> tuple[pa.Table, list[int]]:
    """The rows of several files one after the other, and how many each of them holds."""
    tables = [read_file(file, delimiter, column_names) for file in files]
    table = join(files, tables)
    # One file with a word in a column of numbers makes it text in all: so only now.
    if all(split_suffix(file.path.name)[1] in ("csv", "tsv") for file in files):
        table = find_numbers(table)
    return table, [part.num_rows for part in tables]


def read_file(
    file: DataFile, delimiter: str | None, column_names: Sequence[str] | None
) -> pa.Table:
    import pyarrow as pa

    place = file.place
    format_name = split_suffix(file.path.name)[1]
    if file.path.is_dir():
        raise UserError(f"{place}: is a directory where a file is due")
    if format_name is None and file.path.exists():
        raise UserError(f"{place}: unknown kind of file; nlpbench reads {READABLE}, each also .gz")
    data = read_bytes(file.path, place)
    if format_name == "parquet":
        return read_parquet(data, place)
    assert format_name is not None
    check_text(data, place, format_name)
    if format_name == "csv":
        return read_delimited(data, place, delimiter or ",", column_names)
    if format_name == "tsv":
        return read_delimited(data, place, "\t", column_names)
    if format_name == "json":
        return read_json(data, place)
    if format_name == "jsonl":
        return read_jsonl(data, place)
    lines = data.decode("utf-8").removesuffix("\n").split("\n")
    return pa.table({"text": pa.array([line.removesuffix("\r") for line in lines])})


def read_parquet(data: bytes, place: str) -> pa.Table:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return parquet.read_table(pa.BufferReader(data))
    except (pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{place}: not a whole parquet file ({reason})") from None


def join(files: Sequence[DataFile], tables: Sequence[pa.Table]) -> pa.Table:
    import pyarrow as pa

    first = tables[0]
    for file, table in zip(files[1:], tables[1:], strict=True):
        odd = sorted(set(first.column_names) ^ set(table.column_names))
        if odd:
            raise UserError(
                f"{file.place}: other columns ({', '.join(table.column_names)}) than "
                f"{files[0].place} ({', '.join(first.column_names)})"
            )
    joined = first
    for file, table in zip(files[1:], tables[1:], strict=True):
        try:
            joined = pa.concat_tables([joined, table], promote_options="permissive")
        except pa.ArrowException as error:
            raise UserError(
                f"{file.place}: a column holds another type than in the files before ({error})"
            ) from None
    return joined
