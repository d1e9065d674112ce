"""CoNLL and IOB files: a row a sentence, and every line that is none told with its number."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nlpbench.config.errors import UserError
from nlpbench.config.sections import DataSection
from nlpbench.data import conll
from nlpbench.data.load import load


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def read(content, name="a.conll", **options):
    data = content.encode()
    Path(name).write_bytes(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)
    split = load(DataSection(source=name, **options), ["train"], ["tokens", "tags"]).splits["train"]
    return [(row["tokens"], row["tags"]) for row in split.rows.to_list()]


FOUR_COLUMNS = """\
-DOCSTART- -X- -X- O

Ada NNP B-NP B-PER
slept VBD B-VP O

-DOCSTART- -X- O O

In IN B-PP O
Oslo NNP B-NP B-LOC
. . O O
"""
ADA = (["Ada", "slept"], ["B-PER", "O"])
OSLO = (["In", "Oslo", "."], ["O", "B-LOC", "O"])


@pytest.mark.parametrize("suffix", ["conll", "iob", "iob2", "bio", "bioes", "bilou", "bio.gz"])
def test_the_first_column_is_the_word_and_the_last_one_its_tag(suffix):
    assert read(FOUR_COLUMNS, f"a.{suffix}") == [ADA, OSLO]


def test_other_columns_can_be_named():
    read_columns = [
        read(FOUR_COLUMNS, conll_columns={"tokens": 0, "tags": 1})[0][1],
        read(FOUR_COLUMNS, conll_columns={"tags": -2})[0][1],
        read(FOUR_COLUMNS, conll_columns={"tokens": 1})[0][0],
    ]
    assert read_columns == [["NNP", "VBD"], ["B-NP", "B-VP"], ["NNP", "VBD"]]


def test_tabs_keep_spaces_in_words_and_other_white_space_is_text():
    rows = read("New York\tB-LOC\na\u00a0b\tO\r\n \t\n\u3000\tO\nx\u2028y\tO\n\n\n")
    assert rows == [
        (["New York", "a\u00a0b"], ["B-LOC", "O"]),
        (["\u3000", "x\u2028y"], ["O", "O"]),
    ]


def test_runs_of_spaces_are_one_and_the_last_line_needs_no_end():
    assert read("Ada   B-PER \n slept O") == [ADA]


COMMENTS = [
    "# id 7f3\tdomain=en\nAda _ _ B-PER\nslept _ _ O\n",
    "# sent_id = 1\n# text = Ada slept\nAda\tB-PER\nslept\tO\n",
    "# a file of words\n\n# sent_id = 1\nAda B-PER\nslept O\n",
    "x y B-Z\n\n# text = Ada\nAda y B-PER\nslept y O\n",
    "x y z B-Z\n\n# sent_id = 5\nAda y z B-PER\nslept y z O\n",
]


@pytest.mark.parametrize("content", COMMENTS)
def test_comments_before_a_sentence_are_no_words(content):
    assert read(content)[-1] == ADA


@pytest.mark.parametrize(
    "content", ["# O\n1 B-NUM\n", "#\tO\n1\tB-NUM\n", "a O\n\n# O\n1 B-NUM\n", "1 B-NUM\n# O\n"]
)
def test_the_sign_of_a_comment_may_be_a_word(content):
    tokens, tags = read(content)[-1]
    assert dict(zip(tokens, tags, strict=True)) == {"#": "O", "1": "B-NUM"}


def test_a_sentence_is_a_row_to_messages():
    Path("a.conll").write_text(FOUR_COLUMNS)
    split = load(DataSection(source="a.conll"), ["train"], ["tokens"]).splits["train"]
    assert split.locate(1) == "a.conll, row 2"


def test_splits_of_a_directory():
    for name in ("news.train.conll", "news.dev.iob2", "news.test.bio.gz"):
        Path("set").mkdir(exist_ok=True)
        data = f"{name} O\n".encode()
        Path("set", name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    loaded = load(DataSection(source="set"), ["train", "validation", "test"], ["tokens"])
    assert [split.rows["tokens"][0] for split in loaded.splits.values()] == [
        ["news.train.conll"],
        ["news.dev.iob2"],
        ["news.test.bio.gz"],
    ]


def test_the_format_can_be_told_where_the_suffix_is_another():
    for name in ("train.txt", "valid.txt", "eng.testb"):
        Path("set").mkdir(exist_ok=True)
        Path("set", name).write_text(FOUR_COLUMNS)
    Path("set/README.md").write_text("About it.\n")
    Path("set/.hidden").mkdir()
    Path("set/.hidden/train").write_text("nothing of it\n")
    config = DataSection(source="set", format="conll", test="eng.testb")
    loaded = load(config, ["train", "validation", "test"], ["tokens", "tags"])
    assert {split.rows.num_rows for split in loaded.splits.values()} == {2}
    assert loaded.splits["test"].locate(0) == "set/eng.testb, row 1"
    single = load(DataSection(train="set/eng.testb", format="conll"), ["train"], ["tags"])
    assert (
        single.splits["train"].fingerprint
        == load(config, ["test"], ["tags"]).splits["test"].fingerprint
    )
    with pytest.raises(UserError) as caught:
        load(DataSection(train="set/train.txt"), ["train"], ["tokens", "tags"])
    assert str(caught.value) == (
        'set/train.txt: no column "tokens"; columns: text. If a word and its tag stand in each '
        "line, set data.format to conll"
    )


BROKEN = [
    ("\n\n", ": has no rows"),
    (
        "Ada\nslept\n",
        ', line 1: 1 column where a word and its tag are due: "Ada"; put a tag after every word, '
        "with a space or a tab between them",
    ),
    (
        "Ada B-PER\n\nslept\n",
        ', line 3: 1 column where the lines before have 2: "slept"; a blank line ends a sentence, '
        "and where words hold spaces, tabs must separate the columns",
    ),
    (
        "Ada B-PER\nNew York B-LOC\n",
        ', line 2: 3 columns where the lines before have 2: "New York B-LOC"; a blank line ends a '
        "sentence, and where words hold spaces, tabs must separate the columns",
    ),
    ("Ada\tB-PER\n\tO\n", ', line 2: the word is empty: "O"'),
    ("Ada\tB-PER\nslept\t\n", ', line 2: the tag is empty: "slept"'),
    (
        "a X\n\n# NN\nb Y\n",
        ', line 3: "# NN" may be a comment or the word #; take the comment away, or separate the '
        "columns of the file with tabs",
    ),
]


@pytest.mark.parametrize(("content", "message"), BROKEN)
def test_broken_file(content, message):
    with pytest.raises(UserError) as caught:
        read(content)
    assert str(caught.value) == "a.conll" + message


WRONG_COLUMNS = [
    (
        {"tags": 2},
        'a.conll, line 1: data.conll_columns.tags is 2, and there are 2 columns, 0 to 1: "Ada O"',
    ),
    (
        {"tokens": -3},
        "a.conll, line 1: data.conll_columns.tokens is -3, and there are 2 columns, 0 to 1: "
        '"Ada O"',
    ),
    (
        {"tokens": 1},
        "a.conll, line 1: data.conll_columns names one column for tokens and tags (1 and -1 of 2)",
    ),
]


@pytest.mark.parametrize(("columns", "message"), WRONG_COLUMNS)
def test_columns_that_are_not_there(columns, message):
    with pytest.raises(UserError) as caught:
        read("Ada O\n", conll_columns=columns)
    assert str(caught.value) == message


def test_columns_of_files_that_are_not_conll():
    Path("a.jsonl").write_text('{"tokens": ["a"], "tags": ["O"]}\n')
    with pytest.raises(UserError) as caught:
        load(DataSection(source="a.jsonl", conll_columns={"tags": 1}), ["train"], ["tokens"])
    assert str(caught.value) == (
        "data.conll_columns: is for conll files, and a.jsonl holds none; take the key away"
    )


words = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="#\ufeff"), min_size=1
).map(lambda word: "w" + word.replace(" ", "_"))
tags = st.sampled_from(["O", "B-PER", "I-PER", "I-ORG", "U-X", "7"])
sentence = st.lists(st.tuples(words, tags), min_size=1, max_size=6)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rows=st.lists(sentence, min_size=1, max_size=8),
    mark=st.sampled_from([" ", "\t"]),
    chunk=st.integers(1, 9),
)
def test_what_is_written_is_read(rows, mark, chunk, tmp_path, monkeypatch):
    monkeypatch.setattr(conll, "CHUNK_WORDS", chunk)
    monkeypatch.setenv("NLPBENCH_CACHE", str(tmp_path / f"cache-{chunk}"))
    lines = ["".join(f"{word}{mark}x{mark}{tag}\n" for word, tag in row) for row in rows]
    expected = [([word for word, _ in row], [tag for _, tag in row]) for row in rows]
    assert read("\n".join(lines)) == expected


@pytest.mark.realdata
@pytest.mark.skipif("NLPBENCH_DATA" not in os.environ, reason="NLPBENCH_DATA is not set")
def test_a_real_set_says_the_same_as_conll_and_as_jsonl():
    folder = Path(os.environ["NLPBENCH_DATA"]) / "wnut_17"
    Path("set").mkdir()
    for split in ("train", "validation", "test"):
        with gzip.open(folder / f"{split}.jsonl.gz", "rt", encoding="utf-8") as stream:
            rows = [json.loads(line) for line in stream]
        sentences = [
            "".join(
                f"{token}\t{tag}\n"
                for token, tag in zip(row["tokens"], row["ner_tags"], strict=True)
            )
            for row in rows
        ]
        Path("set", f"{split}.conll").write_text("\n".join(sentences), encoding="utf-8")
    needed = ["train", "validation", "test"]
    found = load(DataSection(source="set"), needed, ["tokens", "tags"]).splits
    expected = load(DataSection(source=str(folder)), needed, ["tokens", "ner_tags"]).splits
    for split in needed:
        assert found[split].rows["tokens"][:] == expected[split].rows["tokens"][:]
        assert found[split].rows["tags"][:] == expected[split].rows["ner_tags"][:]
