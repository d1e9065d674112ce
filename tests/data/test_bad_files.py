"""Every kind of broken data file, with the exact message."""

from __future__ import annotations

import codecs
import gzip
import os
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from nlpbench.config.errors import UserError
from nlpbench.config.sections import DataSection
from nlpbench.data.load import load

READS = (
    "csv, tsv, json, jsonl, ndjson, parquet, txt, conll, iob, iob2, bio, bioes, bilou, "
    "each also .gz, and parallel text (train.en beside train.de)"
)
QUOTE_ADVICE = "put values that hold the delimiter between double quotes"

# name of the file, its content, the message after the file's name
BROKEN = [
    ("a.csv", b"", ": the file is empty (0 bytes)"),
    ("a.csv", b"\n\n", ": holds only blank lines, where a header line is due"),
    ("a.csv", b"text,label\n", ": has no rows"),
    ("a.jsonl", b"\n\n", ": has no rows"),
    ("a.json", b"[]", ": has no rows"),
    (
        "a.csv",
        b"\xef\xbb\xbftext,label\na,b\n",
        ": begins with a UTF-8 byte order mark, which would become part of the first column's "
        "name; save the file as UTF-8 without it",
    ),
    (
        "a.jsonl",
        b'\xef\xbb\xbf{"text": "a", "label": "b"}\n',
        ": begins with a UTF-8 byte order mark, which is not JSON; "
        "save the file as UTF-8 without it",
    ),
    (
        "a.txt",
        b"\xef\xbb\xbfa\n",
        ": begins with a UTF-8 byte order mark, which would become part of the first row's text; "
        "save the file as UTF-8 without it",
    ),
    (
        "a.csv",
        codecs.BOM_UTF16_LE + "text,label\na,b\n".encode("utf-16-le"),
        ": is UTF-16 or binary, not UTF-8 text; save the file as UTF-8",
    ),
    (
        "a.tsv",
        "text\tlabel\na\tb\n".encode("utf-16-le"),
        ": is UTF-16 or binary, not UTF-8 text; save the file as UTF-8",
    ),
    (
        "a.csv",
        "text,label\ngood,b\ncafé,b\n".encode("latin-1"),
        ", line 3: byte 0xe9 at byte offset 21 is not UTF-8; save the file as UTF-8",
    ),
    (
        "a.jsonl",
        b'{"text": "\xff", "label": "b"}\n',
        ", line 1: byte 0xff at byte offset 10 is not UTF-8; save the file as UTF-8",
    ),
    (
        "a.csv",
        b"text,label\na,b\nc\n",
        f", row 2: 1 value where the header has 2 columns; {QUOTE_ADVICE}",
    ),
    (
        "a.csv",
        b'text,label\n"a\nb",c\n\nx,y,z\n',
        f", row 2: 3 values where the header has 2 columns; {QUOTE_ADVICE}",
    ),
    (
        "a.csv",
        b'text,label\na,b\nc,"d\ne,f\n',
        ", row 2: a double quote opens and never closes; "
        "close it, or write the quotes of a quoted value twice",
    ),
    (
        "a.tsv",
        b'text\tlabel\na\tb\n"c\td\ne\tf\n"g\th\n',
        ', row 2, column "text": a value runs over several lines and columns because a double '
        'quote opens it; write the quotes of a value as "" and put the value between double '
        "quotes, or save the file as jsonl",
    ),
    (
        "a.csv",
        b"text,label,text\na,b,c\n",
        ': two columns are called "text" (columns: text, label, text); rename one',
    ),
    (
        "a.jsonl",
        b'{"text": "a", "label": "b"}\n\n{"text": "a", "label": }\n',
        ', row 2 (line 3): not JSON (Expecting value at column 24): {"text": "a", "label": }',
    ),
    (
        "a.jsonl",
        b'{"text": "a", "label": "b"}\n["a", "b"]\n',
        ', row 2: must be an object such as {"text": …}; got a list (["a", "b"])',
    ),
    (
        "a.jsonl",
        b'{"text": "a", "label": 1}\n{"text": "b"}\n{"text": "b", "label": "one"}\n',
        ', row 3, column "label": "one" is a string where the rows before hold a number',
    ),
    (
        "a.jsonl",
        b'{"text": "a", "label": true}\n{"text": "b", "label": 1}\n',
        ', row 2, column "label": 1 is a number where the rows before hold true or false',
    ),
    (
        "a.jsonl",
        b'{"text": "a", "label": "b"}\n{"text": ["a"], "label": "b"}\n',
        ', row 2, column "text": ["a"] is a list where the rows before hold a string',
    ),
    (
        "a.jsonl",
        b'{"text": "\\ud800", "label": "b"}\n',
        ', row 1, column "text": "\\ud800" cannot be stored (\'utf-8\' codec can\'t encode '
        "character '\\ud800' in position 0: surrogates not allowed)",
    ),
    (
        "a.jsonl",
        b'{"text": "a", "label": 1180591620717411303424}\n',
        ', row 1, column "label": 1180591620717411303424 cannot be stored '
        "(Python int too large to convert to C long)",
    ),
    ("a.jsonl", b'{"\\ud800": 1}', ', row 1: the key "\\ud800" is not valid text'),
    (
        "a.json",
        b"1",
        ": must be a list of objects, or an object with one list under a key "
        "such as data; got a number (1)",
    ),
    ("a.json", b'[{"text": "a"\n', ", line 2, column 1: not JSON (Expecting ',' delimiter)"),
    (
        "a.json",
        b'{"text": ["a"], "label": ["b"]}',
        ": must be a list of objects, or an object with one list under a key such as data; "
        "got an object with the keys text, label",
    ),
    (
        "a.json",
        b'"text"',
        ": must be a list of objects, or an object with one list under a key such as data; "
        'got a string ("text")',
    ),
    ("a.json", b'["a"]', ', row 1: must be an object such as {"text": …}; got a string ("a")'),
    (
        "a.csv.gz",
        b"text,label\n",
        ": not a whole gzip file (Not a gzipped file (b'te')); copy or download it again",
    ),
    (
        "a.csv.gz",
        gzip.compress(b"text,label\na,b\n" * 100, mtime=0)[:-20],
        ": not a whole gzip file (Compressed file ended before the end-of-stream marker was "
        "reached); copy or download it again",
    ),
    (
        "a.conll",
        b"\xef\xbb\xbfa O\n",
        ": begins with a UTF-8 byte order mark, which would become part of the first word; "
        "save the file as UTF-8 without it",
    ),
    ("a.csv.gz", gzip.compress(b"", mtime=0), ": the file is empty once unpacked (0 bytes)"),
    ("a.xlsx", b"x", f": unknown kind of file; nlpbench reads {READS}"),
    (
        "a.csv",
        b"text,lable\na,b\n",
        ': no column "label"; did you mean lable? columns: text, lable',
    ),
    ("a.csv", b"Satz,Ziel\na,b\n", ': no column "text"; columns: Satz, Ziel'),
    (
        "a.csv",
        b"text;label\na;b\n",
        ': no column "text"; columns: text;label. '
        "If another character than a comma separates them, set data.delimiter",
    ),
]


