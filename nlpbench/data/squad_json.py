"""SQuAD's own files: articles of paragraphs of questions, flattened to a row a question.

Rajpurkar et al. 2016 (v1.1, every question has answers) and 2018 (v2.0, some have none).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from nlpbench.config.errors import UserError
from nlpbench.data.json_values import (
    KINDS,
    check_object,
    check_text,
    kind_of,
    show_value,
    storing_errors,
)

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK_ROWS = 2_000  # of whole paragraphs

Kind = TypeVar("Kind")
Row = dict[str, Any]


def is_squad(content: Any) -> bool:
    articles = content.get("data") if isinstance(content, dict) else None
    return isinstance(articles, list) and any(
        isinstance(article, dict) and "paragraphs" in article for article in articles
    )


def read_squad(content: dict[str, Any], place: str) -> Iterator[pa.Table]:
    """Columns as on the hub: id, title, context, question and answers, lists of text and answer_start.

    `is_impossible` is a column of files where a question has it; where another lacks it, a null.

    Raises:
        UserError: with article, paragraph and question, counted from 1.
    """
    import pyarrow as pa

    answers = pa.struct([("text", pa.list_(pa.string())), ("answer_start", pa.list_(pa.int64()))])
    texts = [(name, pa.string()) for name in ("id", "title", "context", "question")]
    kinds = [*texts, ("answers", answers)]
    if any("is_impossible" in row for _, row in questions(content, place)):
        kinds.append(("is_impossible", pa.bool_()))
    schema = pa.schema(kinds)
    chunk: list[tuple[str, Row]] = []
    for question in questions(content, place):
        chunk.append(question)
        if len(chunk) == CHUNK_ROWS:
            yield table_of(chunk, schema)
            chunk = []
    yield table_of(chunk, schema)


def table_of(chunk: list[tuple[str, Row]], schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    try:
        return pa.Table.from_pylist([row for _, row in chunk], schema)
    except storing_errors() as error:
        if len(chunk) == 1:
            raise UserError(f"{chunk[0][0]}: cannot be stored ({error})") from None
        middle = len(chunk) // 2
        table_of(chunk[:middle], schema)
        return table_of(chunk[middle:], schema)


def questions(content: dict[str, Any], place: str) -> Iterator[tuple[str, Row]]:
    """Every question as a row, with its place."""
    for article_number, article in enumerate(content["data"], 1):
        where = f"{place}, article {article_number}"
        check_object(article, where, '{"title": …, "paragraphs": […]}')
        title = need(article, "title", str, where) if "title" in article else ""
        for number, paragraph in enumerate(need(article, "paragraphs", list, where), 1):
            inner = f"{where}, paragraph {number}"
            check_object(paragraph, inner, '{"context": …, "qas": […]}')
            context = need(paragraph, "context", str, inner)
            for question_number, question in enumerate(need(paragraph, "qas", list, inner), 1):
                at = f"{inner}, question {question_number}"
                check_object(question, at, '{"id": …, "question": …, "answers": […]}')
                yield at, {"title": title, "context": context, **flat(question, at)}


def flat(question: Row, where: str) -> Row:
    identity = question.get("id")
    row: Row = {
        "id": str(identity) if type(identity) is int else need(question, "id", str, where),
        "question": need(question, "question", str, where),
        "answers": answers_of(question, where),
    }
    if "is_impossible" in question:
        row["is_impossible"] = need(question, "is_impossible", bool, where)
        if row["is_impossible"] and row["answers"]["text"]:
            raise UserError(
                f"{where}: is_impossible is true, and there are answers "
                f"({show_value(row['answers']['text'])}); take one of them away"
            )
    return row


def answers_of(question: Row, where: str) -> dict[str, list[Any]]:
    """No answers where the question has none, or a test file tells none."""
    found: dict[str, list[Any]] = {"text": [], "answer_start": []}
    listed = need(question, "answers", list, where) if "answers" in question else []
    for number, answer in enumerate(listed, 1):
        at = f"{where}, answer {number}"
        check_object(answer, at, '{"text": …, "answer_start": …}')
        found["text"].append(need(answer, "text", str, at))
        found["answer_start"].append(need(answer, "answer_start", int, at))
    return found


def need(row: Row, key: str, kind: type[Kind], where: str) -> Kind:
    """The value of a key, which must be there and be of a kind."""
    if key not in row:
        keys = ", ".join(map(show_value, row)) or "none"
        raise UserError(f"{where}: needs the key {key}; its keys: {keys}")
    value = row[key]
    if type(value) is not kind:
        raise UserError(
            f"{where}: {key} must be {KINDS[kind]}; got {kind_of(value)} ({show_value(value)})"
        )
    if isinstance(value, str):
        check_text(value, f"{where}, {key}")
    return value
