"""The scores of slices as tables, one for each slicing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from nlpbench.config.errors import UserError
from nlpbench.config.problems import suggest
from nlpbench.results import notes as notes_on
from nlpbench.results.cell import Cell, Row
from nlpbench.results.record import Gap, Record, Score, SliceRecord
from nlpbench.results.render import cell_text, render
from nlpbench.results.row import headline
from nlpbench.results.table import Table

ALL, GAP = "(all rows)", "(gap)"
FOR_PEOPLE = ("table", "markdown")  # with a table for each slicing; other forms have one of all
MOST_NAMED = 5  # slices in a note
POSITIVE = "positive:"  # the signature of a rate, and the label
EQUALIZED_ODDS = "equalized_odds_difference"  # a gap of two scores, which has no column

Named = Sequence[tuple[str, Record]]


def render_slices(
    named: Named,
    form: str = "table",
    columns: Sequence[str] | None = None,
    width: int | None = None,
) -> str:
    """The slices of records, in one of render's `FORMATS`.

    Args:
        named: records, each with the name of its run; those without slices are left out.
        columns: the scores to show; all of them unless told.
        width: the terminal's, in columns.

    Raises:
        UserError: no record has slices, or none has such a score.
    """
    named = [(name, record) for name, record in named if record.slices]
    if not named:
        raise UserError("no run has slices; name some under evaluation.slices and score it again")
    known = list(dict.fromkeys(key for _, record in named for key in _keys(record)))
    for key in columns or ():
        if key not in known:
            raise UserError(f"no slice has the score {key}  {suggest(key, known)}")
    if form not in FOR_PEOPLE:
        return render(_of_all(named, columns), form)
    tables = dict(_tables(named, columns))
    last = list(tables.values())[-1]
    several = ["run"] if len(named) > 1 else []
    last.notes.extend(_notes_on_scores(named, [*known] if columns is None else columns, several))
    written = "**{}**\n\n{}" if form == "markdown" else "{}\n{}"
    if form == "table" and width is not None:
        tables = {heading: _narrowed(table, width) for heading, table in tables.items()}
    return "\n".join(
        written.format(heading, render(table, form, width)) for heading, table in tables.items()
    )


def _narrowed(table: Table, width: int) -> Table:
    """With as many scores as fit beside the rows, which say how much a score means."""

    def too_wide(scores: Sequence[str]) -> bool:
        columns = [key for key in table.columns if key not in table.scores or key in scores]
        rule = render(replace(table, columns=columns), "table").splitlines()[1]
        return len(rule) > width

    kept = list(table.scores)
    while len(kept) > 1 and too_wide(kept):
        kept.pop()
    left_out = table.scores[len(kept) :]
    if not left_out:
        return table
    return replace(
        table,
        columns=[key for key in table.columns if key not in left_out],
        scores=kept,
        notes=[
            *table.notes,
            f"left out for width: {', '.join(left_out)}; nlpbench results --slices --columns chooses",
        ],
    )


def _tables(named: Named, columns: Sequence[str] | None) -> Iterator[tuple[str, Table]]:
    """With their headings: for each slicing the scores and, where there are any, the rates."""
    of_all = {key for _, record in named for key in record.scores}
    for title in dict.fromkeys(part.of for _, record in named for part in record.slices.values()):
        shown = _shown([_of(record, title) for _, record in named], columns)
        for heading, scores in (
            ("slices", [key for key in shown if key in of_all]),
            ("rates", [key for key in shown if key not in of_all]),
        ):
            if scores:
                yield f"{heading} by {title}", _of_one(named, title, scores)


def _of_one(named: Named, title: str, scores: list[str]) -> Table:
    """A row for each slice of a slicing and each run, between those of all rows and of the gap."""
    rows: list[Row] = []
    having = [
        (name, record)
        for name, record in named
        if any(part.of == title for part in record.slices.values())
    ]
    for name, record in having:
        if any(key in record.scores for key in scores):
            whole = _cells(scores, record.scores, {}, empty=False)
            rows.append({**_named(name, ALL, Cell(record.data[record.split].rows)), **whole})
    names = dict.fromkeys(slice_ for _, record in having for slice_ in _of(record, title))
    rows += [
        row
        for slice_ in names
        for name, record in having
        for row in _slice_row(name, record, slice_, scores)
    ]
    for name, record in having:
        gaps = record.gaps.get(title, {})
        rows.append({**_named(name, GAP, Cell(instead="")), **_gap_cells(scores, gaps)})
    several = ["run"] if len(named) > 1 else []
    columns = ["slice", *several, "rows", *scores]
    return Table(columns, rows, scores, _notes(having, title, scores), "slice")


def _of_all(named: Named, columns: Sequence[str] | None) -> Table:
    """The slices of all slicings alone, for programs and papers."""
    scores = _shown([record.slices for _, record in named], columns)
    rows = [
        {**row, "slicing": Cell(part.of)}
        for name, record in named
        for slice_, part in record.slices.items()
        for row in _slice_row(name, record, slice_, scores)
    ]
    return Table(
        ["run", "slicing", "slice", "rows", *scores],
        rows,
        scores,
        _notes_on_scores(named, scores, ["run"]),
        "slice",
    )


def _of(record: Record, title: str) -> dict[str, SliceRecord]:
    return {name: part for name, part in record.slices.items() if part.of == title}


def _keys(record: Record) -> Iterator[str]:
    for part in record.slices.values():
        yield from part.scores


def _shown(groups: Sequence[Mapping[str, SliceRecord]], columns: Sequence[str] | None) -> list[str]:
    found = dict.fromkeys(key for parts in groups for part in parts.values() for key in part.scores)
    return [key for key in found if columns is None or key in columns]


def _named(name: str, slice_: str, rows: Cell) -> Row:
    return {"run": Cell(name), "slice": Cell(slice_), "rows": rows}


def _slice_row(name: str, record: Record, slice_: str, scores: Sequence[str]) -> Iterator[Row]:
    part = record.slices.get(slice_)
    if part is not None:
        cells = _cells(scores, part.scores, part.notes, empty=not part.rows)
        yield {**_named(name, slice_, Cell(part.rows)), **cells}


def _cells(
    keys: Sequence[str], scores: Mapping[str, Score], notes: Mapping[str, str], *, empty: bool
) -> Row:
    cells = {}
    for key in keys:
        score = scores.get(key)
        if score is None:
            cells[key] = Cell()
        elif empty:
            cells[key] = Cell(instead="empty")
        else:
            instead = "undefined" if key in notes else "-"
            cells[key] = Cell(score.value, score.low, score.high, instead=instead)
    return cells


def _gap_cells(keys: Sequence[str], gaps: Mapping[str, Gap]) -> Row:
    return {key: _gap_cell(gaps[key]) if key in gaps else Cell() for key in keys}


def _gap_cell(gap: Gap) -> Cell:
    return Cell(gap.value, gap.low, gap.high)


def _notes(named: Named, title: str, scores: Sequence[str]) -> list[str]:
    """The worst slices, the gaps that have no column, and why scores are undefined."""
    notes = []
    of_rates = not any(key in record.scores for _, record in named for key in scores)
    for name, record in named:
        of = f" of {name}" if len(named) > 1 else ""
        key, gaps = headline(record), record.gaps.get(title, {})
        if key in scores and key in gaps and gaps[key].value:
            better = record.scores[str(key)].higher_is_better
            worst = gaps[key].lowest if better else gaps[key].highest
            notes.append(f"worst by {key}{of}: {worst}")
        if of_rates:
            notes += [f"positive label{of}: {label}" for label in _positive(record, title)]
        notes += [
            f"{gap_key}{of}: {cell_text(gap_key, _gap_cell(gap))}"
            for gap_key, gap in gaps.items()
            if gap_key.startswith(EQUALIZED_ODDS) and gap.value is not None and of_rates
        ]
    if any(EQUALIZED_ODDS in note for note in notes):
        notes.append(f"{EQUALIZED_ODDS}: the larger gap of true and false positive rate")
    return [*notes, *_reasons(named, title, scores)]


def _positive(record: Record, title: str) -> list[str]:
    """The label that rates are of, where their names do not tell it."""
    of_rates = {
        score.signature.removeprefix(POSITIVE)
        for part in _of(record, title).values()
        for key, score in part.scores.items()
        if key not in record.scores and "[" not in key
    }
    return sorted(of_rates)


def _reasons(named: Named, title: str, scores: Sequence[str]) -> Iterator[str]:
    """Why scores are undefined, the slices of one reason together."""
    reasons: dict[tuple[str, str], dict[str, None]] = {}
    for _, record in named:
        for slice_, part in _of(record, title).items():
            for key, reason in part.notes.items():
                if key in scores and part.rows:
                    reasons.setdefault((key, reason), {})[slice_] = None
    together: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (key, reason), slices in reasons.items():
        together.setdefault((reason, tuple(slices)), []).append(key)
    for (reason, names), keys in together.items():
        more = len(names) - MOST_NAMED
        told = ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
        yield f"{', '.join(keys)} undefined for {told}: {reason}"


def _notes_on_scores(named: Named, scores: Sequence[str], shown: Sequence[str]) -> list[str]:
    records = [record for _, record in named]
    directions = {
        key: score.higher_is_better
        for record in records
        for part in record.slices.values()
        for key, score in part.scores.items()
    }
    return [
        *notes_on.of_scores(records, scores, directions),
        *notes_on.of_data(records, scores, shown),
    ]
