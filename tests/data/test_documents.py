"""data.document_start: the lines of a data set to documents."""

from __future__ import annotations

import gzip

import pytest
from conftest import write_jsonl

from nlpbench.config.errors import UserError
from nlpbench.config.load import loads
from nlpbench.config.yaml12 import dump
from nlpbench.data.load import load

START = r"^ = [^=]+ = $"
LINES = ["", " = One = \n", "", " first \n", "\n", " = = part = = ", "second", "", " = Two = ", "x"]


def section(**keys):
    config = {
        "model": "m",
        "data": {"document_start": START, **keys},
        "task": {"name": "causal-language-modeling"},
        "evaluation": {"split": "train"},
    }
    return loads(dump(config)).data


def texts(config, split="train"):
    return load(config, [split], ["text"]).splits[split].rows["text"][:]


def test_lines_are_joined_from_one_start_to_the_next(tmp_path):
    file = write_jsonl(tmp_path / "train.jsonl", [{"text": line} for line in LINES])
    loaded = load(section(train=str(file)), ["train"], ["text"])
    split = loaded.splits["train"]
    assert split.rows["text"][:] == [
        " = One = \n\n first \n\n = = part = = \nsecond",
        " = Two = \nx",
    ]
    assert split.locate(1) == f"{file}, document 2"
    assert split.id(1) == 1
    assert f"{file}: 2 documents of 10 rows" in loaded.notes


def test_what_stands_before_the_first_start_is_a_document_too(tmp_path):
    file = tmp_path / "train.txt.gz"
    with gzip.open(file, "wt", encoding="utf-8") as stream:
        stream.write("preface\r\n\n = One = \nbody\n")
    assert texts(section(train=str(file))) == ["preface", " = One = \nbody"]


def test_no_document_goes_from_one_file_into_the_next(tmp_path):
    (tmp_path / "a.txt").write_text(" = One = \na\n")
    (tmp_path / "b.txt").write_text("b\n = Two = \n")
    config = section(train=str(tmp_path / "*.txt"))
    split = load(config, ["train"], ["text"]).splits["train"]
    assert split.rows["text"][:] == [" = One = \na", "b", " = Two = "]
    assert split.locate(2) == f"{tmp_path / 'b.txt'}, document 2"


def test_splits_are_drawn_of_documents(tmp_path):
    lines = [line for n in range(20) for line in (f" = {n} = ", "body")]
    (tmp_path / "train.txt").write_text("\n".join(lines))
    loaded = load(section(train=str(tmp_path / "train.txt")), ["train", "test"], ["text"])
    found = [loaded.splits[name].rows["text"][:] for name in ("train", "test")]
    assert sorted(found[0] + found[1]) == sorted(f" = {n} = \nbody" for n in range(20))


@pytest.mark.parametrize(
    ("rows", "keys", "columns", "message"),
    [
        (
            [{"text": "a"}, {"text": None}],
            {},
            ["text"],
            r"row 2: the column text is empty \(null\)",
        ),
        ([{"text": 3}], {}, ["text"], r"row 1: the column text holds no text \(got 3\)"),
        ([{"text": " "}], {}, ["text"], "holds no text in the column text"),
        ([{"text": "a", "b": "c"}], {}, ["text", "b"], "joins the rows of one column"),
        ([{"text": "a", "b": "c"}], {"id_column": "b"}, ["text"], "take data.id_column away"),
    ],
)
def test_rows_that_cannot_be_joined_are_told(tmp_path, rows, keys, columns, message):
    file = write_jsonl(tmp_path / "train.jsonl", rows)
    with pytest.raises(UserError, match=message):
        load(section(train=str(file), **keys), ["train"], columns)


def test_a_start_that_is_no_regular_expression_is_told():
    with pytest.raises(UserError, match=r"data.document_start.*is no regular expression"):
        section(train="x.txt", document_start="(")
