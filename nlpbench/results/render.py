"""A table for a terminal, a pull request, a spreadsheet, a program, a paper or a browser."""

from __future__ import annotations

import csv
import html
import io
import math
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from nlpbench.config.costs import COSTS
from nlpbench.results.cell import FACTS, Cell, Row, is_infinite, is_number
from nlpbench.results.files import spelled_if_infinite, strict_json
from nlpbench.results.table import Table

HEADINGS = {
    "parameters": "params",
    "non_embedding_parameters": "params w/o embeddings",
    "size_mb": "MB",
    "latency_ms_p50": "p50 ms",
    "latency_ms_p95": "p95 ms",
    "examples_per_second": "rows/s",
    "tokens_per_second": "tokens/s",
    "peak_memory_mb": "memory MB",
    "train_seconds": "train s",
    "worst_slice": "worst slice",
    "slice_gap": "slice gap",
}
COUNTS = ("parameters", "non_embedding_parameters")
ROUNDED = (*COSTS, "train_seconds")
NAMES = ("run", "model", "data")
KEPT_LONGEST = ("data", "model", "task", "split", "rows", "seed")
SHORT_NAME = 24
GAP = "  "
PARTS = ("low", "high", "deviation", "of")  # of a cell, each a column of its own for programs
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>nlpbench results</title>
<style>
body {{ font-family: sans-serif; margin: 2em; }}
table {{ border-collapse: collapse; }}
th, td {{ padding: 0.3em 0.8em; text-align: left; border-bottom: 1px solid #ccc; }}
th {{ border-bottom: 2px solid #333; }}
.number {{ text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }}
li {{ color: #444; }}
</style>
</head>
<body>
<table>
<thead>
{head}</thead>
<tbody>
{body}</tbody>
</table>
{notes}</body>
</html>
"""
LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        "±": r"$\pm$",
        **{char: f"\\{char}" for char in "&%$#_{}"},
    }
)
MARKDOWN = str.maketrans({"<": "&lt;", **{char: f"\\{char}" for char in "\\|*`"}})


def render(table: Table, form: str, width: int | None = None) -> str:
    """The text of a table in one of `FORMATS`; `width` is the terminal's, in columns."""
    return WRITERS[form](table) if form in WRITERS else _terminal(table, width)


def cell_text(key: str, cell: Cell) -> str:
    """A value as a person reads it, with what belongs to it."""
    if cell.value is None or (isinstance(cell.value, float) and math.isnan(cell.value)):
        return cell.instead
    text = _value_text(key, cell) + cell.mark
    return f"{text} {cell.of}" if cell.of is not None else text


def _value_text(key: str, cell: Cell) -> str:
    """Scores with interval or deviation, costs rounded."""
    value = cell.value
    if is_infinite(value) or not is_number(value):
        return " ".join(str(value).split())
    if key in COUNTS:
        return _count(value)
    if isinstance(value, int) and key not in ROUNDED:
        return str(value)
    digits, most_places = (3, 99) if key in ROUNDED else (5, 4)
    if cell.deviation is not None:
        mean, deviation = _numbers([value, cell.deviation], digits, most_places)
        return f"{mean} ± {deviation}"
    if cell.low is not None and cell.high is not None:
        score, low, high = _numbers([value, cell.low, cell.high], digits, most_places)
        return f"{score} [{low}, {high}]"
    return _numbers([value], digits, most_places)[0]


def _numbers(values: Sequence[float], digits: int, most_places: int) -> list[str]:
    """A value, and what goes with it, with as many decimal places as show its significant digits.

    `most_places` bounds them for numbers from 0.01 on, so that shares are written alike.
    """
    # A value near zero is only as precise as its interval is narrow.
    measure = max(abs(values[0]), min(1.0, max(map(abs, values))))
    exponent = math.floor(math.log10(measure)) if measure else 0
    if not -4 <= exponent < 9:
        return [f"{value:.2e}" for value in values]
    places = max(0, digits - 1 - exponent)
    if exponent >= -2:
        places = min(places, most_places)
    return [f"{round(value, places) + 0.0:.{places}f}" for value in values]  # + 0.0: no "-0.0"


def _count(value: float) -> str:
    for unit, size in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= 0.99995 * size:
            return f"{value / size:.1f}{unit}"
    return f"{value:.0f}"


def _heading(key: str) -> str:
    return HEADINGS.get(key, key)


def _texts(
    table: Table, escaped: Callable[[str], str], bold: Callable[[str], str]
) -> list[list[str]]:
    """The cells of every row, with the best ones in bold."""
    rows = []
    for row in table.rows:
        texts = [(row[key], escaped(cell_text(key, row[key]))) for key in table.columns]
        rows.append([bold(text) if cell.best else text for cell, text in texts])
    return rows


def _is_numeric(table: Table, key: str) -> bool:
    return any(is_number(row[key].value) or is_infinite(row[key].value) for row in table.rows)


def _terminal(table: Table, width: int | None) -> str:
    """Aligned text; for a width, names are shortened and the least important columns left out."""
    columns = {
        key: [_heading(key), *(cell_text(key, row[key]) for row in table.rows)]
        for key in table.columns
    }
    notes, left_out = list(table.notes), set[str]()
    if width and _width(columns) > width:
        names = {key: columns[key] for key in NAMES if key in columns}
        for key, texts in names.items():
            columns[key] = _shortened(texts, min(SHORT_NAME, max(12, width * 3 // 10)))
        for key in _least_important_first(table):
            if _width(columns) <= width:
                break
            del columns[key]
            left_out.add(key)
        if "run" in columns:
            spare = max(0, width - _width(columns))
            columns["run"] = _shortened(names["run"], _widest(columns["run"]) + spare)
    if left_out:
        keys = ", ".join(key for key in table.columns if key in left_out)
        notes.append(f"left out for width: {keys}; nlpbench results --columns chooses")

    widths = {key: _widest(texts) for key, texts in columns.items()}
    rows = [[columns[key][number] for key in columns] for number in range(len(table.rows) + 1)]
    rows.insert(1, ["─" * widths[key] for key in columns])
    lines = []
    for texts in rows:
        padded = []
        for key, text in zip(columns, texts, strict=True):
            space = " " * (widths[key] - _cells(text))
            padded.append(space + text if _is_numeric(table, key) else text + space)
        lines.append(GAP.join(padded).rstrip())
    for note in notes:
        lines += textwrap.wrap(
            f"({note})", width or 10_000, subsequent_indent=" ", break_on_hyphens=False
        )
    return "\n".join(lines) + "\n"


def _least_important_first(table: Table) -> list[str]:
    """The columns that may go: costs from the right, facts, scores; never the run, one score
    and what the rows are sorted by."""
    kept = {"run", table.sorted_by}
    if table.sorted_by not in table.scores:
        kept |= set(table.scores[:1])
    costs = [key for key in table.columns if key not in FACTS and key not in table.scores]
    facts = [key for key in KEPT_LONGEST if key in table.columns]
    if len({row["run"].value for row in table.rows}) < len(table.rows):
        kept.add("data")
    order = [*reversed(costs), *reversed(facts), *reversed(table.scores)]
    return [key for key in order if key not in kept]


def _shortened(texts: Sequence[str], limit: int) -> list[str]:
    """Texts without their middle, in `limit` columns or the few more that keep them distinct."""

    def short(text: str, limit: int) -> str:
        if _cells(text) <= limit:
            return text
        head = limit // 4
        tail = limit - 1 - head
        while _cells(text[:head]) + 1 + _cells(text[-tail:]) > limit:  # wide characters
            tail -= 1
        return f"{text[:head]}…{text[-tail:]}"

    longest = _widest(texts)
    for size in range(limit, longest):
        shorter = [short(text, size) for text in texts]
        if len(set(shorter)) == len(set(texts)):
            return shorter
    return list(texts)


def _width(columns: dict[str, list[str]]) -> int:
    return sum(map(_widest, columns.values())) + len(GAP) * (len(columns) - 1)


def _widest(texts: Sequence[str]) -> int:
    return max(map(_cells, texts))


def _cells(text: str) -> int:
    """The columns of a terminal that a text takes; Chinese, Japanese and Korean take two each."""
    from rich.cells import cell_len

    return cell_len(text)


def _markdown(table: Table) -> str:
    def escaped(text: str) -> str:
        return text.translate(MARKDOWN)

    def line(texts: Sequence[str]) -> str:
        return "| " + " | ".join(texts) + " |\n"

    out = line([escaped(_heading(key)) for key in table.columns])
    rules = ["---:" if _is_numeric(table, key) else "---" for key in table.columns]
    out += "|" + "|".join(rules) + "|\n"
    out += "".join(map(line, _texts(table, escaped, lambda text: f"**{text}**")))
    if table.notes:
        out += "\n" + "".join(f"- {note.translate(MARKDOWN)}\n" for note in table.notes)
    return out


def _latex(table: Table) -> str:
    def escaped(text: str) -> str:
        return text.translate(LATEX)

    def line(texts: Sequence[str]) -> str:
        # After \\ and \midrule, LaTeX takes a [ or a * for an argument of theirs.
        guard = "{}" if texts[0].startswith(("[", "*")) else ""
        return f"  {guard}" + " & ".join(texts) + r" \\" + "\n"

    columns = "".join("r" if _is_numeric(table, key) else "l" for key in table.columns)
    out = "".join(f"% {note}\n" for note in table.notes)
    out += f"\\begin{{tabular}}{{{columns}}}\n  \\toprule\n"
    out += line([escaped(_heading(key)) for key in table.columns]) + "  \\midrule\n"
    out += "".join(map(line, _texts(table, escaped, lambda text: rf"\textbf{{{text}}}")))
    return out + "  \\bottomrule\n\\end{tabular}\n"


def _html(table: Table) -> str:
    """A page of its own, which needs no other file."""

    def line(texts: Sequence[str], tag: str) -> str:
        cells = zip(table.columns, texts, strict=True)
        out = "".join(
            f'<{tag} class="number">{text}</{tag}>'
            if _is_numeric(table, key)
            else f"<{tag}>{text}</{tag}>"
            for key, text in cells
        )
        return f"<tr>{out}</tr>\n"

    head = line([html.escape(_heading(key)) for key in table.columns], "th")
    bold = "<strong>{}</strong>".format
    body = "".join(line(texts, "td") for texts in _texts(table, html.escape, bold))
    notes = "".join(f"<li>{html.escape(note)}</li>\n" for note in table.notes)
    listed = f"<ul>\n{notes}</ul>\n" if notes else ""
    return PAGE.format(head=head, body=body, notes=listed)


def _csv(table: Table) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    fields = _fields(table)
    writer.writerow(fields)
    writer.writerows([[values[name] for name in fields] for values in map(_raw, table.rows)])
    return out.getvalue()


def _json(table: Table) -> str:
    fields = _fields(table)
    rows = [
        {name: spelled_if_infinite(values[name]) for name in fields}
        for values in map(_raw, table.rows)
    ]
    return strict_json(rows, indent=1) + "\n"


def _fields(table: Table) -> list[str]:
    """The columns, each with those of its interval and what else some row has."""
    fields = []
    for key in table.columns:
        fields.append(key)
        for part in PARTS:
            if any(getattr(row[key], part) is not None for row in table.rows):
                fields.append(f"{key}_{part}")
    return fields


def _raw(row: Row) -> dict[str, Any]:
    """Values as they were measured, with nothing rounded."""
    values: dict[str, Any] = {}
    for key, cell in row.items():
        values[key] = cell.value
        values |= {f"{key}_{part}": getattr(cell, part) for part in PARTS}
    return values


WRITERS: dict[str, Callable[[Table], str]] = {
    "markdown": _markdown,
    "csv": _csv,
    "json": _json,
    "latex": _latex,
    "html": _html,
}
FORMATS = ("table", *WRITERS)
WITH_BOLD = ("markdown", "latex", "html")
