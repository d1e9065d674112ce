"""Retrieval data laid out as BEIR does: documents, queries, and the judgements of each split.

Thakur et al. 2021, "BEIR: A Heterogeneous Benchmark for Zero-shot Evaluation of Information
Retrieval Models".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show
from nlpbench.config.sections import DataSection
from nlpbench.data import cache
from nlpbench.data.data_file import DataFile, stamps
from nlpbench.data.encoding import check_text
from nlpbench.data.files import Groups, collect
from nlpbench.data.formats import check_unchanged, digests, format_of, options, read_file
from nlpbench.data.json_rows import jsonl_chunks
from nlpbench.data.json_values import check_text as check_value
from nlpbench.data.json_values import kind_of, show_value
from nlpbench.data.origin import Original, Part
from nlpbench.data.split_names import choose, refuse_ambiguous

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

QUERY, DOCUMENT, SCORE = "query-id", "corpus-id", "score"
Row = dict[str, Any]


@dataclass
class Judged:
    """What is known of one query: where it is first judged, and the grade of each document."""

    place: str
    grades: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class BeirSource:
    """A split is the queries that its judgements speak of; the documents are those of all splits.

    A row of a split has the columns `_id` and `text` of a query, `relevant_ids`, the documents that
    are judged for it, and `relevance`, their grades: 0 is judged and not relevant.
    """

    name: str
    documents: DataFile
    queries: DataFile
    judgements: Mapping[str, Sequence[DataFile]]
    chosen: Mapping[str, Sequence[str]]
    config: DataSection
    id_column: str = "_id"

    def available(self) -> list[str]:
        return list(self.chosen)

    def corpus(self) -> datasets.Dataset:
        """All documents, with `_id`, `title` (empty where there is none) and `text`."""
        return self._corpus.dataset()

    def read(self, split: str) -> Original:
        """
        Raises:
            UserError: a judgement of an unknown query, or none of a known document.
        """
        names = self.chosen[split]
        refuse_ambiguous(names, split, self.name)
        files = [file for name in names for file in self.judgements[name]]
        found = self._judged_queries(files)
        unknown, total = found.facts["unknown"], found.facts["judgements"]
        notes: tuple[str, ...] = ()
        if unknown:
            place = files[0].place
            if unknown == total:
                raise UserError(f"{place}: judges no document that {self.documents.place} holds")
            notes = (
                f"{split}: {unknown} of {total} judgements are of documents that "
                f"{self.documents.place} lacks, so that no model can find them",
            )
        rows = found.dataset()
        return Original(rows, (Part(f"{self.name} {split}", rows.num_rows),), notes)

    @cached_property
    def _corpus(self) -> cache.Stored:
        def write(path: Path) -> Row:
            import pyarrow as pa

            schema = pa.schema([(name, pa.string()) for name in ("_id", "title", "text")])
            ids = []
            with pa.ipc.new_stream(str(path), schema) as writer:
                for rows in texts(self.documents):
                    table = pa.Table.from_pylist([row for _, row in rows], schema)
                    ids.append(table["_id"])
                    writer.write_table(table)
            refuse_repeated(ids, self.documents)
            return {}

        return self._stored("corpus", [self.documents], write)

    def _judged_queries(self, files: Sequence[DataFile]) -> cache.Stored:
        def write(path: Path) -> Row:
            judged = read_judgements(files, self.config)
            count = write_queries(path, self.queries, judged)
            if count < len(judged):
                refuse_unknown(judged, self.queries)
            grades = [query.grades for query in judged.values()]
            return {
                "judgements": sum(map(len, grades)),
                "unknown": count_unknown(grades, self.corpus()),
            }

        return self._stored("queries", [self.documents, self.queries, *files], write)

    def _stored(self, kind: str, files: Sequence[DataFile], write: cache.Write) -> cache.Stored:
        """A table that is made of these files once."""
        before = stamps(files)
        formats = [format_of(file, self.config) for file in files]

        def write_unchanged(path: Path) -> Row:
            facts = write(path)
            check_unchanged(files, before)
            return facts

        key = {"files": digests(files, formats), "options": options(formats, self.config)}
        return cache.stored(kind, key, write_unchanged)


def is_beir(folder: Path) -> bool:
    return all(lone(folder, name) is not None for name in ("corpus", "queries"))


def lone(folder: Path, stem: str, suffixes: Sequence[str] = ("jsonl",)) -> Path | None:
    """The file of that name, packed or not."""
    names = [f"{stem}.{suffix}{packed}" for suffix in suffixes for packed in ("", ".gz")]
    found = [folder / name for name in names if (folder / name).is_file()]
    if len(found) > 1:
        both = " and ".join(path.name for path in found)
        raise UserError(f"{folder}: {both} are both called {stem}; keep one of them")
    return found[0] if found else None


def open_beir(config: DataSection, folder: Path, name: str) -> BeirSource:
    """
    Raises:
        UserError: no judgements, or none of a split.
    """
    place = name.rstrip("/")
    paths = {stem: lone(folder, stem) for stem in ("corpus", "queries")}
    documents, queries = (
        DataFile(path, f"{place}/{path.name}") for path in paths.values() if path is not None
    )
    judgements = collect(folder / "qrels", f"{place}/qrels")
    whole = lone(folder, "qrels", ("tsv", "jsonl"))
    if whole is not None:
        if judgements:
            raise UserError(f"data.source: {name} holds qrels/ and {whole.name}; keep one of them")
        judgements = {"qrels": [DataFile(whole, f"{place}/{whole.name}")]}
    if not judgements:
        raise UserError(
            f"data.source: {name} holds documents and queries, and no judgements "
            f"(looked for {folder.absolute()}/qrels/test.tsv and qrels.tsv)"
        )
    return BeirSource(
        name, documents, queries, judgements, splits(judgements, config, name), config
    )


def splits(judgements: Groups, config: DataSection, name: str) -> dict[str, list[str]]:
    """Judgements that name no split are those of test."""
    chosen = choose(judgements, config, name)
    if not chosen and len(judgements) == 1:
        return {"test": list(judgements)}
    if not chosen:
        raise UserError(
            f"data.source: {name} holds no judgements of train, validation or test "
            f"(qrels: {', '.join(judgements)}); name them with data.test"
        )
    return chosen


def texts(file: DataFile) -> Iterator[list[tuple[str, Row]]]:
    """Documents or queries with their places: `_id`, `title` and `text`, and no other key."""
    check_text(file.path, file.place, "jsonl")
    number = 0
    for chunk in jsonl_chunks(file.path, file.place):
        rows = []
        for row in chunk:
            number += 1
            where = f"{file.place}, row {number}"
            found = {
                "_id": identity(row, "_id", where),
                "title": text_of(row, "title", where) if row.get("title") is not None else "",
                "text": text_of(row, "text", where),
            }
            rows.append((where, found))
        yield rows


def text_of(row: Row, key: str, where: str) -> str:
    if key not in row:
        keys = ", ".join(map(show_value, row)) or "none"
        raise UserError(f"{where}: needs the key {key}; its keys: {keys}")
    value = row[key]
    if not isinstance(value, str):
        raise UserError(
            f"{where}: {key} must be a string; got {kind_of(value)} ({show_value(value)})"
        )
    check_value(value, f"{where}, {key}")
    return value


def identity(row: Row, key: str, where: str) -> str:
    """Whole numbers stand for themselves as strings."""
    value = row.get(key)
    return str(value) if type(value) is int else text_of(row, key, where)


def refuse_repeated(ids: list[pa.ChunkedArray], file: DataFile) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    chunks = [chunk for column in ids for chunk in column.chunks]
    column = pa.chunked_array(chunks, pa.string())
    if pc.count_distinct(column).as_py() == len(column):
        return
    first: dict[str, int] = {}
    for number, value in enumerate(column.to_pylist(), 1):
        if value in first:
            raise UserError(
                f"{file.place}: rows {first[value]} and {number} have the same _id "
                f"({show(value)}); take one of them away"
            )
        first[value] = number


def read_judgements(files: Sequence[DataFile], config: DataSection) -> dict[str, Judged]:
    """What each query is judged to find.

    Raises:
        UserError: a missing column, a grade that is no whole number, a pair judged twice unlike.
    """
    judged: dict[str, Judged] = {}
    for file in files:
        number = 0
        for table in read_file(file, format_of(file, config), config):
            for name in (QUERY, DOCUMENT, SCORE):
                if name not in table.column_names:
                    raise UserError(
                        f"{file.place}: no column {show(name)}; columns: "
                        f"{', '.join(table.column_names)}. Judgements have the columns "
                        f"{QUERY}, {DOCUMENT} and {SCORE}"
                    )
            for row in table.select([QUERY, DOCUMENT, SCORE]).to_pylist():
                number += 1
                where = f"{file.place}, row {number}"
                query, document = (identity(row, key, where) for key in (QUERY, DOCUMENT))
                grades = judged.setdefault(query, Judged(where)).grades
                grade = grade_of(row[SCORE], where)
                if grades.setdefault(document, grade) != grade:
                    raise UserError(
                        f"{where}: the document {show(document)} is judged {grade} for the query "
                        f"{show(query)}, and {grades[document]} before; keep one of them"
                    )
    return judged


def grade_of(value: Any, where: str) -> int:
    if type(value) in (int, float, str):
        try:
            if float(value) == int(float(value)):
                return int(float(value))
        except (ValueError, OverflowError):
            pass
    raise UserError(f"{where}: the score must be a whole number (got {show_value(value)})")


def write_queries(path: Path, queries: DataFile, judged: Mapping[str, Judged]) -> int:
    """The judged queries in the order of their file; how many there are."""
    import pyarrow as pa

    schema = pa.schema(
        [
            ("_id", pa.string()),
            ("text", pa.string()),
            ("relevant_ids", pa.list_(pa.string())),
            ("relevance", pa.list_(pa.int64())),
        ]
    )
    count, ids = 0, []
    with pa.ipc.new_stream(str(path), schema) as writer:
        for chunk in texts(queries):
            ids.append(pa.chunked_array([pa.array([row["_id"] for _, row in chunk], pa.string())]))
            rows = [
                {
                    "_id": row["_id"],
                    "text": row["text"],
                    "relevant_ids": list(judged[row["_id"]].grades),
                    "relevance": list(judged[row["_id"]].grades.values()),
                }
                for _, row in chunk
                if row["_id"] in judged
            ]
            count += len(rows)
            writer.write_table(pa.Table.from_pylist(rows, schema))
    refuse_repeated(ids, queries)
    return count


def refuse_unknown(judged: Mapping[str, Judged], queries: DataFile) -> None:
    known = {row["_id"] for rows in texts(queries) for _, row in rows}
    for query, found in judged.items():
        if query not in known:
            raise UserError(
                f"{found.place}: judges the query {show(query)}, and {queries.place} has none of "
                "that _id"
            )


def count_unknown(grades: Sequence[Mapping[str, int]], corpus: datasets.Dataset) -> int:
    """Judgements of documents that the corpus lacks."""
    import pyarrow as pa
    import pyarrow.compute as pc

    judged = pa.array([document for each in grades for document in each], pa.string())
    known = pc.is_in(judged, value_set=corpus.data.column("_id").combine_chunks())
    return len(judged) - pc.sum(known).as_py() if len(judged) else 0
