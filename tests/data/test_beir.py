"""Retrieval data: documents, queries and judgements in BEIR's layout."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from nlpbench.config.errors import UserError
from nlpbench.config.sections import DataSection
from nlpbench.data import json_rows
from nlpbench.data.load import load

COLUMNS = ["_id", "text", "relevant_ids", "relevance"]
DOCUMENTS = [
    {"_id": "d1", "title": "Owls", "text": "They hunt at night.", "metadata": {}},
    {"_id": "d2", "text": "Larks sing at dawn.", "metadata": {"year": 1990}},
    {"_id": "d3", "title": None, "text": "", "metadata": {"year": "unknown"}},
]
QUERIES = [
    {"_id": "q3", "text": "who sleeps", "metadata": {}},
    {"_id": "q1", "text": "night birds"},
    {"_id": "q2", "text": "birds of the morning"},
]
HEADER = "query-id\tcorpus-id\tscore\n"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(name, content):
    if not isinstance(content, str):
        content = "".join(json.dumps(row) + "\n" for row in content)
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode()
    path.write_bytes(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)


def birds(packed="", documents=DOCUMENTS, queries=QUERIES, folder="birds", **qrels):
    write(f"{folder}/corpus.jsonl{packed}", documents)
    write(f"{folder}/queries.jsonl{packed}", queries)
    for split, lines in (qrels or {"test": ["q1 d1 2", "q2 d2 1", "q1 d2 0"]}).items():
        rows = "".join("\t".join(line.split()) + "\n" for line in lines)
        write(f"{folder}/qrels/{split}.tsv{packed}", HEADER + rows)


def read(*needed, **section):
    return load(DataSection(**{"source": "birds", **section}), needed or ["test"], COLUMNS)


@pytest.mark.parametrize("packed", ["", ".gz"])
def test_a_row_is_a_query_with_its_judgements(packed):
    birds(packed)
    loaded = read()
    assert list(loaded.splits) == ["test"]
    assert loaded.notes == []
    split = loaded.splits["test"]
    assert split.rows.to_list() == [
        {"_id": "q1", "text": "night birds", "relevant_ids": ["d1", "d2"], "relevance": [2, 0]},
        {"_id": "q2", "text": "birds of the morning", "relevant_ids": ["d2"], "relevance": [1]},
    ]
    assert [split.id(0), split.id(1)] == ["q1", "q2"]
    assert split.locate(1) == "birds test, row 2"
    assert loaded.corpus.to_list() == [
        {"_id": "d1", "title": "Owls", "text": "They hunt at night."},
        {"_id": "d2", "title": "", "text": "Larks sing at dawn."},
        {"_id": "d3", "title": "", "text": ""},
    ]


def test_splits_are_those_that_are_judged():
    birds(train=["q3 d3 1"], dev=["q1 d1 1"], test=["q2 d2 1"])
    loaded = read("train", "validation", "test")
    found = {name: split.rows["_id"][:] for name, split in loaded.splits.items()}
    assert found == {"train": ["q3"], "validation": ["q1"], "test": ["q2"]}
    assert read("test", test="dev").splits["test"].rows["_id"][:] == ["q1"]


@pytest.mark.parametrize("name", ["qrels.tsv", "qrels.jsonl.gz", "qrels/all.tsv"])
def test_judgements_that_name_no_split_are_those_of_test(name):
    write("birds/corpus.jsonl", DOCUMENTS)
    write("birds/queries.jsonl", QUERIES)
    row = {"query-id": "q1", "corpus-id": "d1", "score": 1}
    write(f"birds/{name}", HEADER + "q1\td1\t1\n" if name.endswith("tsv") else [row])
    assert read().splits["test"].rows["relevant_ids"][:] == [["d1"]]


def test_numbers_for_ids_are_strings():
    documents = [{"_id": number, "text": "a"} for number in range(3)]
    queries = [{"_id": number, "text": "a"} for number in range(3)]
    birds(documents=documents, queries=queries, test=["1 2 1", "2 0 3"])
    loaded = read()
    assert loaded.corpus["_id"][:] == ["0", "1", "2"]
    assert loaded.splits["test"].rows["relevant_ids"][:] == [["2"], ["0"]]


def test_rows_of_many_chunks(monkeypatch):
    monkeypatch.setattr(json_rows, "CHUNK_ROWS", 2)
    documents = [{"_id": f"d{n}", "text": f"text {n}"} for n in range(7)]
    queries = [{"_id": f"q{n}", "text": f"query {n}"} for n in range(7)]
    birds(documents=documents, queries=queries, test=[f"q{n} d{6 - n} 1" for n in (6, 0, 3)])
    loaded = read()
    assert loaded.corpus["text"][:] == [f"text {n}" for n in range(7)]
    assert loaded.splits["test"].rows["relevant_ids"][:] == [["d6"], ["d3"], ["d0"]]
    assert [loaded.splits["test"].id(n) for n in range(3)] == ["q0", "q3", "q6"]


def test_a_split_that_is_lacking_is_taken_from_train_and_the_documents_stay():
    queries = [{"_id": f"q{n}", "text": f"query {n}"} for n in range(20)]
    birds(queries=queries, train=[f"q{n} d1 1" for n in range(20)])
    loaded = read("train", "test", max_samples={"train": 5})
    assert [split.rows.num_rows for split in loaded.splits.values()] == [5, 2]
    assert loaded.corpus.num_rows == 3


def test_the_documents_are_part_of_the_fingerprint():
    birds()
    fingerprint = read().splits["test"].fingerprint
    assert fingerprint == read().splits["test"].fingerprint
    birds(documents=[{**DOCUMENTS[0], "text": "Else."}, *DOCUMENTS[1:]])
    assert read().splits["test"].fingerprint != fingerprint
    birds(test=["q1 d1 2", "q2 d2 1"])
    assert read().splits["test"].fingerprint != fingerprint
    birds(packed=".gz", folder="packed")
    assert read(source="packed").splits["test"].fingerprint == fingerprint


def test_other_data_have_no_corpus():
    write("a.jsonl", [{"text": "a"}])
    assert load(DataSection(source="a.jsonl"), ["train"], ["text"]).corpus is None


def test_a_folder_of_sets():
    birds(folder="all/birds")
    loaded = read(source="all", subset="birds")
    assert loaded.splits["test"].locate(0) == "all/birds test, row 1"


def test_judgements_of_documents_that_are_lacking_are_told():
    birds(test=["q1 d1 1", "q1 d9 1", "q2 d8 0"])
    loaded = read()
    assert loaded.notes == [
        "test: 2 of 3 judgements are of documents that birds/corpus.jsonl lacks, so that no model "
        "can find them"
    ]
    assert loaded.splits["test"].rows["relevant_ids"][0] == ["d1", "d9"]


BROKEN = [
    (
        {"test": ["q1 d8 1", "q1 d9 1"]},
        "birds/qrels/test.tsv: judges no document that birds/corpus.jsonl holds",
    ),
    (
        {"test": ["q1 d1 1", "q7 d1 1"]},
        'birds/qrels/test.tsv, row 2: judges the query "q7", and birds/queries.jsonl has none of '
        "that _id",
    ),
    (
        {"test": ["q1 d1 high"]},
        'birds/qrels/test.tsv, row 1: the score must be a whole number (got "high")',
    ),
    (
        {"test": ["q1 d1 0.5"]},
        'birds/qrels/test.tsv, row 1: the score must be a whole number (got "0.5")',
    ),
    (
        {"test": ["q1 d1 1", "q1 d1 2"]},
        'birds/qrels/test.tsv, row 2: the document "d1" is judged 2 for the query "q1", and 1 '
        "before; keep one of them",
    ),
    (
        {"test": ["q1 d1"]},
        "birds/qrels/test.tsv, row 1: 2 values where the header has 3 columns; "
        "put values that hold the delimiter between double quotes",
    ),
    ({"test": []}, "birds test: has no rows"),
    (
        {"documents": [*DOCUMENTS, {"_id": "d2", "text": "again"}]},
        'birds/corpus.jsonl: rows 2 and 4 have the same _id ("d2"); take one of them away',
    ),
    (
        {"queries": [*QUERIES, QUERIES[0]]},
        'birds/queries.jsonl: rows 1 and 4 have the same _id ("q3"); take one of them away',
    ),
    (
        {"documents": [{"id": "d1", "text": "a"}]},
        'birds/corpus.jsonl, row 1: needs the key _id; its keys: "id", "text"',
    ),
    (
        {"documents": [*DOCUMENTS, {"_id": "d4", "text": ["a"]}]},
        'birds/corpus.jsonl, row 4: text must be a string; got a list (["a"])',
    ),
    (
        {"queries": [{"_id": "q1", "text": "\ud800"}]},
        'birds/queries.jsonl, row 1, text: "\\ud800" cannot be stored (\'utf-8\' codec can\'t '
        "encode character '\\ud800' in position 0: surrogates not allowed)",
    ),
    ({"documents": "[1]\n"}, "birds/corpus.jsonl, row 1: must be an object such as "
     '{"text": …}; got a list ([1])'),
]  # fmt: skip


@pytest.mark.parametrize(("files", "message"), BROKEN)
def test_broken_set(files, message):
    birds(**files)
    for _ in range(2):  # nothing of it is kept
        with pytest.raises(UserError) as caught:
            read()
        assert str(caught.value) == message


def test_judgements_without_a_header():
    birds()
    write("birds/qrels/test.tsv", "q1\td1\t1\n")
    with pytest.raises(UserError) as caught:
        read()
    assert str(caught.value) == (
        'birds/qrels/test.tsv: no column "query-id"; columns: q1, d1, 1. Judgements have the '
        "columns query-id, corpus-id and score"
    )


def test_layouts_that_lack_a_part(tmp_path):
    write("birds/corpus.jsonl", DOCUMENTS)
    write("birds/queries.jsonl", QUERIES)
    with pytest.raises(UserError) as caught:
        read()
    assert str(caught.value) == (
        "data.source: birds holds documents and queries, and no judgements "
        f"(looked for {tmp_path}/birds/qrels/test.tsv and qrels.tsv)"
    )
    birds(test=["q1 d1 1"])
    with pytest.raises(UserError, match=r"^birds: has no train split; it has test$"):
        read("train", "test")
    write("birds/qrels.tsv", HEADER)
    with pytest.raises(UserError, match=r"holds qrels/ and qrels\.tsv; keep one of them$"):
        read()
    write("birds/corpus.jsonl.gz", DOCUMENTS)
    with pytest.raises(UserError, match=r"^birds: corpus\.jsonl and corpus\.jsonl\.gz are both"):
        read()
    birds(folder="odd", one=["q1 d1 1"], two=["q1 d1 1"])
    with pytest.raises(UserError, match=r"\(qrels: one, two\); name them with data\.test$"):
        read(source="odd")


@pytest.mark.realdata
@pytest.mark.skipif("NLPBENCH_DATA" not in os.environ, reason="NLPBENCH_DATA is not set")
def test_cranfield():
    folder = Path(os.environ["NLPBENCH_DATA"]) / "cranfield"
    loaded = read(source=str(folder))
    rows = loaded.splits["test"].rows
    assert (loaded.corpus.num_rows, rows.num_rows) == (1_400, 225)
    assert sum(map(len, rows["relevance"])) == 1_837
    assert {grade for grades in rows["relevance"] for grade in grades} == {0, 1}
    assert rows[0]["relevant_ids"][:3] == ["184", "29", "31"]
    assert loaded.notes == []
