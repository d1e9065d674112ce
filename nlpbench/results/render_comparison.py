"""A comparison of runs for a terminal, a pull request or a program."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from nlpbench.results.comparison import Compared, Comparison, RowsCompared, ScoreComparison
from nlpbench.results.files import strict_json

EXAMPLES = 20
GAP = "  "
NARROWEST = 6  # columns of a text that is cut to fit
LONGEST = 200  # characters of a text in a pull request
MARKDOWN = str.maketrans({"<": "&lt;", "\n": " ", **{char: f"\\{char}" for char in "\\|*`_"}})

Line = Sequence[str]
Side = Sequence[bool]
SCORE_HEADINGS = ("run", "score", "difference", "p", "verdict")
ROW_HEADINGS = ("run", "wins", "losses", "ties", "judged by")
NUMERIC = (False, True, False, True, False)
COUNTED = (False, True, True, True, False)


def render(comparison: Comparison, form: str, width: int = 80) -> str:
    """The text of a comparison in one of `FORMATS`.

    Args:
        width: of the terminal, in columns; names and examples are cut to fit.
    """
    return FORMATS[form](comparison, width)


def _terminal(comparison: Comparison, width: int) -> str:
    lines = _wrapped(_subject(comparison), width)
    for scores in comparison.scores:
        table = [SCORE_HEADINGS, *_score_lines(comparison, scores)]
        lines += ["", *_wrapped(_title(scores), width)]
        lines += _aligned(table, NUMERIC, width, cut=(0,))
    lines += ["", *_wrapped(f"rows, against {comparison.baseline}", width)]
    tallies = [ROW_HEADINGS, *(_tally(rows) for rows in comparison.by_row)]
    lines += _aligned(tallies, COUNTED, width, cut=(0, 4))
    for rows in comparison.by_row:
        if rows.changes:
            lines += ["", *_wrapped(_changed(comparison, rows), width)]
            lines += _examples(comparison, rows, width)
    lines.append("")
    for note in comparison.notes:
        lines += _wrapped(f"({note})", width, " ")
    return "\n".join(lines).rstrip() + "\n"


def _markdown(comparison: Comparison, width: int) -> str:  # noqa: ARG001
    out = f"{_subject(comparison).translate(MARKDOWN)}\n"
    for scores in comparison.scores:
        out += f"\n**{_title(scores).translate(MARKDOWN)}**\n\n"
        out += _markdown_table(SCORE_HEADINGS, _score_lines(comparison, scores), NUMERIC)
    out += f"\n**rows, against {comparison.baseline.translate(MARKDOWN)}**\n\n"
    out += _markdown_table(ROW_HEADINGS, map(_tally, comparison.by_row), COUNTED)
    for rows in comparison.by_row:
        if not rows.changes:
            continue
        headings = ("id", "change", "reference", comparison.baseline, rows.run)
        lines = [[_short(text) for text in line] for line in _example_lines(rows)]
        table = _markdown_table(headings, lines, (False, True, False, False, False))
        title = _changed(comparison, rows).translate(MARKDOWN)
        out += f"\n<details><summary>{title}</summary>\n\n{table}\n</details>\n"
    return out + "\n" + "".join(f"- {note.translate(MARKDOWN)}\n" for note in comparison.notes)


def _json(comparison: Comparison, width: int) -> str:  # noqa: ARG001
    return comparison.to_json(EXAMPLES)


FORMATS: dict[str, Callable[[Comparison, int], str]] = {
    "table": _terminal,
    "markdown": _markdown,
    "json": _json,
}


def _subject(comparison: Comparison) -> str:
    runs = " and ".join(filter(None, (", ".join(comparison.runs[:-1]), comparison.runs[-1])))
    seeds = f", seeds {', '.join(map(str, comparison.seeds))}" if comparison.seeds else ""
    return (
        f"{runs} against {comparison.baseline}: {comparison.task}, {comparison.rows} rows of "
        f"{comparison.split}{seeds}"
    )


def _title(scores: ScoreComparison) -> str:
    direction = "higher" if scores.higher_is_better else "lower"
    return f"{scores.key} ({direction} is better; over {scores.over}: {scores.test})"


def _score_lines(comparison: Comparison, scores: ScoreComparison) -> list[Line]:
    values = [scores.baseline, *(run.score for run in scores.runs)]
    write = _number_format([value for value in values if value is not None])

    def score(value: float | None, deviation: float | None) -> str:
        return write(value) if deviation is None else f"{write(value)} ± {write(deviation)}"

    first = (
        comparison.baseline,
        score(scores.baseline, scores.baseline_deviation),
        "",
        "",
        "baseline",
    )
    return [
        first,
        *(
            (
                run.run,
                score(run.score, run.deviation),
                _difference(run, write),
                _p_value(run.corrected_p_value),
                run.verdict,
            )
            for run in scores.runs
        ),
    ]


def _number_format(scores: Sequence[float]) -> Callable[[float | None], str]:
    """As many decimal places as show five digits of the largest score, four at most."""
    largest = max((abs(score) for score in scores if math.isfinite(score)), default=1.0)
    exponent = math.floor(math.log10(largest)) if largest else 0

    def write(value: float | None) -> str:
        if value is None:
            return "-"
        if not math.isfinite(value):
            return str(value)
        if not -3 < exponent < 9:
            return f"{value:.2e}"
        places = min(4, max(0, 4 - exponent)) if exponent >= 0 else 4
        return f"{round(value, places) + 0.0:.{places}f}"  # + 0.0: no "-0.0"

    return write


def _difference(run: Compared, write: Callable[[float | None], str]) -> str:
    value = write(run.difference)
    if run.difference is not None and run.difference > 0:
        value = f"+{value}"
    if run.low is None or run.high is None:
        return value
    return f"{value} [{write(run.low)}, {write(run.high)}]"


def _p_value(value: float | None) -> str:
    if value is None:
        return "-"
    return "<0.0001" if value < 0.0001 else f"{value:.4f}"


def _tally(rows: RowsCompared) -> Line:
    return rows.run, str(rows.wins), str(rows.losses), str(rows.ties), rows.by


def _changed(comparison: Comparison, rows: RowsCompared) -> str:
    shown, found = min(EXAMPLES, len(rows.changes)), len(rows.changes)
    some = f"the {shown} of {found} examples" if shown < found else f"the {found} examples"
    return f"{some} that changed most, {comparison.baseline} to {rows.run}"


def _example_lines(rows: RowsCompared) -> list[Line]:
    """id, change, reference and both predictions of the examples shown."""
    return [
        (
            _text(change.id),
            f"{change.change:+.3g}",
            *map(_text, (change.reference, change.baseline, change.prediction)),
        )
        for change in rows.changes[:EXAMPLES]
    ]


def _examples(comparison: Comparison, rows: RowsCompared, width: int) -> list[str]:
    """A table where all fits; else a line for the reference and one for each prediction."""
    names = ("reference", comparison.baseline, rows.run)
    lines = _example_lines(rows)
    table = [("id", "change", *names), *lines]
    if sum(max(map(_cells, column)) + len(GAP) for column in zip(*table, strict=True)) <= width:
        return _aligned(table, (False, True, False, False, False), width, cut=())
    labels = _cut_names(names, width // 4)
    widest = max(map(_cells, labels))
    found = []
    for id_, change, *texts in lines:
        found.append(_cut(f"{id_}{GAP}{change}", width))
        for label, text in zip(labels, texts, strict=True):
            space = " " * (widest - _cells(label))
            found.append(_cut(f"{GAP}{label}{space}{GAP}{text}".rstrip(), width))
    return found


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """The text in lines of `width` columns, all but the first after the indent."""
    lines: list[str] = []
    for word in text.split(" "):
        if lines and _cells(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(_cut(f"{indent if lines else ''}{word}", width))
    return lines


def _text(value: Any) -> str:
    """A value of predictions.jsonl in one line."""
    if isinstance(value, list):
        return " | ".join(map(_text, value)) if value else "[]"
    if isinstance(value, float):
        return f"{value:.4g}"
    text = value if isinstance(value, str) else strict_json(value)
    return " ".join(text.split()) or '""'


def _aligned(lines: Sequence[Line], numeric: Side, width: int, cut: Sequence[int]) -> list[str]:
    """Columns side by side, those of `cut` made as narrow as it takes to fit."""
    columns = [list(column) for column in zip(*lines, strict=True)]
    for place in cut:
        total = sum(max(map(_cells, column)) + len(GAP) for column in columns) - len(GAP)
        widest = max(map(_cells, columns[place]))
        if total > width:
            columns[place] = _cut_names(columns[place], max(NARROWEST, widest - total + width))
    widths = [max(map(_cells, column)) for column in columns]
    rows = [list(row) for row in zip(*columns, strict=True)]
    rows.insert(1, ["─" * size for size in widths])
    found = []
    for row in rows:
        texts = []
        for text, size, right in zip(row, widths, numeric, strict=True):
            space = " " * (size - _cells(text))
            texts.append(space + text if right else text + space)
        found.append(GAP.join(texts).rstrip())
    return found


def _cut_names(texts: Sequence[str], limit: int) -> list[str]:
    """Texts without their middle, in `limit` columns or the few more that keep them distinct."""
    for size in range(limit, max(map(_cells, texts))):
        shorter = [_without_middle(text, size) for text in texts]
        if len(set(shorter)) == len(set(texts)):
            return shorter
    return list(texts)


def _without_middle(text: str, limit: int) -> str:
    if _cells(text) <= limit:
        return text
    head, tail = limit // 4, limit - 1 - limit // 4
    while _cells(text[:head]) + 1 + _cells(text[-tail:]) > limit:  # wide characters
        tail -= 1
    return f"{text[:head]}…{text[-tail:]}"


def _cut(text: str, width: int) -> str:
    """The start of a text, in `width` columns."""
    if _cells(text) <= width:
        return text
    end = width - 1
    while _cells(text[:end]) > width - 1:
        end -= 1
    return f"{text[:end]}…"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _cells(text: str) -> int:
    """The columns of a terminal that a text takes; Chinese, Japanese and Korean take two each."""
    from rich.cells import cell_len

    return cell_len(text)


def _markdown_table(headings: Line, lines: Any, numeric: Side) -> str:
    def line(texts: Line) -> str:
        return "| " + " | ".join(text.translate(MARKDOWN) for text in texts) + " |\n"

    rules = "|".join("---:" if right else "---" for right in numeric)
    return line(headings) + f"|{rules}|\n" + "".join(map(line, lines))
