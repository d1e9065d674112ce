"""parquet: a batch at a time."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from nlpbench.config.errors import UserError
from nlpbench.data.encoding import is_packed, open_unpacked
from nlpbench.data.json_rows import CHUNK_ROWS

if TYPE_CHECKING:
    import pyarrow as pa


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
