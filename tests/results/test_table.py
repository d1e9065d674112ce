"""Records to rows: order, means over seeds, and what a reader is told."""

from __future__ import annotations

import math
import statistics

import pytest
from fixed_records import CPU, GPU, INTERVAL, fixed_records, make_record, score, seeds_of

from nlpbench.config.errors import UserError
from nlpbench.results.record import Gap, Record, SliceRecord, SplitRecord
from nlpbench.results.row import Failed
from nlpbench.results.table import BEST, Cell, Table, build


def runs(table: Table) -> list[str]:
    return [row["run"].value for row in table.rows]


def valued(key: str, values: dict[str, float | None]) -> list[tuple[str, Record]]:
    return [(name, make_record(efficiency={key: value})) for name, value in values.items()]


def scored(values: dict[str, float | None], better: bool = True) -> list[tuple[str, Record]]:
    return [
        (name, make_record(scores={"m": score(value, higher_is_better=better)}))
        for name, value in values.items()
    ]


VALUES = {"a": 2.0, "b": None, "c": 3.0, "d": 1.0}
WITH_INFINITY = {"a": 2.0, "b": None, "c": math.inf, "d": 1.0}


@pytest.mark.parametrize(
    ("named", "sort", "order"),
    [
        (scored(VALUES), None, "abcd"),
        (scored(VALUES), "m", "cadb"),
        (scored(VALUES), "-m", "dacb"),
        (scored(VALUES, better=False), "m", "dacb"),
        (scored(VALUES, better=False), "-m", "cadb"),
        (scored(WITH_INFINITY, better=False), "m", "dacb"),
        (scored(WITH_INFINITY, better=False), "-m", "cadb"),
        (valued("latency_ms_p50", VALUES), "latency_ms_p50", "dacb"),
        (valued("latency_ms_p50", VALUES), "-latency_ms_p50", "cadb"),
        (valued("parameters", VALUES), "parameters", "dacb"),
        (valued("examples_per_second", VALUES), "examples_per_second", "cadb"),
        (valued("tokens_per_second", VALUES), "tokens_per_second", "cadb"),
        (valued("tokens_per_second", VALUES), "-tokens_per_second", "dacb"),
        (scored(VALUES), "run", "abcd"),
        (scored(VALUES), "-run", "dcba"),
    ],
)
def test_sort(named: list[tuple[str, Record]], sort: str | None, order: str) -> None:
    assert "".join(runs(build(named, sort=sort))) == order


def test_what_is_sorted_by_is_shown() -> None:
    assert build([("a", make_record())], sort="train_seconds").columns[-1] == "train_seconds"


@pytest.mark.parametrize(
    ("columns", "sort", "message"),
    [
        (["run", "f11"], None, "no record has the column f11  did you mean f1?"),
        (["size"], None, "no record has the column size  did you mean size_mb?"),
        (None, "-f11", "no record has the column f11  did you mean f1?"),
        (None, "--f1", "no record has the column -f1  did you mean f1?"),
    ],
)
def test_unknown_column(columns: list[str] | None, sort: str | None, message: str) -> None:
    with pytest.raises(UserError) as caught:
        build([("a", make_record())], columns, sort)

    assert str(caught.value) == message


def test_unknown_column_like_no_other_lists_them_all() -> None:
    with pytest.raises(UserError, match=r"allowed: .*\bf1\b.*\bsize_mb\b"):
        build([("a", make_record())], ["zzzzzzzz"])


def test_default_columns() -> None:
    one = [("a", make_record())]
    two = [*one, ("b", make_record(model={"name": "other"}, task="token-classification"))]

    assert build(one).columns[:4] == ["run", "split", "rows", "f1"]
    assert build(two).columns[:4] == ["run", "model", "task", "split"]
    assert "parameters" not in build([("a", make_record(efficiency={}))]).columns


def test_models_that_name_the_rows_are_not_named_twice() -> None:
    named = [(name, make_record(model={"name": name})) for name in ("a", "b")]

    assert "model" not in build(named).columns


def test_chosen_columns_keep_their_order_and_stand_once() -> None:
    assert build([("a", make_record())], ["f1", "run", "f1"]).columns == ["f1", "run"]


def test_an_undefined_score_is_shown_even_where_no_row_has_it() -> None:
    table = build([("a", make_record(scores={"roc_auc": score(None)}))])

    assert "roc_auc" in table.columns
    assert table.rows[0]["roc_auc"] == Cell()


