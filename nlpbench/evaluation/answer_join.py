"""Answers beside the references of other files: matched by id where both have ids, else by line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show
from nlpbench.evaluation.answer_files import TEXT, AnswerFile
from nlpbench.evaluation.answered import Row

ID, PREDICTION, PROBABILITIES = "id", "prediction", "probabilities"
REFERENCES = ("reference", "references")
NAMED = 5  # ids that a message lists

Ids = list[Any] | None


@dataclass(frozen=True)
class Columns:
    """The columns as the command names them; None for those called as in predictions.jsonl."""

    id: str | None = None
    prediction: str | None = None
    reference: str | None = None


def join(predictions: AnswerFile, references: Sequence[AnswerFile], columns: Columns) -> list[Row]:
    """One row an example, in the order of the first file of references.

    Args:
        references: of several files each gives every example one reference; where there is none,
            the references stand in the file of the predictions.

    Raises:
        UserError: a column that is not there, ids or numbers of rows that differ, an id twice.
    """
    name = columns.prediction or (TEXT if predictions.plain else PREDICTION)
    answers = predictions.column(name, "--prediction-column")
    ids = _ids(predictions, columns)
    files = list(references) or [predictions]
    beside = [_reference_column(file, columns, bool(references)) for file in files]
    values = [
        file.column(column, "--reference-column")
        for file, column in zip(files, beside, strict=True)
    ]
    theirs = [_ids(file, columns) for file in files]
    places = [
        _match(predictions, ids, file, found) if references else list(range(len(answers)))
        for file, found in zip(files, theirs, strict=True)
    ]
    used = {name, columns.id or ID, PROBABILITIES, *(() if references else beside)}
    known = theirs[0]
    rows = []
    for place in sorted(range(len(answers)), key=places[0].__getitem__):
        there = places[0][place]
        own = known[there] if known is not None else ids[place] if ids is not None else there
        rows.append(
            Row(
                id=own,
                reference=_together(
                    [found[at[place]] for found, at in zip(values, places, strict=True)]
                ),
                prediction=answers[place],
                probabilities=predictions.rows[place].get(PROBABILITIES),
                place=predictions.places[place],
                reference_place=files[0].places[there],
                details={
                    key: value for key, value in predictions.rows[place].items() if key not in used
                },
            )
        )
    return rows


def _reference_column(file: AnswerFile, columns: Columns, apart: bool) -> str:
    if columns.reference is not None and not (apart and file.plain):
        return columns.reference
    if file.plain:
        if apart:
            return TEXT
        raise UserError(
            f"{file.file} is plain text and holds no references; name them with --references"
        )
    found = next((name for name in REFERENCES if file.has(name)), None)
    if found is None and not apart:
        raise UserError(
            f"{file.file} has no column reference; columns: {', '.join(file.columns)}; name "
            "another with --reference-column, or a file of references with --references"
        )
    return found or REFERENCES[0]


def _ids(file: AnswerFile, columns: Columns) -> Ids:
    """The ids of a file, None where it has none."""
    name = columns.id or ID
    if file.plain or (columns.id is None and not file.has(name)):
        return None
    found = file.column(name, "--id-column")
    seen: dict[Any, str] = {}
    for value, place in zip(found, file.places, strict=True):
        if not isinstance(value, str | int):
            raise UserError(f"{place} has the id {show(value)}, neither text nor whole number")
        if value in seen:
            raise UserError(f"{place} has the id {show(value)} of {seen[value]}")
        seen[value] = place
    return found


def _match(one: AnswerFile, ids: Ids, other: AnswerFile, theirs: Ids) -> list[int]:
    """For each row of one file the row of the other that it belongs to."""
    if ids is None or theirs is None:
        if len(one.rows) != len(other.rows):
            raise UserError(
                f"{one.file} has {_rows(one)} and {other.file} has {_rows(other)}; without ids in "
                "both they belong together line by line, and must be as many"
            )
        return list(range(len(one.rows)))
    if one.untyped or other.untyped:  # where 7 is the text "7"
        ids, theirs = [str(value) for value in ids], [str(value) for value in theirs]
    numbers = {value: number for number, value in enumerate(theirs)}
    known = set(ids)
    lacking = [value for value in theirs if value not in known]
    unknown = [value for value in ids if value not in numbers]
    if lacking or unknown:
        parts = []
        if lacking:
            parts.append(f"{one.file} lacks {_named(lacking, theirs)} of {other.file}")
        if unknown:
            parts.append(f"{other.file} lacks {_named(unknown, ids)} of {one.file}")
        raise UserError("; ".join(parts))
    return [numbers[value] for value in ids]


def _together(references: list[Any]) -> Any:
    """The reference of one file, or those of several in one list."""
    if len(references) == 1:
        return references[0]
    return [each for one in references for each in (one if isinstance(one, list) else [one])]


def _named(ids: Sequence[Any], of: Sequence[Any]) -> str:
    shown = ", ".join(map(show, ids[:NAMED]))
    more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    return f"{len(ids)} of the {len(of)} ids ({shown}{more})"


def _rows(file: AnswerFile) -> str:
    return f"{len(file.rows)} {'line' if file.plain else 'row'}{'s' * (len(file.rows) != 1)}"
