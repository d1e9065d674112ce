"""The task text-classification: labels, heads, losses, encoding and answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import TINY_BERT
from datasets import ClassLabel, Dataset, Features, List, Value
from transformers import AutoModelForSequenceClassification, BertConfig

from nlpbench import models
from nlpbench.config.errors import UserError
from nlpbench.config.sections import ModelSection
from nlpbench.tasks import Bundle
from nlpbench.tasks.text_classification import TextClassification


def task(**options):
    return TextClassification(name="text-classification", **options)


def locate(index):
    return f"train.csv, row {index + 1}"


def rows(labels, feature=None, column="label"):
    values = {"text": ["x"] * len(labels), column: labels}
    features = Features({"text": Value("string"), column: feature}) if feature else None
    return Dataset.from_dict(values, features=features)


def labelled(values, feature=None, **options):
    """Class names, and what the references are, in the training rows themselves."""
    data, this = rows(values, feature), task(**options)
    names = this.find_labels(data, locate)
    return names, this.references(data, names, locate).tolist()


MULTI = {"problem_type": "multi_label_classification"}


@pytest.mark.parametrize(
    ("labels", "names", "ids"),
    [
        (["b", "a", "C", "b"], ["C", "a", "b"], [2, 1, 0, 2]),
        ([10, 9, 100], ["9", "10", "100"], [1, 0, 2]),
        ([-1, 1, 0], ["-1", "0", "1"], [0, 2, 1]),
        ([True, False, True], ["false", "true"], [1, 0, 1]),
        (["10", "9"], ["10", "9"], [0, 1]),
    ],
)
def test_labels_are_sorted(labels, names, ids):
    assert labelled(labels) == (names, ids)


def test_label_names_of_the_data():
    feature = ClassLabel(names=["neg", "pos", "none"])
    assert labelled([1, 0, 1], feature) == (["neg", "pos", "none"], [1, 0, 1])


def test_label_names_of_the_config():
    names = ["World", "Sports", "Tech"]
    assert labelled([2, 0, 2], labels=names) == (names, [2, 0, 2])


def test_words_that_the_config_lists_keep_its_order():
    assert labelled(["low", "high"], labels=["low", "high"]) == (["low", "high"], [0, 1])


def test_label_lists():
    assert labelled([["b", "a"], [], ["c"]], **MULTI) == (
        ["a", "b", "c"],
        [[1, 1, 0], [0, 0, 0], [0, 0, 1]],
    )
    named = List(ClassLabel(names=["x", "y"]))
    assert labelled([[1], [0, 1]], named, **MULTI) == (["x", "y"], [[0, 1], [1, 1]])
    assert labelled([[10], [9, 10]], **MULTI) == (["9", "10"], [[0, 1], [1, 1]])


def test_label_columns():
    data = Dataset.from_dict({"text": ["x", "y"], "b": [1, 0], "a": [True, True], "c": [0.0, 1.0]})
    this = task(label_columns=["b", "a", "c"], **MULTI)
    assert this.columns == ["text", "b", "a", "c"]
    assert this.find_labels(data, locate) == ["b", "a", "c"]
    assert this.references(data, ["b", "a", "c"], locate).tolist() == [[1, 1, 0], [0, 1, 1]]


def test_numbers():
    assert labelled([1, 2.5, -100], problem_type="regression") == ([], [1.0, 2.5, -100.0])


def test_a_fine_tuned_model_meets_labels_in_another_case():
    names = ["NEGATIVE", "POSITIVE"]
    assert task().references(rows(["positive", "Negative"]), names, locate).tolist() == [1, 0]


def test_labels_that_differ_only_in_case_are_not_mixed_up():
    with pytest.raises(UserError, match='the label "UP" in the column label is none of those'):
        task().references(rows(["UP"]), ["up", "Up", "down"], locate)


def test_a_model_with_generic_labels_takes_ids():
    names = ["LABEL_0", "LABEL_1", "LABEL_2"]
    assert task().references(rows([2, 0]), names, locate).tolist() == [2, 0]
    assert task().references(rows(["LABEL_1"]), names, locate).tolist() == [1]
    feature = ClassLabel(names=["a", "b", "c"])
    assert task().references(rows([2, 0], feature), names, locate).tolist() == [2, 0]
    flags = task(**MULTI).references(rows([[2, 0]]), names, locate)
    assert flags.tolist() == [[1, 0, 1]]


@pytest.mark.parametrize(
    ("problem_type", "labels"),
    [
        ("single_label_classification", torch.tensor([2, 0, 1, 1])),
        (
            "multi_label_classification",
            torch.tensor([[1.0, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]]),
        ),
        ("regression", torch.tensor([0.5, -1.0, 3.0, 2.0])),
    ],
)
def test_losses_are_those_of_transformers(problem_type, labels):
    this = task(problem_type=problem_type)
    head = this.head([] if problem_type == "regression" else ["a", "b", "c"])
    torch.manual_seed(0)
    config = BertConfig(**{k: v for k, v in TINY_BERT.items() if k != "model_type"}, **head)
    model = AutoModelForSequenceClassification.from_config(config).eval()
    outputs = model(input_ids=torch.arange(20).reshape(4, 5), labels=labels)
    mine = this.loss(outputs.logits, labels) / labels.numel()
    torch.testing.assert_close(mine, outputs.loss)


def test_answers():
    logits = np.array([[2.0, 1.0, -1.0], [-3.0, 0.5, 0.0]], dtype=np.float32)
    single = task().decode(logits)
    assert single.answers.tolist() == [0, 1]
    expected = torch.softmax(torch.tensor(logits, dtype=torch.float64), -1).numpy()
    assert single.probabilities == pytest.approx(expected, abs=1e-15)
    several = task(threshold=0.6, **MULTI).decode(logits)
    assert several.answers.tolist() == [[1, 1, 0], [0, 1, 0]]
    assert several.probabilities[0] == pytest.approx([0.880797078, 0.731058579, 0.268941421])
    value = task(problem_type="regression").decode(logits[:, :1])
    assert value.answers.tolist() == [2.0, -3.0]
    assert value.probabilities is None


@pytest.fixture(scope="module")
def tokenizer():
    section = ModelSection(config=TINY_BERT, tokenizer={"train": {"vocab_size": 300}})
    return models.tokenizer(section, ["one two three four five six seven eight nine ten"] * 3)


def test_what_is_cut_off_is_counted(tokenizer):
    data = rows(["a"] * 3).map(
        lambda row, index: {"text": "one " * (index * 6)}, with_indices=True, keep_in_memory=True
    )
    features = task(max_length=8).encode(data, None, Bundle(tokenizer))
    assert features["whole_length"][:] == [2, 8, 14]
    assert features["length"][:] == [2, 8, 8]
    assert [len(ids) for ids in features["input_ids"][:]] == [2, 8, 8]
    assert features[2]["input_ids"][-1] == tokenizer.sep_token_id
    assert "labels" not in features.column_names


def test_a_long_pair_is_cut_at_its_longer_text(tokenizer):
    data = Dataset.from_dict(
        {"text": ["one two"], "other": ["three four five six seven eight nine"], "label": ["a"]}
    )
    features = task(text_pair_column="other", max_length=8).encode(data, None, Bundle(tokenizer))
    words = tokenizer.convert_ids_to_tokens(features[0]["input_ids"])
    assert words == "[CLS] one two [SEP] three four five [SEP]".split()
    assert features[0]["token_type_ids"] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert features[0]["whole_length"] == 12


def test_a_length_that_leaves_no_room_for_text(tokenizer):
    data = Dataset.from_dict({"text": ["one two"], "other": ["three"], "label": ["a"]})
    this = task(text_pair_column="other", max_length=2)
    with pytest.raises(UserError) as caught:
        this.encode(data, None, Bundle(tokenizer))
    assert str(caught.value) == (
        "task.max_length is 2, and 3 tokens of every row are special ones; make it longer"
    )


def test_the_texts_of_a_pair_are_audited_together():
    data = Dataset.from_dict({"text": ["a"], "other": ["b"], "label": ["x"]})
    texts = task(text_pair_column="other").texts(data, locate)
    assert (list(texts), len(texts), texts[0], texts[:1]) == (["a\nb"], 1, "a\nb", ["a\nb"])


def test_rows_of_predictions():
    this = task()
    predictions = this.decode(np.array([[0.0, 0.0, 9.0]], dtype=np.float32))
    [row] = this.rows_of(predictions, np.array([1]), ["a", "b", "c"])
    assert (row["reference"], row["prediction"]) == ("b", "c")
    assert list(row["probabilities"]) == ["a", "b", "c"]
    several = task(**MULTI)
    predictions = several.decode(np.array([[1.0, -1.0, 1.0]], dtype=np.float32))
    [row] = several.rows_of(predictions, np.array([[0, 1, 1]]), ["a", "b", "c"])
    assert (row["reference"], row["prediction"]) == (["b", "c"], ["a", "c"])


@pytest.mark.parametrize(
    ("options", "trained_for", "message"),
    [
        (
            {},
            {"problem_type": "regression", "num_labels": 1},
            "the model was trained for regression, and task.problem_type is "
            "single_label_classification",
        ),
        (
            MULTI,
            {"problem_type": "single_label_classification", "num_labels": 3},
            "the model was trained for single_label_classification, and task.problem_type is "
            "multi_label_classification",
        ),
        (
            {"problem_type": "regression"},
            {"num_labels": 3},
            "the model has 3 outputs, and a regression needs one",
        ),
        (
            {},
            {"num_labels": 1},
            "the model has one output, and classes need two or more; for a number write "
            "problem_type: regression",
        ),
    ],
)
def test_a_model_of_another_problem(options, trained_for, message):
    config = BertConfig(**{k: v for k, v in TINY_BERT.items() if k != "model_type"}, **trained_for)
    model = AutoModelForSequenceClassification.from_config(config)
    with pytest.raises(UserError) as caught:
        task(**options).labels_of(model)
    assert str(caught.value) == message


def test_names_of_a_model_whose_problem_is_not_told():
    config = BertConfig(**{k: v for k, v in TINY_BERT.items() if k != "model_type"}, num_labels=3)
    model = AutoModelForSequenceClassification.from_config(config)
    assert task().labels_of(model) == ["LABEL_0", "LABEL_1", "LABEL_2"]