@pytest.mark.parametrize(("name", "content", "message"), BROKEN)
def test_broken_file(tmp_path, monkeypatch, name, content, message):
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(content)
    columns = ["text"] if name.endswith("txt") else ["text", "label"]
    with pytest.raises(UserError) as caught:
        load(DataSection(source=name), ["train"], columns)
    assert str(caught.value) == name + message


def test_broken_parquet(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parquet.write_table(pa.table({"text": ["a"] * 100}), "a.parquet")
    Path("a.parquet").write_bytes(Path("a.parquet").read_bytes()[:-30])
    with pytest.raises(UserError, match=r"^a\.parquet: not a whole parquet file \("):
        load(DataSection(source="a.parquet"), ["train"], ["text"])


def write(name: str, content: str = "text,label\na,b\n") -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(content, encoding="utf-8")


MISPLACED = [
    (
        {"train": "a.csv"},
        "data.train: no such file: a.csv (looked for {cwd}/a.csv)",
    ),
    ({"source": "a.csv"}, "data.source: no such file: a.csv (looked for {cwd}/a.csv)"),
    ({"source": "./a"}, "data.source: no such file: ./a (looked for {cwd}/a)"),
    (
        {"source": "x/y/z"},
        'data.source: "x/y/z" is neither a path that exists (looked for {cwd}/x/y/z) '
        "nor a hub id such as stanfordnlp/sst2",
    ),
    ({"train": "folder"}, "data.train: folder is a directory where a file is due"),
    ({"test": "*.tsv"}, 'data.test: no file matches "*.tsv" (looked for {cwd}/*.tsv)'),
    (
        {"source": "empty"},
        f"data.source: empty holds no data files (looked in {{cwd}}/empty); nlpbench reads {READS}",
    ),
    (
        {"source": "folder"},
        "data.source: folder holds no split train, validation or test (files: one, two); "
        "leave out data.source and name a file for each split",
    ),
    (
        {"source": "lone.csv", "test": "lone.csv"},
        "data.test: lone.csv is not a directory, so it has no splits to name; "
        "leave out data.source and name a file for each split",
    ),
    (
        {"source": "both"},
        "both: train.csv and train.jsonl are both called train; keep one of them, "
        "or leave out data.source and name a file for each split",
    ),
    (
        {"source": "two"},
        "two: train_left and train_right could each be the train split; say which with data.train",
    ),
    (
        {"source": "two", "train": "train_lift"},
        'data.train: two has no split "train_lift"; did you mean train_left?',
    ),
    ({"source": "tests"}, "tests: has no train split; it has test"),
    (
        {"source": "sample:no-such-thing"},
        'data.source: no embedded sample "no-such-thing"; {samples}',
    ),
    (
        {"source": "pkg://no_such_package/data"},
        "data.source: the package no_such_package of pkg://no_such_package/data is not "
        "installed; pip install no-such-package",
    ),
    ({"source": "pkg://"}, "data.source: pkg:// is not of the form pkg://package/path"),
    (
        {"source": "pkg://nlpbench/no/such"},
        "data.source: no such file: pkg://nlpbench/no/such (looked for {package}/no/such)",
    ),
    (
        {"train": "more/*.csv"},
        "more/b.csv: other columns (text, label, extra) than more/a.csv (text, label)",
    ),
    (
        {"source": "lone.csv", "id_column": "text"},
        'data.id_column: "text" holds "a" twice (lone.csv, row 1, and lone.csv, row 3); '
        "an id must be unique",
    ),
    (
        {"source": "lone.csv", "id_column": "idx"},
        'lone.csv: data.id_column: no column "idx"; columns: text, label',
    ),
    (
        {"train": "header.csv", "column_names": ["text", "label", "more"]},
        f"header.csv, row 1: 2 values where data.column_names names 3 columns; {QUOTE_ADVICE}",
    ),
    (
        {"train": "header.csv", "column_names": ["text", "text"]},
        'header.csv: two columns are called "text" (columns: text, text); rename one',
    ),
]


@pytest.mark.parametrize(("section", "message"), MISPLACED)
def test_misplaced_file(tmp_path, monkeypatch, section, message):
    import nlpbench
    from nlpbench.config.problems import suggest
    from nlpbench.data.files import sample_names

    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    for name in ("folder/one.csv", "folder/two.csv", "both/train.csv", "both/train.jsonl"):
        write(name)
    for name in ("two/train_left.csv", "two/train_right.csv", "tests/test.csv", "more/a.csv"):
        write(name)
    write("more/b.csv", "text,label,extra\na,b,c\n")
    write("lone.csv", "text,label\na,b\nb,c\na,d\n")
    write("header.csv")
    with pytest.raises(UserError) as caught:
        load(DataSection(**section), ["train"] if "test" not in section else ["test"], ["text"])
    assert str(caught.value) == message.format(
        cwd=tmp_path,
        package=Path(nlpbench.__file__).parent,
        samples=suggest("no-such-thing", sample_names()),
    ).removesuffix(" ")


def test_unreadable_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("a.csv")

    def refuse(self: Path, *args: object, **kwargs: object) -> None:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(UserError, match=r"^a\.csv: cannot be read \(Permission denied\)$"):
        load(DataSection(source="a.csv"), ["train"], ["text"])


def test_columns_of_different_types_in_two_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("a.jsonl", '{"text": "a"}\n')
    write("b.jsonl", '{"text": 1}\n')
    with pytest.raises(
        UserError, match=r"^b\.jsonl: a column holds another type than in the files "
    ):
        load(DataSection(train="?.jsonl"), ["train"], ["text"])


PIECES = [b"text,label", b"a", b",", b"\n", b'"', b"\t", b"{", b"}", b"[", b"]", b":", b'"text"']
PIECES += [b"1", b"null", b"NaN", b" ", b"\r", b"\0", b"\xff", b"\xc3\xa9", b'{"text": "a"}\n']
PIECES += [b"1e999", b"-", b'["\\ud800"]', b'{"\\ud800": 1}', b'{"": {}}\n']
PIECES += [b"# ", b"O", b" O\n", b"a\tB-X\n", b"-DOCSTART-", b"\n\n", b'{"data": [{"paragraphs": [']
PIECES += [
    b'{"context": "a", "qas": [',
    b'{"id": 1, "question": "b"',
    b"}]}]}]}",
    b', "answers": [',
]
SQUAD = b'{"data": [{"paragraphs": [{"context": "a", "qas": ['
pieces = st.sampled_from(PIECES)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    content=st.lists(pieces, max_size=12).map(b"".join),
    suffix=st.sampled_from(
        ["csv", "tsv", "json", "jsonl", "txt", "parquet", "csv.gz", "conll", "squad.json"]
    ),
    unit=st.sampled_from(["line", "paragraph", "document"]),
)
def test_any_file_is_read_or_told(tmp_path, content, suffix, unit):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(SQUAD + content if suffix == "squad.json" else content)
    options = {"text_unit": unit} if suffix == "txt" else {}
    try:
        split = load(DataSection(source=str(path), **options), ["train"], []).splits["train"]
    except UserError as error:
        assert str(error).encode().startswith(str(path).encode())
    else:
        assert split.rows.num_rows > 0
