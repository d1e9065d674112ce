"""Parallel text, texts of several lines, and columns inside columns."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import datasets
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from nlpbench.config.errors import UserError
from nlpbench.config.sections import DataSection
from nlpbench.data import parallel, plain_text
from nlpbench.data.load import load
from nlpbench.data.parallel import split_language


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(name, *lines):
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    data = "".join(f"{line}\n" for line in lines).encode()
    Path(name).write_bytes(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)


def read(columns, split="train", **section):
    return load(DataSection(**section), [split], columns).splits[split]


def test_files_of_one_name_are_the_sides_of_a_split():
    write("set/train.en", "a cat", "", "two\u2028dogs")
    write("set/train.de.gz", "eine Katze", "", "zwei Hunde")
    write("set/val.en", "yes")
    write("set/val.de", "ja")
    write("set/test_2016.en", "no")
    write("set/test_2016.de", "nein")
    write("set/test_2016.fr", "non")
    write("set/mono.en", "alone")
    write("set/README.en", "about it")
    write("set/README.de", "darüber")
    loaded = load(DataSection(source="set"), ["train", "validation", "test"], ["en", "de"])
    assert loaded.notes == []
    splits = loaded.splits
    assert splits["train"].rows.to_list() == [
        {"de": "eine Katze", "en": "a cat"},
        {"de": "", "en": ""},
        {"de": "zwei Hunde", "en": "two\u2028dogs"},
    ]
    assert splits["validation"].rows.to_list() == [{"de": "ja", "en": "yes"}]
    assert splits["test"].rows.to_list() == [{"de": "nein", "en": "no", "fr": "non"}]
    assert splits["train"].locate(2) == "set/train.{de.gz,en}, row 3"
    assert splits["test"].locate(0) == "set/test_2016.{de,en,fr}, row 1"


def test_a_pair_that_names_no_split_is_train():
    write("set/corpus.de-en.de", "ja")
    write("set/corpus.de-en.en", "yes")
    assert read(["en"], source="set").rows.to_list() == [{"de": "ja", "en": "yes"}]


PATTERNS = [
    ({"train": "set/train.{en,de}"}, "en", "de"),
    ({"source": "set/train.{en,de}"}, "en", "de"),
    ({"train": "set/train.{en,de}.txt"}, "en", "de"),
    ({"train": "{set/train.en, set/train.de.txt}", "format": "txt"}, "en", "txt"),
    ({"train": "set/{eng_Latn,deu_Latn}.dev"}, "eng_Latn", "deu_Latn"),
    ({"train": "pkg://some_package/train.{src,tgt}"}, "src", "tgt"),
]


@pytest.mark.parametrize(("section", "one", "other"), PATTERNS)
def test_a_pattern_names_the_sides(section, one, other, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    write("some_package/__init__.py")
    for name in ("train.en", "train.en.txt", "eng_Latn.dev"):
        write(f"set/{name}", "yes", "no")
    for name in ("train.de", "train.de.txt", "deu_Latn.dev"):
        write(f"set/{name}", "ja", "nein")
    write("some_package/train.src", "yes", "no")
    write("some_package/train.tgt", "ja", "nein")
    split = read([one, other], **section)
    assert split.rows.column_names == [one, other]
    assert split.rows.to_list() == [{one: "yes", other: "ja"}, {one: "no", other: "nein"}]
    assert split.locate(1) == f"{section.get('train') or section['source']}, row 2"


def test_which_side_comes_first_in_a_pattern_is_no_other_text():
    write("a.en", "yes")
    write("a.de", "ja")
    one = read(["de", "en"], train="a.{en,de}")
    assert one.fingerprint == read(["de", "en"], train="a.{de,en}").fingerprint
    write("b.jsonl", json.dumps({"de": "ja", "en": "yes"}))
    assert one.fingerprint == read(["de", "en"], train="b.jsonl").fingerprint
    write("a.de", "jawohl")
    assert one.fingerprint != read(["de", "en"], train="a.{en,de}").fingerprint


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("train.en", ("train", "en")),
        ("train.tok.pt_BR.gz", ("train.tok", "pt_BR")),
        ("train.zh-Hans", ("train", "zh-Hans")),
        ("dev.deu_Latn", ("dev", "deu_Latn")),
        ("train.source", ("train", "source")),
        ("train.py", None),
        ("train.sh", None),
        ("train.log", None),
        ("train", None),
        (".en", None),
    ],
)
def test_which_suffixes_are_languages(name, expected):
    assert split_language(name) == expected


BROKEN = [
    (
        {"source": "odd"},
        "odd/train.{de,en}: odd/train.de has 3 lines and odd/train.en has 1 line; parallel files "
        "must be translations of each other line by line",
    ),
    (
        {"train": "odd/train.{en,de}"},
        "odd/train.{en,de}: odd/train.en has 1 line and odd/train.de has 3 lines; parallel files "
        "must be translations of each other line by line",
    ),
    (
        {"train": "odd/train.{en,fr}"},
        "data.train: no such file: odd/train.fr (looked for {cwd}/odd/train.fr)",
    ),
    ({"train": "odd/*.{en,fr}"}, "data.train: odd/*.{en,fr} is a glob and a choice of languages; "
     "write one of them"),
    (
        {"train": "{odd/train.en,twice/train.en}"},
        'data.train: {odd/train.en,twice/train.en} names "en" twice; each language is a column '
        "of its own",
    ),
    ({"train": "a.{en,b.}"}, "data.train: a.{en,b.} holds a choice without a name"),
    (
        {"train": "{odd/train.en,table.csv}"},
        "data.train: {odd/train.en,table.csv}: table.csv is csv, and only plain text is read as "
        "parallel text",
    ),
    (
        {"source": "twice"},
        "twice: train.en and train.en.gz are the same text twice; keep one of them",
    ),
    (
        {"source": "both"},
        "both: train.jsonl and train.{de,en} are both called train; keep one of them, or leave "
        "out data.source and name a file for each split",
    ),
    ({"train": "empty.{en,de}"}, "empty.de: the file is empty (0 bytes)"),
    (
        {"train": "latin.{en,de}"},
        "latin.de, line 1: byte 0xe9 at byte offset 3 is not UTF-8; save the file as UTF-8",
    ),
    (
        {"train": "odd/train.en"},
        "odd/train.en: unknown kind of file; nlpbench reads csv, tsv, json, jsonl, ndjson, "
        "parquet, txt, conll, iob, iob2, bio, bioes, bilou, each also .gz, and parallel text "
        "(train.en beside train.de)",
    ),
    (
        {"source": "both/train.{en,de}", "text_unit": "paragraph"},
        "data.text_unit: is for txt files, and both/train.{en,de} holds none; take the key away",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("section", "message"), BROKEN)
def test_what_is_no_parallel_text(section, message, tmp_path):
    write("odd/train.en", "yes")
    write("odd/train.de", "ja", "nein", "doch")
    write("twice/train.en", "yes")
    write("twice/train.en.gz", "yes")
    write("twice/train.de", "ja")
    for name in ("both/train.en", "both/train.de", "empty.en", "latin.en"):
        write(name, "x")
    write("both/train.jsonl", "{}")
    write("table.csv", "a,b")
    Path("empty.de").touch()
    Path("latin.de").write_bytes("caf\xe9\n".encode("latin-1"))
    with pytest.raises(UserError) as caught:
        read(["en"], **section)
    assert str(caught.value) == message.replace("{cwd}", str(tmp_path))


lines = st.lists(st.text(st.characters(exclude_characters="\r\n\0\ufeff", exclude_categories=["Cs"])),
                 max_size=9)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(one=lines, other=lines, chunk=st.integers(1, 4))
def test_any_two_texts_are_rows_or_of_unequal_length(one, other, chunk, tmp_path, monkeypatch):
    monkeypatch.setattr(parallel, "CHUNK_ROWS", chunk)
    monkeypatch.setenv("NLPBENCH_CACHE", str(tmp_path / f"cache-{chunk}"))
    one, other = ["x", *one], ["y", *other]
    write("a.en", *one)
    write("a.de", *other)
    if len(one) == len(other):
        assert read([], train="a.{en,de}").rows["de"][:] == other
        return
    with pytest.raises(UserError) as caught:
        read([], train="a.{en,de}")
    assert f"a.en has {len(one)} line" in str(caught.value)
    assert f"a.de has {len(other)} line" in str(caught.value)


TEXT = "\n\nOne line.\nAnother.\n \t\n\nA second\u2028paragraph.\r\n\nThe last"


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        (
            "line",
            [
                "",
                "",
                "One line.",
                "Another.",
                " \t",
                "",
                "A second\u2028paragraph.",
                "",
                "The last",
            ],
        ),
        ("paragraph", ["One line.\nAnother.", "A second\u2028paragraph.", "The last"]),
        ("document", [TEXT.replace("\r", "")]),
    ],
)
def test_what_of_a_text_is_a_row(unit, expected):
    Path("a.txt").write_bytes(TEXT.encode())
    assert read(["text"], source="a.txt", text_unit=unit).rows["text"][:] == expected


def test_a_folder_of_documents():
    write("set/train/b.txt", "the second", "document")
    write("set/train/a.txt", "the first")
    write("set/test/c.txt", "the third")
    train = read(["text"], source="set", text_unit="document")
    assert train.rows["text"][:] == ["the first", "the second\ndocument"]
    assert train.locate(1) == "set/train/b.txt, row 1"


@pytest.mark.parametrize("unit", ["paragraph", "document"])
def test_a_text_of_blank_lines_has_no_rows(unit):
    write("a.txt", "", " ", "")
    with pytest.raises(UserError, match=r"^a\.txt: has no rows$"):
        read(["text"], source="a.txt", text_unit=unit)


def test_a_document_that_no_row_can_hold(monkeypatch):
    monkeypatch.setattr(plain_text, "LARGEST", 40)
    write("a.txt", "word " * 9)
    with pytest.raises(UserError) as caught:
        read(["text"], source="a.txt", text_unit="document")
    assert str(caught.value) == (
        "a.txt, row 1: is longer than a row can be (40 bytes); set data.text_unit to paragraph or "
        "line, or cut the file in pieces"
    )


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"text_unit": "document"}, "data.text_unit: is for txt files, and saved holds none;"),
        ({"format": "json"}, "data.format: is for single files and directories of them, and saved"),
    ],
)
def test_options_of_files_where_there_are_none(section, message):
    datasets.Dataset.from_dict({"text": ["a"]}).save_to_disk("saved")
    with pytest.raises(UserError) as caught:
        read(["text"], source="saved", **section)
    assert str(caught.value).startswith(message)


PAIRS = [
    {"id": 1, "translation": {"en": "yes", "de": "ja"}},
    {"id": 2, "translation": None},
    {"id": 3, "translation": {"en": "no", "de": None}},
]


def nested(kind):
    if kind == "jsonl":
        write("a.jsonl", *map(json.dumps, PAIRS))
        return "a.jsonl"
    if kind == "parquet":
        parquet.write_table(pa.Table.from_pylist(PAIRS), "a.parquet")
        return "a.parquet"
    features = datasets.Features(
        {"id": datasets.Value("int64"), "translation": datasets.Translation(["en", "de"])}
    )
    rows = {name: [row[name] for row in PAIRS] for name in ("id", "translation")}
    datasets.Dataset.from_dict(rows, features=features).save_to_disk("saved")
    return "saved"


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "saved"])
def test_a_column_inside_a_column_is_one_of_its_own(kind):
    split = read(["translation.en", "translation.de"], source=nested(kind))
    assert split.rows["translation.en"][:] == ["yes", None, "no"]
    assert split.rows["translation.de"][:] == ["ja", None, None]
    assert split.rows["id"][:] == [1, 2, 3]
    assert split.rows.select_columns(["translation.en"]).to_list()[0] == {"translation.en": "yes"}
    selected = split.rows.select([2, 0])
    assert selected["translation.en"][:] == ["no", "yes"]
    assert selected[1]["translation"] == {"en": "yes", "de": "ja"}
    assert split.locate(2).endswith("row 3")


def test_nested_columns_are_not_copied():
    split = read(["translation.en"], source=nested("jsonl"))
    [outer] = split.rows.data.column("translation").chunks
    [inner] = split.rows.data.column("translation.en").chunks
    characters = outer.field("en").buffers()[2]
    assert characters.size == len("yesno")
    assert inner.buffers()[2].address == characters.address
    assert split.rows.cache_files


def test_a_flat_column_of_that_name_is_what_is_meant():
    write("a.jsonl", json.dumps({"translation.en": "flat", "translation": {"en": "nested"}}))
    assert read(["translation.en"], source="a.jsonl").rows["translation.en"][:] == ["flat"]


def test_deeply_nested_columns_and_ids():
    rows = [{"meta": {"id": {"value": f"t{n}"}, "tags": ["x"]}, "text": "a"} for n in range(3)]
    write("a.jsonl", *map(json.dumps, rows))
    split = read(["text", "meta.tags"], source="a.jsonl", id_column="meta.id.value")
    assert [split.id(n) for n in range(3)] == ["t0", "t1", "t2"]
    assert split.rows["meta.tags"][:] == [["x"]] * 3


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (
            "translation.fr",
            'a.jsonl: no column "translation.fr"; did you mean translation.en? '
            "columns: id, translation, translation.en, translation.de",
        ),
        (
            "de",
            'a.jsonl: no column "de"; did you mean translation.de? '
            "columns: id, translation, translation.en, translation.de",
        ),
        (
            "id.en",
            'a.jsonl: no column "id.en"; columns: id, translation, translation.en, translation.de',
        ),
    ],
)
def test_a_column_that_is_not_inside(column, message):
    nested("jsonl")
    with pytest.raises(UserError) as caught:
        read([column], source="a.jsonl")
    assert str(caught.value) == message


def test_no_rows_of_nested_columns():
    empty = pa.Table.from_pylist(PAIRS).slice(0, 0)
    parquet.write_table(empty, "a.parquet")
    with pytest.raises(UserError, match=r"^a\.parquet: has no rows$"):
        read(["translation.en"], source="a.parquet")


@pytest.mark.realdata
@pytest.mark.skipif("NLPBENCH_DATA" not in os.environ, reason="NLPBENCH_DATA is not set")
def test_a_real_set_says_the_same_in_files_of_languages_nested_and_flat():
    folder = Path(os.environ["NLPBENCH_DATA"]) / "multi30k"
    for split in ("train", "validation", "test"):
        with gzip.open(folder / f"{split}.jsonl.gz", "rt", encoding="utf-8") as stream:
            rows = [json.loads(line) for line in stream]
        for language in ("en", "de", "fr", "cs"):
            write(f"set/{split}.{language}", *(row[language] for row in rows))
        pairs = [{"translation": {key: row[key] for key in ("de", "en")}} for row in rows]
        write(f"nested/{split}.jsonl.gz", *map(json.dumps, pairs))
    needed = ["train", "validation", "test"]
    expected = load(DataSection(source=str(folder)), needed, ["en", "de"]).splits
    found = load(DataSection(source="set"), needed, ["en", "de"]).splits
    inner = load(DataSection(source="nested"), needed, ["translation.en", "translation.de"]).splits
    for split in needed:
        assert found[split].fingerprint == expected[split].fingerprint
        for side in ("en", "de"):
            assert inner[split].rows[f"translation.{side}"][:] == expected[split].rows[side][:]
