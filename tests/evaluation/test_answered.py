"""What a run writes into predictions.jsonl is read back to the same scores, and damage is told."""

from __future__ import annotations

import json
import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpbench.config import registry
from nlpbench.config.component import ComponentField
from nlpbench.config.errors import UserError
from nlpbench.evaluation.answered import fingerprint, read, rows_of
from nlpbench.results.files import write_jsonl
from nlpbench.tasks import Predictions, objects

HALF = 'half a pair \ud800 and a line\u2028break, a \x85, a quote " and \\'
NEEDED = {
    "translation": {"source_language": "en", "target_language": "de"},
    "text-classification/multi": {"problem_type": "multi_label_classification"},
    "text-classification/number": {"problem_type": "regression"},
}
SETUPS = [*registry.names("task"), *(name for name in NEEDED if "/" in name)]
ROWS = 6


def task_of(setup):
    name = setup.partition("/")[0]
    return ComponentField("task").build({"name": name, **NEEDED.get(setup, {})})


def labels_of(task):
    if task.answer == "tags":
        return ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    if task.name == "next-sentence-prediction":
        return ["next", "random"]
    if task.name == "multiple-choice":
        return ["A", "B", "C"]
    return ["no", "yes", HALF] if task.answer in ("labels", "label-sets") else []


def answers_of(task, labels):
    """Predictions and references of six examples, as the task's `decode` and `references` give them."""
    if task.answer == "labels":
        shares = np.random.default_rng(0).dirichlet(np.ones(len(labels)), ROWS)
        named = [{"probabilities": dict(zip(labels, row, strict=True))} for row in shares.tolist()]
        details = None if task.name == "text-classification" else named
        references = np.arange(ROWS) % len(labels)
        return Predictions(shares.argmax(axis=-1), shares, details), references
    if task.answer == "label-sets":
        shares = np.random.default_rng(0).random((ROWS, len(labels)))
        flags = (np.arange(ROWS * len(labels)).reshape(ROWS, -1) % 2).astype(np.int64)
        flags[0] = 0
        return Predictions((shares >= 0.5).astype(np.int64), shares), flags
    if task.answer == "values":
        predictions = np.array([-0.0, 5e-324, 1e300, 0.1 + 0.2, -1 / 3, 7.0])
        return Predictions(predictions, details=[{"cosine": 0.5}] * ROWS), np.arange(ROWS) / 7
    if task.answer == "log-likelihoods":
        sizes = np.stack([np.arange(ROWS), np.arange(ROWS) * 5], axis=1)
        sums = -np.stack([np.arange(ROWS) * 1e4, -np.arange(ROWS) * 2.0], axis=1)
        return Predictions(sums), sizes
    if task.answer == "tags":
        told = [["O", "B-PER", "I-PER"], ["B-LOC", "O"]] * 3
        right = [["B-PER", "I-PER", "O"], ["B-LOC", "O"]] * 3
        return Predictions(objects(told), details=[{"entities": []}] * ROWS), objects(right)
    if task.answer == "rankings":
        graded = [{"7": 2, "d": 1, HALF: 0}, {}] * 3
        return Predictions(objects([["d", HALF, "7"], []] * 3)), objects(graded)
    texts = ["the answer", "", HALF, "Grüße  aus\tKöln\r\n", " ", "5"]
    right = [[text, "another"] for text in ["the answer", "no", HALF, "x", "y", "6"]]
    if task.answer == "spans":
        right[1] = []
    return Predictions(objects(texts), details=[{"tokens": 3}] * ROWS), objects(right)


def metrics_of(answer):
    found = [registry.load("metric", name) for name in registry.names("metric")]
    return [
        metric() for metric in found if answer in metric.answers and metric.__name__ != "Evaluate"
    ]


def written(file, task, predictions, references, labels):
    rows = task.rows_of(predictions, references, labels)
    write_jsonl(file, [{"id": number, **row} for number, row in enumerate(rows)])
    return file


