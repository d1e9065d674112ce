"""Columns that cannot be meant so: each gets one message that names the row and the value."""

from __future__ import annotations

import math

import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from nlpbench.config.errors import UserError
from nlpbench.config.load import loads
from nlpbench.config.yaml12 import dump
from nlpbench.runs.finetune import finetune
from nlpbench.tasks.text_classification import TextClassification

MULTI = {"problem_type": "multi_label_classification"}
REGRESSION = {"problem_type": "regression"}
NAMED = ClassLabel(names=["neg", "pos"])
WHOLE = "write problem_type: regression, or make the labels whole numbers or words"

BAD = [
    # labels, feature, options, message
    (
        ["a", None, "b", ""],
        None,
        {},
        "train.csv, row 2: the column label has no label here, nor in 1 more of 4 rows; label "
        "these rows or take them out",
    ),
    (
        [None, None],
        Value("string"),
        {},
        "train.csv, row 1: the column label has no label here, nor in 1 more of 2 rows; label "
        "these rows or take them out",
    ),
    (
        ["a", None, "b"],
        None,
        {},
        "train.csv, row 2: the column label has no label here; label this row or take it out",
    ),
    (
        [1.5, 2.0],
        None,
        {},
        f"train.csv, row 1: 1.5 in the column label is no class label; {WHOLE}",
    ),
    (
        [0.0, 1.0],
        None,
        {},
        f"train.csv, row 1: 0.0 in the column label is no class label; {WHOLE}",
    ),
    (
        ["Spam", "ham", "spam"],
        None,
        {},
        'the column label holds both "Spam" and "spam"; if they are one class, write them alike',
    ),
    (
        ["spam", "ham", "ham "],
        None,
        {},
        'the column label holds both "ham" and "ham "; if they are one class, write them alike',
    ),
    (
        ["a", "a"],
        None,
        {},
        "the column label holds only one class (a) in the training rows (train.csv, row 1 on); "
        "there is nothing to tell apart",
    ),
    (
        [["a"], ["b", "a"]],
        None,
        {},
        'train.csv, row 1: ["a"] in the column label is no class label; write problem_type: '
        "multi_label_classification",
    ),
    (
        [{"a": 1}, {"a": 2}],
        None,
        {},
        'train.csv, row 1: {"a": 1} in the column label is no class label; labels are words or '
        "whole numbers",
    ),
    (
        [0, 1, 3],
        None,
        {"labels": ["no", "yes"]},
        "train.csv, row 3: the label 3 in the column label has no name among the 2 given (no, yes)",
    ),
    (
        [0, -1, 1],
        None,
        {"labels": ["no", "yes"]},
        "train.csv, row 2: the label -1 in the column label has no name among the 2 given "
        "(no, yes)",
    ),
    (
        [0, -1, 1],
        NAMED,
        {},
        "train.csv, row 2: the label is -1, so this split's labels are hidden; score another one "
        "with evaluation.split",
    ),
    (
        ["a", "b"],
        None,
        MULTI,
        'train.csv, row 1: the column label must hold lists of labels (got "a")',
    ),
    (
        [["a"], None],
        None,
        MULTI,
        "train.csv, row 2: the column label must hold lists of labels (got null)",
    ),
    (
        [["a", None], ["b"]],
        List(Value("string")),
        MULTI,
        "train.csv, row 1: null in the column label is no class label; labels are words or whole "
        "numbers",
    ),
    (
        [["a"], ["a"]],
        None,
        MULTI,
        "the column label holds only one class (a) in the training rows (train.csv, row 1 on); "
        "there is nothing to tell apart",
    ),
    (
        ["1.5", "2"],
        None,
        REGRESSION,
        'train.csv, row 1: the column label must hold numbers for a regression (got "1.5")',
    ),
    (
        [1.0, None],
        None,
        REGRESSION,
        "train.csv, row 2: the column label has no label here; label this row or take it out",
    ),
    (
        [1.0, math.inf],
        None,
        REGRESSION,
        "train.csv, row 2: the column label must hold numbers for a regression (got .inf)",
    ),
    (
        [True, False],
        None,
        REGRESSION,
        "train.csv, row 1: the column label must hold numbers for a regression (got true)",
    ),
    (
        [[1.0], [2.0]],
        None,
        REGRESSION,
        "train.csv, row 1: the column label must hold numbers for a regression (got [1.0])",
    ),
]


def locate(index):
    return f"train.csv, row {index + 1}"


def read(data, **options):
    task = TextClassification(name="text-classification", **options)
    task.texts(data, locate)
    return task.references(data, task.find_labels(data, locate), locate)


@pytest.mark.parametrize(("labels", "feature", "options", "message"), BAD)
def test_bad_label_columns(labels, feature, options, message):
    features = Features({"text": Value("string"), "label": feature}) if feature else None
    data = Dataset.from_dict({"text": ["x"] * len(labels), "label": labels}, features=features)
    with pytest.raises(UserError) as caught:
        read(data, **options)
    assert str(caught.value) == message


@pytest.mark.parametrize("value", [2, 0.5, None, "1", math.nan])
def test_bad_columns_of_zeros_and_ones(value):
    from nlpbench.config.problems import show

    data = Dataset.from_dict({"text": ["x", "y"], "a": [0, 1], "b": [value, value]})
    with pytest.raises(UserError) as caught:
        read(data, label_columns=["a", "b"], **MULTI)
    shown = show(value)
    assert str(caught.value) == f"train.csv, row 1: the column b must hold 0 or 1 (got {shown})"


@pytest.mark.parametrize(
    ("texts", "what"),
    [
        (["fine", None], "is empty (null)"),
        ([["a", "b"], ["c"]], 'holds no text (got ["a", "b"])'),
        ([3, 4], "holds no text (got 3)"),
        ([1.5, 2.5], "holds no text (got 1.5)"),
        ([True, False], "holds no text (got true)"),
        ([{"en": "a"}, {"en": "b"}], 'holds no text (got {"en": "a"})'),
    ],
)
@pytest.mark.parametrize("column", ["text", "other"])
def test_bad_text_columns(texts, what, column):
    data = Dataset.from_dict({"text": ["x", "y"], "other": ["x", "y"], "label": ["a", "b"]})
    data = data.remove_columns(column).add_column(column, texts)
    with pytest.raises(UserError) as caught:
        read(data, text_pair_column="other")
    row = 2 if texts[0] == "fine" else 1
    assert str(caught.value) == f"train.csv, row {row}: the column {column} {what}"


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_label_that_training_never_saw(tiny_config, topics, tmp_path, split):
    with (topics / f"{split}.jsonl").open("a") as stream:
        stream.write('{"text": "a whale", "label": "fish"}\n')
    with pytest.raises(UserError) as caught:
        finetune(loads(dump(tiny_config)), tmp_path / "run")
    number = {"validation": 16, "test": 19}[split]
    assert str(caught.value) == (
        f'{topics}/{split}.jsonl, row {number}: the label "fish" in the column label is none of '
        "those of the model (birds, fruit, tools), which come from its training rows"
    )
    assert not (tmp_path / "run").exists()


def test_bad_labels_through_the_program(tiny_config, topics, write_config, nlpbench, tmp_path):
    text = (topics / "train.jsonl").read_text().replace('"label": "tools"', '"label": null')
    (topics / "train.jsonl").write_text(text)
    done = nlpbench("finetune", write_config(tiny_config), "-o", "run", check=2)
    assert done.stderr.splitlines()[-1] == (
        f"error: {topics}/train.jsonl, row 3: the column label has no label here, nor in 15 more "
        "of 48 rows; label these rows or take them out"
    )
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()
