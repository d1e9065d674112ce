"""SQuAD's own files: a row a question, as on the hub, and every slip told with its place."""

from __future__ import annotations

import gzip
import json
import os
from itertools import groupby
from pathlib import Path

import pytest

from nlpbench.config.errors import UserError
from nlpbench.config.sections import DataSection
from nlpbench.data import squad_json
from nlpbench.data.load import load

COLUMNS = ["id", "title", "context", "question", "answers"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def question(identity="q1", **more):
    answers = [{"text": "Oslo", "answer_start": 12}]
    return {"id": identity, "question": f"Where is {identity}?", "answers": answers} | more


def squad(*paragraphs, title="Cities", **more):
    return {"version": "1.1", "data": [{"title": title, "paragraphs": list(paragraphs)}], **more}


def paragraph(*questions, context="They live in Oslo."):
    return {"context": context, "qas": list(questions)}


def read(content, name="dev.json"):
    data = json.dumps(content).encode()
    Path(name).write_bytes(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)
    return load(DataSection(source=name), ["train"], COLUMNS).splits["train"]


@pytest.mark.parametrize("name", ["dev.json", "dev.json.gz"])
def test_every_question_is_a_row(name):
    two = [{"text": "Oslo", "answer_start": 0}, {"text": "Oslo", "answer_start": 13}]
    content = squad(paragraph(question("a"), question("b", answers=two)))
    content["data"].append({"paragraphs": [paragraph(question(7), context="Else.")]})
    split = read(content, name)
    context = "They live in Oslo."
    assert split.rows.to_list() == [
        {
            "title": "Cities",
            "context": context,
            "id": "a",
            "question": "Where is a?",
            "answers": {"text": ["Oslo"], "answer_start": [12]},
        },
        {
            "title": "Cities",
            "context": context,
            "id": "b",
            "question": "Where is b?",
            "answers": {"text": ["Oslo", "Oslo"], "answer_start": [0, 13]},
        },
        {
            "title": "",
            "context": "Else.",
            "id": "7",
            "question": "Where is 7?",
            "answers": {"text": ["Oslo"], "answer_start": [12]},
        },
    ]
    assert split.locate(2) == f"{name}, row 3"


def test_a_question_without_answers():
    none = question("a", answers=[], is_impossible=True, plausible_answers=[{"text": "x"}])
    told = question("b", is_impossible=False)
    hidden = {"id": "c", "question": "Who?"}
    rows = read(squad(paragraph(none, told, hidden))).rows
    assert rows["is_impossible"][:] == [True, False, None]
    assert [answers["text"] for answers in rows["answers"]] == [[], ["Oslo"], []]
    assert "is_impossible" not in read(squad(paragraph(hidden))).rows.column_names


def test_a_file_without_a_single_answer_goes_with_one_that_has_them():
    Path("a.json").write_text(json.dumps(squad(paragraph(question("a", answers=[])))))
    Path("b.json").write_text(json.dumps(squad(paragraph(question("b")))))
    rows = load(DataSection(train="?.json"), ["train"], COLUMNS).splits["train"].rows
    assert [answers["answer_start"] for answers in rows["answers"]] == [[], [12]]


def test_rows_of_many_chunks(monkeypatch):
    whole = squad(*(paragraph(question(str(n)), question(f"{n}b")) for n in range(7)))
    monkeypatch.setattr(squad_json, "CHUNK_ROWS", 3)
    assert read(whole).rows["id"][:] == [f"{n}{half}" for n in range(7) for half in ("", "b")]


def test_an_object_with_other_lists_is_still_squad():
    content = squad(paragraph(question()), authors=["someone"])
    assert read(content).rows.num_rows == 1


def test_data_that_are_no_articles_are_rows_as_ever():
    Path("a.json").write_text('{"data": [{"text": "a"}]}')
    assert load(DataSection(source="a.json"), ["train"], ["text"]).splits["train"].rows[0] == {
        "text": "a"
    }


AT = "dev.json, article 1, paragraph 1, question 1"
BROKEN = [
    ({"data": [{"paragraphs": []}]}, "dev.json: has no rows"),
    (
        {"data": [{"paragraphs": []}, {"title": "x"}]},
        'dev.json, article 2: needs the key paragraphs; its keys: "title"',
    ),
    (
        {"data": [{"paragraphs": []}, 5]},
        'dev.json, article 2: must be an object such as {"title": …, "paragraphs": […]}; got a '
        "number (5)",
    ),
    (
        {"data": [{"title": 5, "paragraphs": []}]},
        "dev.json, article 1: title must be a string; got a number (5)",
    ),
    (
        {"data": [{"paragraphs": {"context": "x"}}]},
        'dev.json, article 1: paragraphs must be a list; got an object ({"context": "x"})',
    ),
    (
        squad({"qas": []}),
        'dev.json, article 1, paragraph 1: needs the key context; its keys: "qas"',
    ),
    (
        squad(paragraph(), {"context": None, "qas": []}),
        "dev.json, article 1, paragraph 2: context must be a string; got null (null)",
    ),
    (
        squad(paragraph("Where?")),
        f'{AT}: must be an object such as {{"id": …, "question": …, "answers": […]}}; got a '
        'string ("Where?")',
    ),
    (squad(paragraph({"question": "x"})), f'{AT}: needs the key id; its keys: "question"'),
    (squad(paragraph(question(True))), f"{AT}: id must be a string; got true or false (true)"),
    (squad(paragraph(question(question=1))), f"{AT}: question must be a string; got a number (1)"),
    (squad(paragraph(question(answers=None))), f"{AT}: answers must be a list; got null (null)"),
    (
        squad(paragraph(question(answers=["Oslo"]))),
        f'{AT}, answer 1: must be an object such as {{"text": …, "answer_start": …}}; got a '
        'string ("Oslo")',
    ),
    (
        squad(paragraph(question(answers=[{"text": "Oslo"}]))),
        f'{AT}, answer 1: needs the key answer_start; its keys: "text"',
    ),
    (
        squad(paragraph(question(answers=[{"text": "Oslo", "answer_start": "12"}]))),
        f'{AT}, answer 1: answer_start must be a number; got a string ("12")',
    ),
    (
        squad(paragraph(question(is_impossible="no"))),
        f'{AT}: is_impossible must be true or false; got a string ("no")',
    ),
    (
        squad(paragraph(question(is_impossible=True))),
        f'{AT}: is_impossible is true, and there are answers (["Oslo"]); take one of them away',
    ),
    (
        squad(paragraph(question(question="\ud800"))),
        f'{AT}, question: "\\ud800" cannot be stored (\'utf-8\' codec can\'t encode character '
        "'\\ud800' in position 0: surrogates not allowed)",
    ),
    (
        squad(paragraph(*[question(str(n)) for n in range(3)],
                        question(answers=[{"text": "x", "answer_start": 2**70}]))),
        "dev.json, article 1, paragraph 1, question 4: cannot be stored (Python int too large to "
        "convert to C long)",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("content", "message"), BROKEN)
def test_broken_file(content, message):
    with pytest.raises(UserError) as caught:
        read(content)
    assert str(caught.value) == message


@pytest.mark.realdata
@pytest.mark.skipif("NLPBENCH_DATA" not in os.environ, reason="NLPBENCH_DATA is not set")
def test_the_dev_set_is_the_same_nested_and_flat():
    flat = Path(os.environ["NLPBENCH_DATA"]) / "squad" / "validation.jsonl.gz"
    with gzip.open(flat, "rt", encoding="utf-8") as stream:
        rows = [json.loads(line) for line in stream]
    articles = []
    for title, of_title in groupby(rows, lambda row: row["title"]):
        paragraphs = []
        for context, of_context in groupby(of_title, lambda row: row["context"]):
            questions = []
            for row in of_context:
                pairs = zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True)
                answers = [{"text": text, "answer_start": start} for text, start in pairs]
                questions.append({"id": row["id"], "question": row["question"], "answers": answers})
            paragraphs.append({"context": context, "qas": questions})
        articles.append({"title": title, "paragraphs": paragraphs})
    split = read({"data": articles, "version": "1.1"})
    expected = load(DataSection(source=str(flat)), ["train"], COLUMNS).splits["train"]
    assert split.rows.num_rows == 10_570
    assert split.fingerprint == expected.fingerprint