def test_mean_over_seeds() -> None:
    table = build(seeds_of("bert", {1: 0.8, 2: 0.85, 3: 0.87}))
    mean = table.rows[-1]

    assert mean["run"].value == "bert (mean of 3 seeds)"
    assert mean["f1"].value == pytest.approx(0.84)
    assert mean["f1"].deviation == pytest.approx(statistics.stdev([0.8, 0.85, 0.87]))
    assert mean["f1"].low is None
    assert mean["parameters"] == Cell(22_713_216)
    assert mean["latency_ms_p50"].deviation == pytest.approx(1 / 7)
    assert mean["rows"].value == 180
    assert mean["seed"] == Cell()
    assert "± is the sample standard deviation over 3 seeds" in table.notes


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["seed-1", "seed-2"], "mean of 2 seeds"),
        (["seed-11", "seed-12"], "mean of 2 seeds"),
        (["gpt2/seed-1", "gpt2/seed-2"], "gpt2 (mean of 2 seeds)"),
        (["gpt2-1", "gpt2-2"], "gpt2 (mean of 2 seeds)"),
        (["one", "two"], "mean of 2 seeds"),
    ],
)
def test_name_of_the_mean(names: list[str], told: str) -> None:
    records = [record for _, record in seeds_of("x", {1: 0.5, 2: 0.6})]

    assert runs(build(list(zip(names, records, strict=True))))[-1] == told


def test_mean_stands_below_its_runs() -> None:
    first, second = seeds_of("a", {1: 0.5, 2: 0.6}), seeds_of("b", {1: 0.5, 2: 0.6})
    mixed = [first[0], second[0], first[1], second[1]]

    assert runs(build(mixed)) == [
        "a/seed-1", "a/seed-2", "a (mean of 2 seeds)",
        "b/seed-1", "b/seed-2", "b (mean of 2 seeds)",
    ]  # fmt: skip


def test_mean_of_a_score_that_one_seed_has_not_is_undefined() -> None:
    named = seeds_of("a", {1: 0.5, 2: 0.6})
    named[1] = ("a/seed-2", named[1][1].model_copy(update={"scores": {"f1": score(None)}}))

    assert build(named).rows[-1]["f1"] == Cell()


def test_mean_with_an_infinite_score_is_infinite_without_deviation() -> None:
    named = seeds_of("a", {1: 0.5, 2: 0.6})
    named[1] = ("a/seed-2", named[1][1].model_copy(update={"scores": {"f1": score(math.inf)}}))

    assert build(named).rows[-1]["f1"] == Cell(math.inf)


@pytest.mark.parametrize(
    "changes",
    [
        {"command": "evaluate"},
        {"config": {}},
    ],
)
def test_no_mean(changes: dict) -> None:
    assert len(build(seeds_of("a", {1: 0.5, 2: 0.6}, **changes)).rows) == 2


def test_no_mean_over_different_rows() -> None:
    named = seeds_of("a", {1: 0.5, 2: 0.6})
    other = {"data": {"test": SplitRecord(rows=180, fingerprint="cccc")}}
    named[1] = (named[1][0], named[1][1].model_copy(update=other))

    assert runs(build(named)) == ["a/seed-1", "a/seed-2"]


def test_no_mean_where_a_seed_ran_twice() -> None:
    named = seeds_of("a", {1: 0.5, 2: 0.6})
    table = build([*named, ("again", named[0][1])])

    assert len(table.rows) == 3
    assert "no mean over the seeds of a/seed-1, a/seed-2, again: a seed ran twice" in table.notes


