"""Files of many chunks: the same rows, types and messages as of one."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from nlpbench.config.errors import UserError
from nlpbench.config.sections import DataSection
from nlpbench.data import delimited, json_rows
from nlpbench.data.load import load


@pytest.fixture(autouse=True)
def small_chunks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NLPBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(json_rows, "CHUNK_ROWS", 3)


def write(rows, name="a.jsonl"):
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def read(name="a.jsonl"):
    return load(DataSection(source=name), ["train"], []).splits["train"].rows


scalars = st.sampled_from([None, 1, 2.5, "a", True, 2**53 + 1])
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xy"), inner, max_size=2)
    ),
    max_leaves=4,
)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.dictionaries(st.sampled_from("ab"), values, max_size=2), max_size=9))
@example([{}, {"b": [2.5]}, {"b": [True]}])
def test_chunks_are_typed_as_all_values_at_once(rows):
    names = list(dict.fromkeys(key for row in rows for key in row))
    try:
        whole = {
            name: json_rows.typed([row.get(name) for row in rows], pa.null()) for name in names
        }
    except (pa.ArrowException, OverflowError):
        whole = None
    columns = json_rows.Columns("a.jsonl")
    try:
        for start in range(0, len(rows), 2):
            columns.table(rows[start : start + 2])
    except UserError:
        assert whole is None
        return
    if whole is not None:
        assert columns.types == {name: array.type for name, array in whole.items()}


def test_a_column_widens_as_later_rows_want_it():
    rows = [{"text": f"t{n}", "score": None} for n in range(4)]
    rows += [{"text": f"t{n}", "score": 1} for n in range(4, 8)]
    rows += [{"text": f"t{n}", "score": 0.5, "tags": []} for n in range(8, 12)]
    rows += [{"text": f"t{n}", "tags": ["x"], "more": {"a": 1}} for n in range(12, 16)]
    rows += [{"text": "last", "more": {"b": "c"}}]
    write(rows)
    found = read()
    assert found.column_names == ["text", "score", "tags", "more"]
    assert found["score"][:] == [None] * 4 + [1.0] * 4 + [0.5] * 4 + [None] * 5
    assert found["tags"][:] == [None] * 8 + [[]] * 4 + [["x"]] * 4 + [None]
    assert found["more"][:][-2:] == [{"a": 1, "b": None}, {"a": None, "b": "c"}]


def test_objects_without_keys_count_as_rows_once_a_key_is_met():
    write([{}] * 7 + [{"text": "a"}] + [{}] * 4)
    assert read()["text"][:] == [None] * 7 + ["a"] + [None] * 4


GOOD = [{"text": "a", "label": 1}] * 7


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (
            {"text": "a", "label": "one"},
            'row 8, column "label": "one" is a string where the rows before hold a number',
        ),
        (
            {"text": ["a"], "label": 1},
            'row 8, column "text": ["a"] is a list where the rows before hold a string',
        ),
        ({"text": "a", "label": 2**70}, 'row 8, column "label": 1180591620717411303424 cannot be'),
        ({"text": "a", "label": True}, 'row 8, column "label": true is true or false where the'),
        ({"text": "\ud800", "label": 1}, 'row 8, column "text": "\\ud800" cannot be stored'),
        ({"\ud800": "a"}, 'row 8: the key "\\ud800" is not valid text'),
        (["a"], "row 8: must be an object such as"),
    ],
)
@pytest.mark.parametrize("after", [0, 4])
def test_a_bad_row_of_a_later_chunk_is_named(bad, message, after):
    write([*GOOD, bad, *GOOD[:after]])
    with pytest.raises(UserError) as caught:
        read()
    assert str(caught.value).startswith(f"a.jsonl, {message}")


def test_a_list_of_another_kind_in_a_later_chunk():
    write([{"tags": ["a"]}] * 6 + [{"tags": [1]}])
    with pytest.raises(UserError) as caught:
        read()
    assert str(caught.value) == (
        'a.jsonl, row 7, column "tags": [1] is of another type than the rows before '
        "(string before, int64 now)"
    )


def test_a_fraction_after_a_whole_number_that_no_fraction_can_hold():
    write([{"text": 2**60 + 1}] * 6 + [{"text": 0.5}])
    with pytest.raises(UserError, match=r"^a\.jsonl: a value does not go with the type of its"):
        read()


def test_bytes_that_are_no_text_are_found_across_blocks(monkeypatch):
    monkeypatch.setattr("nlpbench.data.encoding.BLOCK", 16)
    text = '{"text": "é€😀 and so on"}\n' * 9
    Path("a.jsonl").write_bytes(text.encode())
    assert read()["text"][:] == ["é€😀 and so on"] * 9
    for cut in range(1, 40):
        data = text.encode()[:-cut] + b"\xff" + b"x" * 50
        with pytest.raises(UnicodeDecodeError) as expected:
            data.decode()
        start = expected.value.start
        Path("b.jsonl").write_bytes(data)
        with pytest.raises(UserError) as caught:
            read("b.jsonl")
        line = data.count(b"\n", 0, start) + 1
        assert str(caught.value) == (
            f"b.jsonl, line {line}: byte 0x{data[start]:02x} at byte offset {start} is not UTF-8; "
            "save the file as UTF-8"
        )


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_delimited_files_of_many_blocks(monkeypatch, suffix):
    monkeypatch.setattr(delimited, "BLOCK", 300)
    mark = {"csv": ",", "tsv": "\t"}[suffix]
    numbers = random.Random(0).choices(["1", "-7", ""], k=200)
    lines = [mark.join(("text", "whole", "late", "word"))]
    for row, number in enumerate(numbers):
        late = "0.5" if row == 190 else "3"
        word = "x" if row == 199 else "3"
        lines.append(mark.join((f'"a ""{row}""{mark}\nb"' if suffix == "csv" else f"a {row}",
                                number, late, word)))  # fmt: skip
    Path(f"a.{suffix}").write_text("\n".join(lines) + "\n")
    rows = read(f"a.{suffix}")
    text = [f'a "{row}"{mark}\nb' if suffix == "csv" else f"a {row}" for row in range(200)]
    assert rows["text"][:] == text
    assert rows["whole"][:] == [int(number) if number else None for number in numbers]
    assert rows["late"][:] == [3.0] * 190 + [0.5] + [3.0] * 9
    assert rows["word"][:] == ["3"] * 199 + ["x"]


def test_a_swallowed_row_of_a_later_block_is_named(monkeypatch):
    monkeypatch.setattr(delimited, "BLOCK", 200)
    lines = ["text\tlabel", *[f"a {row}\tb" for row in range(100)], 'c\t"d', 'e\tf"', "g\th"]
    Path("a.tsv").write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match=r'^a\.tsv, row 101, column "label": a value runs over'):
        read("a.tsv")


def test_parquet_with_categories():
    table = pa.table({"text": pa.array(["a", "b", "a", "c"] * 3).dictionary_encode()})
    parquet.write_table(table, "a.parquet", row_group_size=4)
    assert read("a.parquet")["text"][:] == ["a", "b", "a", "c"] * 3


def test_files_of_unlike_widths_are_joined():
    write([{"text": "a", "score": 1}] * 4, "part-1.jsonl")
    write([{"score": 0.5, "text": "b"}] * 4, "part-2.jsonl")
    write([{"text": None, "score": None}], "part-3.jsonl")
    rows = load(DataSection(source="part-*"), ["train"], []).splits["train"].rows
    assert rows["text"][:] == ["a"] * 4 + ["b"] * 4 + [None]
    assert rows["score"][:] == [1.0] * 4 + [0.5] * 4 + [None]
    assert not any(math.isnan(score) for score in rows["score"][:8])


@pytest.mark.parametrize("repeated", [0, 4, 9])
def test_an_id_met_again_in_a_later_batch(monkeypatch, repeated):
    monkeypatch.setattr("nlpbench.data.load.BATCH", 4)
    write([{"text": "a", "id": f"t{number}"} for number in [*range(10), repeated, 1]])
    with pytest.raises(UserError) as caught:
        load(DataSection(source="a.jsonl", id_column="id"), ["train"], [])
    assert str(caught.value) == (
        f'data.id_column: "id" holds "t{repeated}" twice (a.jsonl, row {repeated + 1}, and '
        "a.jsonl, row 11); an id must be unique"
    )


def test_ids_of_the_same_hash_are_not_the_same(monkeypatch):
    monkeypatch.setattr("nlpbench.data.load.hash", lambda value: 7, raising=False)
    write([{"text": "a", "id": f"t{number}"} for number in range(10)])
    config = DataSection(source="a.jsonl", id_column="id")
    assert load(config, ["train"], []).splits["train"].id(9) == "t9"


def test_lists_are_no_ids():
    write([{"id": None}, {"id": [1]}])
    with pytest.raises(UserError, match=r"^a\.jsonl, row 2, column \"id\": \[1\] cannot be an id"):
        load(DataSection(source="a.jsonl", id_column="id"), ["train"], [])


def test_a_truth_among_numbers_is_refused_in_one_chunk_as_in_two():
    write([{"b": 2.5}, {"b": True}])
    with pytest.raises(UserError, match=r"row 2, column \"?b\"?: true is"):
        read()