def same(one, other):
    assert list(one) == list(other)
    for key, value in one.items():
        assert value == other[key] or (math.isnan(value) and math.isnan(other[key])), key


@pytest.mark.parametrize("setup", SETUPS)
def test_every_task_writes_what_scores_the_same_when_read(setup, tmp_path):
    task = task_of(setup)
    labels = labels_of(task)
    predictions, references = answers_of(task, labels)
    file = written(tmp_path / "predictions.jsonl", task, predictions, references, labels)
    found = read(file, task.answer, labels)
    assert found.ids == list(range(ROWS))
    assert found.predictions.answers.dtype == predictions.answers.dtype
    metrics = metrics_of(task.answer)
    assert metrics
    counts = np.array([[2, 0, 1, 0, 3, 0]])
    for metric in metrics:
        one, other = predictions.read(metric.reads), found.predictions.read(metric.reads)
        same(
            metric.compute(one, references, labels),
            metric.compute(other, found.references, labels),
        )
        drawn = metric.resample(one, references, counts, labels)
        again = metric.resample(other, found.references, counts, labels)
        same(
            {key: float(value[0]) for key, value in drawn.items()},
            {key: float(value[0]) for key, value in again.items()},
        )


@pytest.mark.parametrize("setup", SETUPS)
def test_what_was_read_is_written_again_as_it_stood(setup, tmp_path):
    task = task_of(setup)
    labels = labels_of(task)
    predictions, references = answers_of(task, labels)
    file = written(tmp_path / "predictions.jsonl", task, predictions, references, labels)
    found = read(file, task.answer, labels)
    write_jsonl(tmp_path / "again.jsonl", rows_of(found))
    one, two = (
        [json.loads(line) for line in path.read_bytes().split(b"\n") if line]
        for path in (file, tmp_path / "again.jsonl")
    )
    assert one == two
    assert fingerprint(read(tmp_path / "again.jsonl", task.answer, labels)) == fingerprint(found)


def test_an_impossible_text_is_written_as_minus_infinity(tmp_path):
    file = tmp_path / "predictions.jsonl"
    rows = [
        {"id": 0, "reference": [2, 9], "prediction": ["-inf", 3]},
        {"id": 1, "reference": [2, 9], "prediction": [-1e6, 3.0]},
    ]
    write_jsonl(file, rows)
    found = read(file, "log-likelihoods")
    [perplexity] = metrics_of("log-likelihoods")
    assert perplexity.compute(found.predictions.answers, found.references)["perplexity"] == math.inf
    assert list(rows_of(found)) == rows


def test_a_zero_keeps_its_sign(tmp_path):
    write_jsonl(tmp_path / "p.jsonl", [{"id": "a", "reference": 1, "prediction": -0.0}])
    found = read(tmp_path / "p.jsonl", "values")
    assert math.copysign(1, found.predictions.answers[0]) == -1


def test_other_names_of_ids_are_other_ids(tmp_path):
    ids = [1, "1", -3, "", "ä\ud800"]
    rows = [{"id": name, "reference": ["a"], "prediction": "a"} for name in ids]
    write_jsonl(tmp_path / "p.jsonl", rows)
    assert read(tmp_path / "p.jsonl", "texts").ids == ids


def line(**values):
    return json.dumps({"id": 1, "reference": "no", "prediction": "no", **values})