def test_notes_of_like_runs() -> None:
    assert build([("a", make_record()), ("b", make_record())]).notes == [
        "95 % intervals: percentile bootstrap over examples, 1000 resamples",
        "costs measured on Xeon Platinum 8480, 2 threads",
    ]


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        (
            {"scores": {"f1": score(0.5, signature="f1|average:micro")}},
            "f1 is not the same metric in all rows: f1|average:macro|zero_division:0 and "
            "f1|average:micro",
        ),
        (
            {"efficiency": {"latency_ms_p50": 1.0} | GPU},
            "costs measured on Xeon Platinum 8480, 2 threads, and those with † on NVIDIA H100, "
            "16 threads; they do not compare",
        ),
        (
            {"efficiency": {"latency_ms_p50": 1.0} | CPU | {"threads": 1}},
            "costs measured on Xeon Platinum 8480, 2 threads, and those with † on Xeon Platinum "
            "8480, 1 thread; they do not compare",
        ),
        (
            {"data": {"test": SplitRecord(rows=180, fingerprint="cccc")}},
            "rows were scored on different data; do not compare them",
        ),
        (
            {"scores": {"mse": score(0.5, signature="mse", higher_is_better=False)}},
            "lower is better: mse",
        ),
        (
            {"interval": INTERVAL | {"confidence": 0.999}},
            "intervals are not alike in all rows: "
            "95 % intervals: percentile bootstrap over examples, 1000 resamples; "
            "99.9 % intervals: percentile bootstrap over examples, 1000 resamples",
        ),
    ],
)
def test_note(changes: dict, note: str) -> None:
    assert note in build([("a", make_record()), ("b", make_record(**changes))]).notes


def test_notes_tell_of_what_is_shown_only() -> None:
    assert build(fixed_records(), ["run", "parameters"]).notes == []


def test_a_record_without_interval_or_hardware_has_no_notes() -> None:
    assert build([("a", make_record(interval={}, efficiency={}))]).notes == []


# Data


def on_data(name: str, fingerprint: str = "aaaa", **changes: object) -> Record:
    config = {"data": {"source": name}, "model": {"name_or_path": "m"}}
    data = {"test": SplitRecord(rows=180, fingerprint=fingerprint)}
    return make_record(config=config, data=data, command="evaluate", **changes)


def test_the_data_is_a_column_where_there_are_several() -> None:
    one = [("a", on_data("x")), ("b", on_data("x"))]
    two = [("a", on_data("x")), ("a", on_data("y", "bbbb"))]

    assert "data" not in build(one).columns
    assert build(two).columns[:2] == ["run", "data"]
    assert [row["data"].value for row in build(two).rows] == ["x", "y"]


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ({"source": "org/x", "subset": "de", "name": "X"}, "X"),
        ({"source": "org/x", "subset": "de"}, "org/x/de"),
        ({"train": "a.csv", "test": "b.csv"}, "b.csv"),
        ({"train": "a.csv"}, "a.csv"),
        ({}, None),
    ],
)
def test_name_of_the_data(data: dict, name: str | None) -> None:
    [row] = build([("a", make_record(config={"data": data}))]).rows

    assert row["data"].value == name


def test_rows_of_named_data_are_compared_within_it() -> None:
    named = [("a", on_data("x")), ("a", on_data("y", "bbbb"))]
    apart = "rows were scored on different data; do not compare them"

    assert "compare rows of the same data only" in build(named).notes
    assert apart in build(named, ["run", "f1"]).notes
    # One name for two versions of the data hides the difference.
    assert apart in build([*named, ("b", on_data("y", "cccc"))]).notes


# Runs that failed


def failed(data: str = "x", reason: str = "no such file") -> Failed:
    return Failed("bert", data, "text-classification", "test", reason)


def test_a_failed_run_has_a_row_and_a_note() -> None:
    table = build([("a", on_data("x")), ("b", failed()), ("c", on_data("x"))])

    assert runs(table) == ["a", "b", "c"]
    assert table.rows[1]["f1"] == Cell(instead="failed")
    assert table.rows[1]["rows"] == Cell()
    assert table.notes[0] == "b failed: no such file"


def test_a_reason_is_told_once_with_all_that_it_ended() -> None:
    named = [("a", failed()), ("b", failed("y")), ("b", failed("y", "other")), ("c", on_data("x"))]
    notes = build(named).notes

    assert notes[:2] == ["a on x, b on y failed: no such file", "b on y failed: other"]


def test_failed_runs_come_last_when_sorted() -> None:
    named = [("a", failed()), *scored({"b": 1.0, "c": 2.0})]

    assert runs(build(named, sort="m")) == ["c", "b", "a"]
    assert runs(build(named, sort="-m")) == ["b", "c", "a"]


def test_a_table_of_failures_alone() -> None:
    table = build([("a", failed()), ("b", failed("y"))])

    assert table.columns == ["run", "data", "split", "rows"]
    assert len(table.notes) == 1


# Hardware


