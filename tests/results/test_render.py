"""Tables in six formats, word for word and read back by other programs."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from fixed_records import fixed_records, make_record, score, seeds_of
from golden.expected import golden
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.cells import cell_len

from nlpbench.commands.results import Format
from nlpbench.results.record import SliceRecord
from nlpbench.results.render import FORMATS, WITH_BOLD, cell_text, render
from nlpbench.results.table import Cell, build

FILES = {
    "table": "table.txt",
    "markdown": "table.md",
    "csv": "table.csv",
    "json": "table.json",
    "latex": "table.tex",
    "html": "table.html",
}
finite_floats = st.floats(-1e300, 1e300)


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def named(name: str, **changes: object) -> tuple[str, object]:
    return name, make_record(**changes)


def test_the_command_knows_every_format() -> None:
    assert tuple(Format) == FORMATS == tuple(FILES)


@pytest.mark.parametrize("form", FORMATS)
def test_format(form: str) -> None:
    text = render(build(fixed_records()), form)

    assert text == golden(FILES[form], text)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_narrow_terminal(width: int) -> None:
    text = render(build(fixed_records()), "table", width)

    assert text == golden(f"table_{width}.txt", text)
    assert max(map(cell_len, text.splitlines())) <= width


def test_columns_that_were_asked_for() -> None:
    keys = ["run", "train_seconds", "padded_share", "device", "parameters", "finished"]
    text = render(build(fixed_records(), keys, sort="-seed"), "table")

    assert text == golden("table_columns.txt", text)


@pytest.mark.parametrize(
    ("key", "cell", "text"),
    [
        ("f1", Cell(0.857142, 0.8201, 0.89021), "0.8571 [0.8201, 0.8902]"),
        ("f1", Cell(1.0, 1.0, 1.0), "1.0000 [1.0000, 1.0000]"),
        ("f1", Cell(0.0, 0.0, 0.0), "0.0000 [0.0000, 0.0000]"),
        ("f1", Cell(0.84, deviation=0.03606), "0.8400 ± 0.0361"),
        ("f1", Cell(0.5, deviation=0.0), "0.5000 ± 0.0000"),
        ("f1", Cell(0.25), "0.2500"),
        ("mcc", Cell(-0.00001, -0.2, 0.2), "0.0000 [-0.2000, 0.2000]"),
        ("f1", Cell(None), "-"),
        ("f1", Cell(math.nan), "-"),
        ("perplexity", Cell(math.inf), "inf"),
        ("perplexity", Cell(math.inf, 3.0, None), "inf"),
        ("mse", Cell(8.5, 6.8, 10.2), "8.5000 [6.8000, 10.2000]"),
        ("mse", Cell(1234.5678, 1100.25, 1400.75), "1234.6 [1100.2, 1400.8]"),
        ("mse", Cell(0.0034567, 0.003, 0.004), "0.0034567 [0.0030000, 0.0040000]"),
        ("mse", Cell(1.23e-5, 1e-5, 1.5e-5), "1.23e-05 [1.00e-05, 1.50e-05]"),
        ("mse", Cell(1.5e12), "1.50e+12"),
        ("parameters", Cell(22_713_216), "22.7M"),
        ("parameters", Cell(999_999_999), "1.0B"),
        ("parameters", Cell(999_949), "999.9k"),
        ("parameters", Cell(999), "999"),
        ("parameters", Cell(0), "0"),
        ("size_mb", Cell(90.864), "90.9"),
        ("size_mb", Cell(0.0421), "0.0421"),
        ("size_mb", Cell(5200.5), "5200"),
        ("latency_ms_p50", Cell(5.23111), "5.23"),
        ("latency_ms_p50", Cell(5.23, deviation=0.0412), "5.23 ± 0.04"),
        ("latency_ms_p50", Cell(5), "5.00"),
        ("examples_per_second", Cell(12345.6), "12346"),
        ("train_seconds", Cell(61.234), "61.2"),
        ("rows", Cell(180), "180"),
        ("seed", Cell(123456789), "123456789"),
        ("truncated_share", Cell(0.0111), "0.0111"),
        ("run", Cell("two\nlines\tand  more"), "two lines and more"),
    ],
)
def test_cell(key: str, cell: Cell, text: str) -> None:
    assert cell_text(key, cell) == text


@given(finite_floats)
def test_a_number_keeps_four_digits_or_four_decimals(value: float) -> None:
    told = float(cell_text("mse", Cell(value)))

    assert told == pytest.approx(value, rel=0.006, abs=0.00005 if abs(value) >= 0.01 else 0)


@given(finite_floats, finite_floats, finite_floats)
def test_an_interval_is_readable(value: float, low: float, high: float) -> None:
    text = cell_text("mse", Cell(value, low, high))

    assert re.fullmatch(r"-?[\d.e+-]+ \[-?[\d.e+-]+, -?[\d.e+-]+\]", text)
    assert "-0.0000 " not in text


def test_costs_go_first_then_rows_split_and_model_and_scores_last() -> None:
    rows = [
        named("a", model={"name": "one"}, scores={"f1": score(0.5, 0.4, 0.6), "mcc": score(0.1)}),
        named("b", model={"name": "two"}, scores={"f1": score(0.5, 0.4, 0.6), "mcc": score(0.1)}),
    ]
    table = build(rows)
    gone: list[str] = []
    for width in range(200, 1, -1):
        head = render(table, "table", width)
        told = re.search(r"left out for width: ([\w,\s]+);", head)
        keys = re.split(r",\s+", told[1]) if told else []
        gone += [key for key in reversed(keys) if key not in gone]

    costs = ["peak_memory_mb", "examples_per_second", "latency_ms_p50", "size_mb", "parameters"]
    assert gone == [*costs, "rows", "split", "model", "mcc"]


def test_long_names_do_not_push_out_the_scores() -> None:
    records = [
        (f"sweeps/distilbert-base-uncased/learning_rate=3e-5,batch_size=32/trial-{n}", record)
        for n, (_, record) in enumerate(seeds_of("x", {1: 0.8, 2: 0.9}))
    ]
    text = render(build(records), "table", 80)

    assert re.search(r"0\.8000 \[0\.7700, 0\.8300] +8\.0000 \[6\.4000, 9\.6000]", text)
    assert "trial-0" in text
    assert "trial-1" in text
    assert "…" in text
    assert "…" not in render(build(records), "table")
    assert "…" not in render(build(records), "markdown", 80)


def test_shortened_names_stay_distinct() -> None:
    names = [f"{'a' * 30}-{middle}-{'b' * 40}" for middle in ("left", "right", "centre")]
    text = render(build([named(name) for name in names]), "table", 60)

    assert len({line.split()[0] for line in text.splitlines()[2:5]}) == 3


@given(st.lists(st.text(min_size=1, max_size=60), min_size=1, max_size=4), st.integers(1, 200))
def test_any_names_and_width(names: list[str], width: int) -> None:
    text = render(build([named(name) for name in names]), "table", width)

    assert len(text.splitlines()) >= len(names) + 2
    assert "0.8571 [0.8201, 0.8902]" in text
    if width >= 80:
        assert "run" in text.splitlines()[0]


def test_what_the_rows_are_sorted_by_stays() -> None:
    table = build(fixed_records(), sort="latency_ms_p50")

    assert "p50 ms" in render(table, "table", 60).splitlines()[0]
    assert "roc_auc" in render(build(fixed_records(), sort="roc_auc"), "table", 60).splitlines()[0]


def test_wide_characters_are_aligned() -> None:
    text = render(build([named("模型比较"), named("b")], ["run", "split"]), "table")

    starts = [cell_len(line[: line.rindex("  ")]) for line in text.splitlines()[1:]]
    assert starts == [8, 8, 8]


def test_markup_in_names_is_text() -> None:
    text = render(build([named("[bold]:rocket:[/]")]), "table")

    assert "[bold]:rocket:[/]" in text


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1))
def test_markdown_is_read_back(name: str) -> None:
    text = render(build([named(name), named(f"x {name} x")], ["run", "f1"]), "markdown")

    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    cells = [
        "".join(child.content for child in token.children or ())
        for before, token in pairwise(tokens)
        if before.type in ("td_open", "th_open")
    ]
    interval = "0.8571 [0.8201, 0.8902]"
    if not re.search(r"[_&!\[~:]", name):  # emphasis, entities and links, which names may hold
        assert cells == ["run", "f1", name, interval, f"x {name} x", interval]
    assert len(cells) == 6


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1))
def test_latex_has_no_special_character_left(name: str) -> None:
    text = render(build([named(name)], ["run"]), "latex")

    row = text.split("\\midrule\n")[1].split(" \\\\\n")[0].strip()
    assert not row.startswith(("[", "*"))
    row = row.removeprefix("{}")
    unescaped = re.sub(r"\\text[a-z]+\{\}|\\[&%$#_{}]|\$\\pm\$", "", row)
    assert not re.search(r"[\\&%$#_{}~^<>|]", unescaped)


def test_csv_and_json_hold_the_same_full_precision() -> None:
    table = build(fixed_records())
    rows = json.loads(render(table, "json"), parse_constant=refuse)
    lines = list(csv.DictReader(io.StringIO(render(table, "csv"))))

    assert [list(row) for row in rows] == [list(line) for line in lines]
    for row, line in zip(rows, lines, strict=True):
        assert line == {key: "" if value is None else str(value) for key, value in row.items()}
    one = rows[4]
    assert (one["mse"], one["mse_low"], one["mse_high"]) == (1234.5678, 1100.25, 1400.75)
    assert one["roc_auc"] is None
    assert rows[3]["f1_deviation"] == pytest.approx(0.0360555127)


@pytest.mark.parametrize(
    ("number", "shown"), [(math.nan, None), (math.inf, "inf"), (-math.inf, "-inf")]
)
def test_json_is_strict(number: float, shown: str | None) -> None:
    table = build([named("a", efficiency={"size_mb": number}, scores={"f1": score(number)})])

    [row] = json.loads(render(table, "json"), parse_constant=refuse)
    assert (row["f1"], row["size_mb"]) == (shown, shown)
    assert "nan" not in render(table, "table")


@pytest.mark.parametrize(
    ("key", "cell", "text"),
    [
        ("f1", Cell(instead="failed"), "failed"),
        ("latency_ms_p50", Cell(5.23111, mark="†"), "5.23†"),
        ("latency_ms_p50", Cell(None, mark="†"), "-"),
        ("latency_ms_p50", Cell(5.23, deviation=0.0412, mark="†"), "5.23 ± 0.04†"),
        (
            "worst_slice",
            Cell(0.6, 0.5, 0.7, of="language=de"),
            "0.6000 [0.5000, 0.7000] language=de",
        ),
        ("slice_gap", Cell(0.25, of="length"), "0.2500 length"),
    ],
)
def test_what_belongs_to_a_value(key: str, cell: Cell, text: str) -> None:
    assert cell_text(key, cell) == text


BOLD = {
    "markdown": "**0.8571 [0.8201, 0.8902]**",
    "latex": r"\textbf{0.8571 [0.8201, 0.8902]}",
    "html": "<strong>0.8571 [0.8201, 0.8902]</strong>",
}


@pytest.mark.parametrize("form", FORMATS)
def test_the_best_is_bold_where_a_format_can(form: str) -> None:
    text = render(build([named("a"), named("b")], significant_best={(0, "f1")}), form)

    assert form not in BOLD or text.count(BOLD[form]) == 1
    assert (form in BOLD) == (form in WITH_BOLD)
    assert text.count("0.857142857" if form in ("csv", "json") else "0.8571 [0.8201") == 2


class Reader(HTMLParser):
    """Cells, notes and tags of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.notes: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.into: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)
        self.links += [value for key, value in attrs if key in ("src", "href")]
        self.into = {"td": self.cells, "th": self.cells, "li": self.notes}.get(tag, self.into)
        if tag in ("td", "th", "li") and self.into is not None:
            self.into.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th", "li"):
            self.into = None

    def handle_data(self, data: str) -> None:
        if self.into is not None:
            self.into[-1] += data


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1))
def test_html_is_read_back(name: str) -> None:
    reader = Reader()
    reader.feed(render(build([named(name), named("b")], ["run", "f1"]), "html"))

    interval = "0.8571 [0.8201, 0.8902]"
    assert reader.cells == ["run", "f1", name, interval, "b", interval]
    assert reader.notes == build([named(name)], ["run", "f1"]).notes
    assert reader.links == []  # it needs no other file
    assert set(reader.tags) <= set(
        "html head meta title style body table thead tbody tr th td ul li".split()
    )


def test_programs_read_which_slice_is_the_worst() -> None:
    part = SliceRecord(of="length", rows=3, scores={"f1": score(0.5)})
    text = render(build([named("a", slices={"length=1-9": part})]), "csv")

    [line] = csv.DictReader(io.StringIO(text))
    assert (line["worst_slice"], line["worst_slice_of"]) == ("0.5", "length=1-9")


def test_the_data_stays_where_it_alone_tells_rows_apart() -> None:
    def on(name: str, run: str) -> tuple[str, object]:
        return named(run, config={"data": {"source": name}}, model={"name": "m"})

    alike = render(build([on("x", "a"), on("y", "a")]), "table", 30)
    assert alike.splitlines()[0].split() == ["run", "data", "f1"]
    assert max(map(cell_len, alike.splitlines())) > 30  # a name for each row comes first
    other = render(build([on("x", "a"), on("y", "b")]), "table", 30)
    assert other.splitlines()[0].split() == ["run", "f1"]
    assert "data" in re.sub(r"\s+", " ", other).split("left out for width:")[1]