GOOD = line(id="good")
WRONG = [
    ("labels", "{", "2 is damaged: Expecting property name"),
    ("labels", GOOD[:-5], "2 is damaged: "),
    ("labels", "[1]", "2: must be an object"),
    ("labels", "9" * 5000, "2 is damaged: "),
    ("labels", '{"a":' * 100_000, "2 is damaged: "),
    ("labels", '{"id": 1}', "2 has no reference and no prediction"),
    ("labels", line(id=1.5), "2 has the id 1.5, which is a number where"),
    ("labels", line(id=None), "2 has the id null, which is null where"),
    ("labels", line(id=[1]), "2 has the id [1], which is a list where"),
    ("labels", line(id="good"), '2 has the id "good" of '),
    (
        "labels",
        line(prediction="maybe"),
        '2 has the prediction "maybe", which is none of the labels',
    ),
    (
        "labels",
        line(reference=None),
        "2 has the reference null, which is none of the labels no, yes",
    ),
    ("labels", line(prediction=["no"]), '2 has the prediction ["no"], which is none of the labels'),
    ("labels", line(probabilities={"no": 1}), "1 has no probabilities, and "),
    (
        "label-sets",
        line(reference=["no"], prediction="no"),
        '2 has the prediction "no", which is no',
    ),
    (
        "label-sets",
        line(reference=["x"], prediction=[]),
        '2 has the reference ["x"], and "x" is none',
    ),
    ("values", line(reference=1, prediction=None), "2 has the prediction null, which is no finite"),
    ("values", '{"id":1,"reference":1,"prediction":NaN}', "2 has the prediction .nan, which is no"),
    (
        "values",
        '{"id":1,"reference":1e999,"prediction":1}',
        "2 has the reference .inf, which is no",
    ),
    ("values", line(reference=True, prediction=1), "2 has the reference true, which is no finite"),
    ("values", line(reference=1, prediction=10**400), "2 has the prediction 1000"),
    ("values", line(reference=1, prediction="1"), '2 has the prediction "1", which is no finite'),
    (
        "tags",
        line(reference=["O", 1], prediction=["O"]),
        '2 has the reference ["O", 1], which is no',
    ),
    ("spans", line(reference="x", prediction="x"), '2 has the reference "x", which is no list'),
    (
        "texts",
        line(reference=["x"], prediction=["x"]),
        '2 has the prediction ["x"], which is no text',
    ),
    (
        "texts",
        line(reference=[None], prediction="x"),
        "2 has the reference [null], which is no list",
    ),
    ("log-likelihoods", line(reference=[1, 2], prediction=[None, 2]), "2 has the prediction [null"),
    ("log-likelihoods", line(reference=[1, 2], prediction=[3.0, 2]), "2 has the prediction [3.0"),
    ("log-likelihoods", line(reference=[1, 2], prediction="ab"), '2 has the prediction "ab"'),
    (
        "log-likelihoods",
        line(reference=[1.5, 2], prediction=[-1, 2]),
        "2 has the reference [1.5, 2]",
    ),
    ("log-likelihoods", line(reference=[1], prediction=[-1, 2]), "2 has the reference [1], which"),
    ("rankings", line(reference=["d"], prediction=["d"]), '2 has the reference ["d"], which is no'),
    ("rankings", line(reference={"d": 0.5}, prediction=["d"]), '2 has the reference {"d": 0.5}'),
    ("rankings", line(reference={"d": 1}, prediction=[1]), "2 has the prediction [1], which is no"),
]
RIGHT = {
    "labels": GOOD,
    "label-sets": line(id="good", reference=[], prediction=["no"]),
    "values": line(id="good", reference=1, prediction=2.5),
    "tags": line(id="good", reference=[], prediction=[]),
    "spans": line(id="good", reference=[], prediction=""),
    "texts": line(id="good", reference=["x"], prediction=""),
    "log-likelihoods": line(id="good", reference=[1, 2], prediction=[-1.5, 2]),
    "rankings": line(id="good", reference={"d": 1}, prediction=["d"]),
}