def test_rows_of_other_hardware_are_marked_at_their_costs() -> None:
    cpu, gpu = make_record(), make_record(efficiency={"latency_ms_p50": 1.0, "size_mb": 9.0} | GPU)
    third = make_record(efficiency={"latency_ms_p50": 2.0} | CPU | {"threads": 8})
    table = build([("a", gpu), ("b", cpu), ("c", cpu), ("d", third), ("e", third), ("f", third)])

    marks = [row["latency_ms_p50"].mark for row in table.rows]
    assert marks == ["‡", "†", "†", "", "", ""]  # the most common machine has none
    assert table.rows[0]["size_mb"].mark == ""  # which is the same everywhere
    assert table.rows[0]["f1"].mark == ""


def test_ranks_across_hardware_are_told() -> None:
    named = [("a", make_record()), ("b", make_record(efficiency={"latency_ms_p50": 1.0} | GPU))]
    told = "sorted by latency_ms_p50 across different hardware, which is no ranking"

    assert told in build(named, sort="latency_ms_p50").notes
    assert told in build(named, sort="-latency_ms_p50").notes
    assert not any("sorted by" in note for note in build(named, sort="size_mb").notes)
    assert not any("sorted by" in note for note in build(named[:1], sort="latency_ms_p50").notes)


def test_costs_on_different_hardware_have_no_mean() -> None:
    named = seeds_of("a", {1: 0.5, 2: 0.6})
    name, record = named[1]
    named[1] = (name, record.model_copy(update={"efficiency": record.efficiency | GPU}))
    mean = build(named).rows[-1]

    assert mean["latency_ms_p50"] == Cell()
    assert mean["parameters"].value == 22_713_216
    assert mean["f1"].deviation is not None


# Slices


def sliced(worst: float | None, higher: bool = True) -> Record:
    def part(value: float | None) -> SliceRecord:
        scores = {
            "m": score(value, None if value is None else value - 0.1, higher_is_better=higher)
        }
        return SliceRecord(of="language", rows=9, scores=scores)

    slices = {"language=de": part(worst), "language=fr": part(0.8), "language=xx": part(None)}
    gaps = {
        "language": {"m": Gap(value=0.2, low=0.1, high=0.3, highest="fr", lowest="de")},
        "length": {"m": Gap(value=0.4)},
        "group": {"m": Gap(value=None)},
    }
    scores = {"m": score(0.7, higher_is_better=higher), "other": score(0.1)}
    return make_record(scores=scores, slices=slices, gaps=gaps)


def test_the_worst_slice_and_the_largest_gap() -> None:
    table = build([("a", sliced(0.6)), ("b", make_record())])

    assert table.rows[0]["worst_slice"] == Cell(0.6, 0.5, of="language=de")
    assert table.rows[0]["slice_gap"] == Cell(0.4, of="length")
    assert table.rows[1]["worst_slice"] == Cell()
    assert table.columns.index("worst_slice") == table.columns.index("f1") + 1
    assert "worst_slice and slice_gap are of m" in table.notes


def test_the_worst_slice_of_an_error_is_its_largest() -> None:
    table = build([("a", sliced(0.6, higher=False))])

    assert table.rows[0]["worst_slice"].of == "language=fr"


def test_slices_without_a_defined_score_have_no_worst() -> None:
    record = sliced(None)
    only = record.model_copy(update={"slices": {"language=de": record.slices["language=de"]}})

    assert build([("a", only)]).rows[0]["worst_slice"] == Cell()


def test_no_columns_about_slices_where_there_are_none() -> None:
    assert not {"worst_slice", "slice_gap"} & set(build([("a", make_record())]).columns)


@pytest.mark.parametrize(("higher", "order"), [(True, "ba"), (False, "ab")])
def test_sorted_by_the_worst_slice(higher: bool, order: str) -> None:
    named = [
        ("a", sliced(0.9 if not higher else 0.1, higher)),
        ("b", sliced(1.0 if not higher else 0.3, higher)),
    ]

    assert "".join(runs(build(named, sort="worst_slice"))) == order


# The best, by a test


def test_the_best_is_marked_where_a_test_says_so() -> None:
    named = scored({"a": 0.5, "b": 0.9, "c": 0.7})
    table = build(named, sort="m", significant_best={(1, "m")})

    assert runs(table)[0] == "b"
    assert [row["m"].best for row in table.rows] == [True, False, False]
    assert BEST in table.notes
    assert BEST not in build(named).notes
    assert BEST not in build(named, ["run", "rows"], significant_best={(1, "m")}).notes
