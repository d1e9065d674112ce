"""Finding, reading, splitting and sampling good data."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import datasets
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from nlpbench.config.errors import UserError
from nlpbench.config.sections import DataSection
from nlpbench.data.files import sample_names, sample_summary
from nlpbench.data.load import load
from nlpbench.data.splitting import groups, sample, split_off, strata


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write_jsonl(name, rows):
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    data = text.encode()
    Path(name).write_bytes(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)


def tickets(count, classes=4, start=0):
    return [
        {"text": f"ticket {number}", "label": f"class {number % classes}", "id": f"t{number}"}
        for number in range(start, start + count)
    ]


def texts(split):
    return split.rows["text"][:]


def test_csv_keeps_words_that_others_take_for_nulls(tmp_path):
    Path("a.csv").write_text(
        'text,label,score,code,blank,when\nNA,null,1,007,,2020-01-01\n"a ""b"",\nc",None,,01,,x\n,true,2.5,1,,y\n'
    )
    rows = load(DataSection(source="a.csv"), ["train"], ["text"]).splits["train"].rows
    assert rows.to_list() == [
        {
            "text": "NA",
            "label": "null",
            "score": 1.0,
            "code": "007",
            "blank": "",
            "when": "2020-01-01",
        },
        {
            "text": 'a "b",\nc',
            "label": "None",
            "score": None,
            "code": "01",
            "blank": "",
            "when": "x",
        },
        {"text": "", "label": "true", "score": 2.5, "code": "1", "blank": "", "when": "y"},
    ]


def test_delimiter_and_column_names():
    Path("a.csv").write_text("good;1\nbad;0\n")
    config = DataSection(source="a.csv", delimiter=";", column_names=["text", "label"])
    rows = load(config, ["train"], ["text"]).splits["train"].rows
    assert rows.to_list() == [{"text": "good", "label": 1}, {"text": "bad", "label": 0}]


def test_a_stray_quote_inside_a_value_is_text():
    Path("a.csv").write_text('text,label\n5" screen,1\n')
    assert texts(load(DataSection(source="a.csv"), ["train"], []).splits["train"]) == ['5" screen']


def test_a_word_in_one_file_of_several_makes_the_column_text():
    Path("a.csv").write_text("label\n1\n")
    Path("b.csv").write_text("label\none\n")
    rows = load(DataSection(train="*.csv"), ["train"], []).splits["train"].rows
    assert rows["label"][:] == ["1", "one"]


def test_txt_keeps_blank_lines_and_odd_line_ends():
    Path("a.txt").write_bytes("one\r\n\ntwo\u2028three\n".encode())
    split = load(DataSection(source="a.txt"), ["train"], ["text"]).splits["train"]
    assert texts(split) == ["one", "", "two\u2028three"]


@pytest.mark.parametrize(
    "content",
    [
        '[{"text": "a"}, {"text": "2020-01-01"}]',
        '{"version": 1, "data": [{"text": "a"}, {"text": "2020-01-01"}]}',
        '{"text": "a"}\n{"text": "2020-01-01"}\n',
    ],
)
def test_json_shapes(content):
    Path("a.json").write_text(content)
    assert texts(load(DataSection(source="a.json"), ["train"], ["text"]).splits["train"]) == [
        "a",
        "2020-01-01",
    ]


def test_a_missing_key_is_a_null():
    write_jsonl("a.jsonl", [{"text": "a", "tags": ["x"]}, {"text": "b"}])
    rows = load(DataSection(source="a.jsonl"), ["train"], ["tags"]).splits["train"].rows
    assert rows["tags"][:] == [["x"], None]


def test_files_by_glob_locate_their_rows():
    write_jsonl("part-1.jsonl", tickets(3))
    write_jsonl("part-2.jsonl.gz", tickets(3, start=3))
    split = load(DataSection(source="part-*"), ["train"], ["text"]).splits["train"]
    assert [split.locate(index) for index in (0, 2, 3)] == [
        "part-1.jsonl, row 1",
        "part-1.jsonl, row 3",
        "part-2.jsonl.gz, row 1",
    ]
    assert [split.id(index) for index in (0, 3)] == [0, 3]


LAYOUTS = [
    ["train.csv", "dev.csv", "test.csv"],
    ["train-1.csv", "train-2.csv", "valid.csv", "test.csv"],
    [
        "data/train-00000-of-00002.csv",
        "data/train-00001-of-00002.csv",
        "data/validation.csv",
        "data/test.csv",
    ],
    ["train/a.csv", "train/b.csv", "val/a.csv", "test/a.csv"],
    ["plain_text/train.csv", "plain_text/validation.csv", "plain_text/test.csv", "README.md"],
    ["news.train.csv", "news.dev.csv", "news.test.csv", "labels.json"],
    ["train.csv", "validation.csv", "test.csv", "test_2017.csv"],
]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_directory_layouts(layout):
    for name in layout:
        path = Path("set", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"text\n{name}\n")
    loaded = load(DataSection(source="set"), ["train", "validation", "test"], ["text"])
    assert loaded.notes == []
    assert texts(loaded.splits["train"]) == [name for name in layout if "train" in name]
    assert texts(loaded.splits["validation"]) == [
        name for name in layout if any(word in name for word in ("valid", "dev", "val"))
    ]
    assert len(texts(loaded.splits["test"])) == 1
    assert loaded.splits["train"].locate(0) == f"set/{layout[0]}, row 1"


def test_named_splits_and_subsets_of_a_directory():
    write_jsonl("glue/mrpc/train.jsonl", tickets(2))
    write_jsonl("glue/mrpc/test_2017.jsonl", tickets(3))
    write_jsonl("glue/mrpc/test.jsonl", tickets(4))
    write_jsonl("glue/rte/train.jsonl", tickets(5))
    config = DataSection(source="glue", subset="mrpc", test="test_2017")
    split = load(config, ["test"], ["text"]).splits["test"]
    assert split.rows.num_rows == 3
    assert split.locate(1) == "glue/mrpc/test_2017.jsonl, row 2"


def test_an_ambiguous_split_matters_only_where_it_is_needed():
    for name in ("train", "validation_matched", "validation_mismatched"):
        write_jsonl(f"mnli/{name}.jsonl", tickets(2))
    assert load(DataSection(source="mnli"), ["train"], ["text"]).splits["train"].rows.num_rows == 2
    with pytest.raises(UserError, match=r"say which with data\.validation"):
        load(DataSection(source="mnli"), ["validation"], ["text"])


def test_saved_dataset_directory():
    rows = datasets.Dataset.from_list(tickets(5))
    datasets.DatasetDict({"train": rows, "dev": rows.select([1])}).save_to_disk("saved")
    loaded = load(DataSection(source="saved"), ["train", "validation"], ["text"])
    assert loaded.splits["train"].rows.num_rows == 5
    assert loaded.splits["validation"].locate(0) == "saved dev, row 1"
    rows.save_to_disk("single")
    assert load(DataSection(source="single"), ["train"], ["text"]).splits["train"].id(4) == 4
    Path("single/state.json").write_text("{")
    with pytest.raises(UserError, match="looks like a data set written by save_to_disk"):
        load(DataSection(source="single"), ["train"], ["text"])


def test_parquet_keeps_class_names():
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])}
    )
    rows = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]}, features=features)
    parquet.write_table(rows.data.table, "train.parquet")
    split = load(DataSection(source="train.parquet"), ["train"], ["label"]).splits["train"]
    assert split.rows.features["label"].names == ["no", "yes"]


def test_package_data_without_importing_it(tmp_path, monkeypatch):
    write_jsonl("some_package/data/train.jsonl", tickets(3))
    Path("some_package/__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    for source in ("pkg://some_package/data", "pkg://some_package/data/train.jsonl"):
        split = load(DataSection(source=source), ["train"], ["text"]).splits["train"]
        assert split.locate(2) == "pkg://some_package/data/train.jsonl, row 3"


def test_samples(tmp_path, monkeypatch):
    monkeypatch.setattr("nlpbench.data.embedded.SAMPLES", tmp_path / "samples")
    for name in ("train", "validation", "test"):
        write_jsonl(f"samples/some-tickets/{name}.jsonl", tickets(3))
    Path("samples/some-tickets/README.md").write_text(
        "# Tickets\n\nMessages of customers.\nMore.\n"
    )
    assert sample_names() == ["some-tickets"]
    assert sample_summary("some-tickets") == "Messages of customers."
    split = load(DataSection(source="sample:some-tickets"), ["test"], ["text"]).splits["test"]
    assert split.locate(0) == "sample:some-tickets/test.jsonl, row 1"
    with pytest.raises(UserError) as caught:
        load(DataSection(source="sample:some-ticket"), ["test"], ["text"])
    assert str(caught.value) == (
        'data.source: no embedded sample "some-ticket"; did you mean some-tickets?'
    )


def test_missing_splits_come_from_train_and_are_the_same_whatever_is_needed():
    write_jsonl("a.jsonl", tickets(200))
    config = DataSection(source="a.jsonl", id_column="id", test_share=0.2)
    everything = load(config, ["train", "validation", "test"], ["text", "label"], "label")
    splits = everything.splits
    assert everything.notes == [
        "validation: 10 % of train (20 rows), stratified by label, split seed 42",
        "test: 20 % of train (40 rows), stratified by label, split seed 42",
    ]
    assert sorted(text for split in splits.values() for text in texts(split)) == sorted(
        row["text"] for row in tickets(200)
    )
    for split in splits.values():
        assert set(Counter(split.rows["label"][:]).values()) == {split.rows.num_rows // 4}
    for name in ("validation", "test"):
        alone = load(config, [name], ["text", "label"], "label").splits[name]
        assert alone.fingerprint == splits[name].fingerprint
    test = splits["test"]
    number = int(test.id(7).removeprefix("t"))
    assert test.locate(7) == f"a.jsonl, row {number + 1}"
    assert load(DataSection(source="a.jsonl"), ["test"], [], "label").splits["test"].id(0) == (
        load(DataSection(source="a.jsonl"), ["test"], [], "label").splits["test"].position(0)
    )


def test_rows_of_a_group_stay_in_one_split():
    rows = [{**row, "author": f"a{number % 37}"} for number, row in enumerate(tickets(200))]
    write_jsonl("a.jsonl", [*rows, {**rows[0], "author": None}])
    config = DataSection(source="a.jsonl", group_column="author", test_share=0.2)
    everything = load(config, ["train", "validation", "test"], ["text", "label"], "label")
    splits = everything.splits
    assert everything.notes == [
        f"validation: 10 % of train ({splits['validation'].rows.num_rows} rows), in groups of "
        "author, split seed 42",
        f"test: 20 % of train ({splits['test'].rows.num_rows} rows), in groups of author, "
        "split seed 42",
    ]
    held = {name: set(split.rows["author"][:]) - {None} for name, split in splits.items()}
    assert sum(map(len, held.values())) == len(set.union(*held.values())) == 37
    assert splits["test"].rows.num_rows == pytest.approx(40, abs=4)
    assert splits["validation"].rows.num_rows == pytest.approx(20, abs=4)
    alone = load(config, ["test"], ["text", "label"], "label").splits["test"]
    assert alone.fingerprint == splits["test"].fingerprint


@pytest.mark.parametrize(
    ("authors", "message"),
    [
        (["a", "b"], "too few groups (2) for 3 splits; name another column"),
        ([["a"], ["b"]], '"author" holds lists or mappings'),
    ],
)
def test_groups_that_cannot_be_split_are_told(authors, message):
    rows = [{**row, "author": authors[number % 2]} for number, row in enumerate(tickets(20))]
    write_jsonl("a.jsonl", rows)
    config = DataSection(source="a.jsonl", group_column="author")
    with pytest.raises(UserError) as caught:
        load(config, ["train", "validation", "test"], ["text"])
    assert str(caught.value).startswith("a.jsonl: data.group_column: ")
    assert message in str(caught.value)


def test_a_column_of_groups_that_is_missing_is_told():
    write_jsonl("a.jsonl", tickets(20))
    with pytest.raises(UserError, match=r'group_column: no column "lable"; did you mean label'):
        load(DataSection(source="a.jsonl", group_column="lable"), ["test"], ["text"])


@settings(deadline=None)
@given(
    values=st.lists(st.integers(0, 9), min_size=4, max_size=100),
    share=st.floats(0.05, 0.6),
    seed=st.integers(0, 2**40),
)
def test_groups_part_the_rows(values, share, seed):
    group_of = groups(values)
    held_out = split_off(len(values), {"test": share, "validation": 0.3}, None, seed, group_of)
    of_test, of_validation = (
        {values[row] for row in held_out[name]} for name in ("test", "validation")
    )
    assert not of_test & of_validation
    assert held_out["test"].tolist() == [
        row for row, value in enumerate(values) if value in of_test
    ]
    if len(set(values)) > 1:
        assert 0 < len(of_test) < len(set(values))


def test_columns_beside_are_those_of_one_split_and_of_no_fingerprint():
    write_jsonl("train.jsonl", tickets(9))
    rows = [{**row, "meta": {"language": "de"}} for row in tickets(4, start=9)]
    write_jsonl("test.jsonl", rows)
    config = DataSection(train="train.jsonl", test="test.jsonl")
    plain = load(config, ["train", "test"], ["text"])
    beside = {"test": {"meta.language": "evaluation.slices[0]"}}
    loaded = load(config, ["train", "test"], ["text"], None, beside)
    assert loaded.splits["test"].rows["meta.language"][:] == ["de"] * 4
    assert loaded.splits["test"].fingerprint == plain.splits["test"].fingerprint
    with pytest.raises(UserError) as caught:
        load(config, ["test"], ["text"], None, {"test": {"language": "evaluation.slices[0]"}})
    assert str(caught.value) == (
        'test.jsonl: evaluation.slices[0]: no column "language"; did you mean meta.language? '
        "columns: text, label, id, meta, meta.language"
    )


def test_split_seed_changes_the_rows():
    write_jsonl("a.jsonl", tickets(50))
    fingerprints = {
        load(DataSection(source="a.jsonl", split_seed=seed), ["test"], ["text"])
        .splits["test"]
        .fingerprint
        for seed in (1, 2, 2**40)
    }
    assert len(fingerprints) == 3


def test_plain_split_where_the_column_holds_no_classes():
    write_jsonl("a.jsonl", tickets(50))
    notes = load(DataSection(source="a.jsonl"), ["train", "validation"], ["text"], "text").notes
    assert notes == ["validation: 10 % of train (5 rows), drawn at random, split seed 42"]


def test_train_is_not_read_where_it_is_not_needed():
    write_jsonl("test.jsonl", tickets(5))
    config = DataSection(train="broken.csv", test="test.jsonl")
    Path("broken.csv").write_text("")
    loaded = load(config, ["test"], ["text"])
    assert list(loaded.splits) == ["test"]
    assert loaded.notes == []


def test_caps_keep_order_and_are_told():
    write_jsonl("a.jsonl", tickets(100))
    config = DataSection(source="a.jsonl", max_samples={"train": 30, "test": 3, "validation": 90})
    loaded = load(config, ["train", "validation", "test"], ["text"])
    assert loaded.notes[2:] == [
        "train: 30 of 80 rows, sampled with seed 42",
        "test: 3 of 10 rows, sampled with seed 42",
    ]
    ids = [loaded.splits["train"].id(index) for index in range(30)]
    assert ids == sorted(ids)
    assert texts(loaded.splits["train"]) == [f"ticket {number}" for number in ids]


def test_too_few_rows_to_split():
    write_jsonl("a.jsonl", tickets(2))
    with pytest.raises(UserError) as caught:
        load(DataSection(source="a.jsonl"), ["train", "validation", "test"], ["text"])
    assert str(caught.value) == (
        "a.jsonl: too few rows (2) to split validation and test off; "
        "bring more rows, or a file for each split"
    )


def test_no_split_to_take_test_from():
    write_jsonl("dev.jsonl", tickets(2))
    with pytest.raises(UserError) as caught:
        load(DataSection(validation="dev.jsonl"), ["test"], ["text"])
    assert str(caught.value) == (
        "data: has no test split and no train split to take one from; it has validation"
    )


words = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufeff"), max_size=8
).map(lambda word: "x" + word)  # not a number, and not an empty line of csv
tables = st.lists(st.tuples(words, words), min_size=1, max_size=12)


def fingerprint_of(name):
    columns = ["text", "label"]
    return load(DataSection(train=name), ["train"], columns).splits["train"].fingerprint


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=tables, chunk=st.integers(1, 5))
def test_fingerprint_tells_content_and_order_not_format(rows, chunk):
    import csv

    table = pa.table({"text": [a for a, _ in rows], "label": [b for _, b in rows]})
    with open("f.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("text", "label"), *rows])
    write_jsonl("f.jsonl", [{"label": b, "text": a, "more": 1} for a, b in rows])
    parquet.write_table(table, "f.parquet", row_group_size=chunk)
    for old in Path().glob("part*"):
        old.unlink()
    for number, start in enumerate(range(0, len(rows), chunk)):
        part = [{"text": a, "label": b} for a, b in rows[start : start + chunk]]
        write_jsonl(f"part-{number:02}.jsonl", part)
    expected = fingerprint_of("f.csv")
    assert expected.startswith("sha256:")
    assert {fingerprint_of(name) for name in ("f.jsonl", "f.parquet", "part*")} == {expected}
    changed = [*rows[:-1], (rows[-1][0] + "!", rows[-1][1])]
    for other in (changed, rows[::-1], rows + rows[:1]):
        write_jsonl("other.jsonl", [{"text": a, "label": b} for a, b in other])
        assert (fingerprint_of("other.jsonl") == expected) == (other == rows)


def test_fingerprint_is_what_it_was():
    write_jsonl("a.jsonl", tickets(12_000))
    assert (
        fingerprint_of("a.jsonl")
        == "sha256:2e709a11135bc37f6c9726ca46a6ca9593722f2045b7f0bc1a8fd88f7ef4f007"
    )


@settings(deadline=None)
@given(
    labels=st.lists(st.integers(0, 6), min_size=3, max_size=200),
    shares=st.tuples(st.floats(0.05, 0.45), st.floats(0.05, 0.45)),
    seed=st.integers(0, 2**40),
)
def test_splitting_is_a_stratified_partition(labels, shares, seed):
    classes = strata(labels)
    assert (classes is None) == (min(Counter(labels).values()) < 2 or len(set(labels)) < 2)
    by_name = dict(zip(("test", "validation"), shares, strict=True))
    held_out = split_off(len(labels), by_name, classes, seed)
    again = split_off(len(labels), by_name, classes, seed)
    taken = [row for rows in held_out.values() for row in rows.tolist()]
    assert len(taken) == len(set(taken))
    assert set(taken) <= set(range(len(labels)))
    for name, rows in held_out.items():
        assert rows.tolist() == sorted(rows.tolist()) == again[name].tolist()
    alone = split_off(len(labels), {"test": shares[0]}, classes, seed)
    assert alone["test"].tolist() == held_out["test"].tolist()
    if classes is None:
        assert len(held_out["test"]) == max(1, round(len(labels) * shares[0]))
        return
    found = Counter(labels[row] for row in held_out["test"])
    for label, size in Counter(labels).items():
        due = size * max(1, round(len(labels) * shares[0])) / len(labels)
        assert abs(found[label] - due) < 1 or found[label] == size - 1
        assert found[label] < size


@given(total=st.integers(1, 300), count=st.integers(1, 300), seed=st.integers(0, 100))
def test_sample_is_ordered_and_nested(total, count, seed):
    chosen = sample(total, count, seed).tolist()
    assert len(chosen) == min(total, count)
    assert chosen == sorted(set(chosen))
    assert set(chosen) <= set(sample(total, count + 5, seed).tolist())


def test_importing_the_modules_is_cheap():
    modules = ["load", "files", "hub", "audit", "sources", "embedded"]
    code = "import sys; " + "; ".join(f"import nlpbench.data.{name}" for name in modules)
    code += "; print([name for name in ('datasets', 'pyarrow', 'numpy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