@pytest.mark.parametrize(("answer", "text", "message"), WRONG)
def test_a_damaged_row_is_told_with_its_line(answer, text, message, tmp_path):
    file = tmp_path / "p.jsonl"
    file.write_text(f"{RIGHT[answer]}\n")
    assert len(read(file, answer, ["no", "yes"])) == 1
    file.write_text(f"{RIGHT[answer]}\n{text}\n")
    with pytest.raises(UserError) as caught:
        read(file, answer, ["no", "yes"])
    assert str(caught.value).startswith(f"{file}:{message}"), str(caught.value)


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"no": 0.4, "yes": 0.4}, "has probabilities that add up to 0.8, not 1"),
        ({"no": 0.4, "maybe": 0.6}, 'has a probability of "maybe" is none of the labels'),
        ({"no": 1.4}, 'gives "no" the probability 1.4'),
        ({"no": math.nan}, 'gives "no" the probability .nan'),
        ({"no": True}, 'gives "no" the probability true'),
        ({"no": "1"}, 'gives "no" the probability "1"'),
        ({}, "has the probabilities {}"),
        ([1, 0], "has the probabilities [1, 0]"),
    ],
)
def test_probabilities_that_are_none_are_told(shares, message, tmp_path):
    file = tmp_path / "p.jsonl"
    file.write_text(line(probabilities=shares) + "\n")
    with pytest.raises(UserError) as caught:
        read(file, "labels", ["no", "yes"])
    assert message in str(caught.value)


def test_a_choice_that_a_row_does_not_have_is_never_probable(tmp_path):
    file = tmp_path / "p.jsonl"
    file.write_text(line(probabilities={"no": 1.0}) + "\n")
    found = read(file, "labels", ["no", "yes"]).predictions.probabilities
    assert found.tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty (0 bytes)"),
        (b"\n \n", "holds no rows"),
        (b"\xef\xbb\xbf{}\n", "byte order mark"),
        ('{"a": 1}'.encode("utf-16"), "is UTF-16 or binary"),
        (b'{"id": "\xe9"}\n', "byte 0xe9 at byte offset"),
    ],
)
def test_a_file_that_is_no_such_file_is_told(content, message, tmp_path):
    file = tmp_path / "p.jsonl"
    file.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read(file, "texts")
    assert message in str(caught.value)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read(tmp_path / "p.jsonl", "texts")
    with pytest.raises(UserError, match="is a directory"):
        read(tmp_path, "texts")


def test_blank_lines_and_windows_line_ends_keep_the_numbers_of_lines(tmp_path):
    file = tmp_path / "p.jsonl"
    file.write_bytes(f"{GOOD}\r\n\r\n{line(prediction='maybe')}\r\n".encode())
    with pytest.raises(UserError, match=r"p\.jsonl:3 has the prediction"):
        read(file, "labels", ["no", "yes"])


def test_the_fingerprint_is_of_ids_and_references_alone(tmp_path):
    def found(rows):
        write_jsonl(tmp_path / "p.jsonl", rows)
        return fingerprint(read(tmp_path / "p.jsonl", "labels", ["no", "yes"]))

    one, two = {"id": 1, "reference": "no"}, {"id": "1", "reference": "yes"}
    first = found([{**one, "prediction": "no"}, {**two, "prediction": "no"}])
    assert first == found([{**two, "prediction": "yes"}, {**one, "prediction": "no"}])
    assert first != found([{**one, "prediction": "no"}])
    assert first != found([{**one, "id": 2, "prediction": "no"}, {**two, "prediction": "no"}])
    assert first != found(
        [{**one, "reference": "yes", "prediction": "no"}, {**two, "prediction": "no"}]
    )


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(st.text(), min_size=1, max_size=3), st.text()), min_size=1, max_size=5
    )
)
def test_any_text_comes_back(tmp_path_factory, pairs):
    file = tmp_path_factory.mktemp("any") / "p.jsonl"
    rows = [
        {"id": number, "reference": right, "prediction": told}
        for number, (right, told) in enumerate(pairs)
    ]
    write_jsonl(file, rows)
    assert list(rows_of(read(file, "texts"))) == rows


def test_many_rows_are_read_soon(tmp_path):
    labels = ["negative", "neutral", "positive"]
    row = '{"id": %d, "reference": "neutral", "prediction": "positive", "probabilities": {"negative": 0.1234567890123, "neutral": 0.3765432109877, "positive": 0.5}}\n'
    file = tmp_path / "p.jsonl"
    file.write_text("".join(row % number for number in range(20_000)))
    start = time.process_time()
    found = read(file, "labels", labels)
    assert time.process_time() - start < 4  # less than half a second on an idle core
    assert len(found) == 20_000
