"""A table for a terminal, a pull request, a spreadsheet, a program or a paper."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from nlpbench.results.table import COSTS, Cell, Table, is_number

FORMATS = ("table", "markdown", "csv", "json", "latex")
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
}


def render(table: Table, form: str, width: int | None = None) -> str:
    """The text of a table in one of `FORMATS`; `width` is the terminal's, in columns."""
    if form == "csv":
        return _csv(table)
    if form == "json":
        return json.dumps([_flat(row, table.columns) for row in table.rows], indent=1) + "\n"
    if form == "markdown":
        return _markdown(table)
    if form == "latex":
        return _latex(table)
    return _terminal(table, width)


def cell_text(key: str, cell: Cell) -> str:
    """A value as a person reads it: scores with interval or deviation, costs rounded."""
    value = cell.value
    if value is None:
        return "-"
    if not is_number(value):
        return str(value)
    if key in ("parameters", "non_embedding_parameters"):
        return f"{value / 1e6:.1f}M"
    if key in COSTS or key == "train_seconds":
        text = f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}"
        return f"{text} ± {cell.deviation:.1f}" if cell.deviation else text
    if isinstance(value, int):
        return str(value)
    if cell.deviation is not None:
        return f"{value:.4f} ± {cell.deviation:.4f}"
    if cell.low is not None and cell.high is not None:
        return f"{value:.4f} [{cell.low:.4f}, {cell.high:.4f}]"
    return f"{value:.4f}"


def _heading(key: str) -> str:
    return HEADINGS.get(key, key)


def _texts(table: Table, columns: list[str]) -> list[list[str]]:
    return [[cell_text(key, row[key]) for key in columns] for row in table.rows]


def _terminal(table: Table, width: int | None) -> str:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table as RichTable

    columns, left_out = _fitting(table, width)
    shown = RichTable(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for key in columns:
        numeric = any(is_number(row[key].value) for row in table.rows)
        shown.add_column(_heading(key), justify="right" if numeric else "left", no_wrap=True)
    for texts in _texts(table, columns):
        shown.add_row(*texts)
    out = io.StringIO()
    console = Console(file=out, width=max(width or 0, 1000), highlight=False, markup=False)
    console.print(shown)
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    lines += [f"({note})" for note in table.notes]
    if left_out:
        lines.append(f"(left out for width: {', '.join(left_out)}; --columns chooses)")
    return "\n".join(lines) + "\n"


def _fitting(table: Table, width: int | None) -> tuple[list[str], list[str]]:
    """The columns that fit, and those that do not: costs go first, then facts, last scores."""
    columns, left_out = list(table.columns), list[str]()
    order = [key for key in ("rows", "split", "model", "task") if key in columns]
    order = [key for key in reversed(columns) if key not in table.scores and key not in order][
        :-1
    ] + order
    order += [key for key in reversed(columns) if key in table.scores][:-1]
    while width and _width(table, columns) > width and order:
        dropped = order.pop(0)
        if dropped in columns and dropped != "run":
            columns.remove(dropped)
            left_out.insert(0, dropped)
    return columns, [key for key in table.columns if key in left_out]


def _width(table: Table, columns: list[str]) -> int:
    texts = [[_heading(key) for key in columns], *_texts(table, columns)]
    return sum(max(len(row[i]) for row in texts) + 2 for i in range(len(columns)))


def _markdown(table: Table) -> str:
    def line(texts: list[str]) -> str:
        return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |\n"

    numeric = [any(is_number(row[key].value) for row in table.rows) for key in table.columns]
    out = line([_heading(key) for key in table.columns])
    out += "|" + "|".join("---:" if right else "---" for right in numeric) + "|\n"
    out += "".join(line(texts) for texts in _texts(table, table.columns))
    if table.notes:
        out += "\n" + "".join(f"{note}  \n" for note in table.notes)
    return out


def _latex(table: Table) -> str:
    def escape(text: str) -> str:
        for raw, safe in (
            ("\\", r"\textbackslash "),
            ("_", r"\_"),
            ("%", r"\%"),
            ("&", r"\&"),
            ("#", r"\#"),
            ("±", r"$\pm$"),
        ):
            text = text.replace(raw, safe)
        return text

    def line(texts: list[str]) -> str:
        return "  " + " & ".join(escape(text) for text in texts) + r" \\" + "\n"

    numeric = [any(is_number(row[key].value) for row in table.rows) for key in table.columns]
    columns = "".join("r" if right else "l" for right in numeric)
    out = "".join(f"% {note}\n" for note in table.notes)
    out += f"\\begin{{tabular}}{{{columns}}}\n  \\toprule\n"
    out += line([_heading(key) for key in table.columns]) + "  \\midrule\n"
    out += "".join(line(texts) for texts in _texts(table, table.columns))
    return out + "  \\bottomrule\n\\end{tabular}\n"


def _csv(table: Table) -> str:
    rows = [_flat(row, table.columns) for row in table.rows]
    header = list(dict.fromkeys(key for row in rows for key in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, header, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _flat(row: dict[str, Cell], columns: list[str]) -> dict[str, Any]:
    """Raw values; intervals and deviations in columns of their own."""
    values: dict[str, Any] = {}
    for key in columns:
        cell = row[key]
        values[key] = cell.value
        for name in ("low", "high", "deviation"):
            if getattr(cell, name) is not None:
                values[f"{key}_{name}"] = getattr(cell, name)
    return values
