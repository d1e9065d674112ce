"""Tables of unlike types, one after the other, to one Arrow stream on disk of one type."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

Change = Callable[["pa.Table"], "pa.Table"]


@dataclass
class Segments:
    """Streams in a folder, each of one schema: a table of another schema opens a new one.

    What a column is may show only in its last row, so the final schema comes after all rows; most
    of the time it is the first one, and then nothing is written twice.
    """

    folder: Path
    paths: list[Path] = field(default_factory=list)
    schemas: list[pa.Schema] = field(default_factory=list)
    writer: pa.RecordBatchStreamWriter | None = None

    def add(self, table: pa.Table) -> None:
        import pyarrow as pa

        if not self.schemas or not self.schemas[-1].equals(table.schema, check_metadata=True):
            self.close()
            self.schemas.append(table.schema)
            self.paths.append(self.folder / f"segment-{len(self.paths)}.arrow")
            self.writer = pa.ipc.new_stream(str(self.paths[-1]), table.schema)
        assert self.writer is not None
        self.writer.write_table(table)

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None

    def tables(self) -> Iterator[pa.Table]:
        """Every batch, read from the disk and not mapped, so that it does not stay in memory."""
        import pyarrow as pa

        self.close()
        for path in self.paths:
            with pa.OSFile(str(path)) as source, pa.ipc.open_stream(source) as stream:
                for batch in stream:
                    yield pa.Table.from_batches([batch])

    def write(self, path: Path, schema: pa.Schema, change: Change) -> None:
        """All rows in one stream, every table first made to be of `schema` by `change`."""
        import pyarrow as pa

        self.close()
        if len(self.paths) == 1 and self.schemas[0].equals(schema, check_metadata=True):
            self.paths[0].replace(path)
            return
        with pa.ipc.new_stream(str(path), schema) as writer:
            for table in self.tables():
                writer.write_table(change(table))


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The same rows with the columns of a schema that is as wide or wider.

    Raises:
        pa.ArrowException: a value that the wider type cannot hold.
    """
    import pyarrow as pa

    columns = []
    for wanted in schema:
        if wanted.name not in table.column_names:
            columns.append(pa.nulls(table.num_rows, wanted.type))
            continue
        column = table[wanted.name]
        if column.type == wanted.type:
            columns.append(column)
        elif pa.types.is_nested(wanted.type):
            columns.append(pa.array(column.to_pylist(), type=wanted.type))
        else:
            columns.append(column.cast(wanted.type))
    return pa.table(columns, schema=schema)
