"""The task multiple-choice: reading choices, encoding, the loss of every head, and answers."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import MODEL_TYPES, pairs, tiny, tiny_tokenizer

from nlpbench.config.errors import UserError
from nlpbench.config.load import loads
from nlpbench.config.yaml12 import dump
from nlpbench.runs.evaluate import evaluate
from nlpbench.runs.finetune import finetune
from nlpbench.tasks import Bundle
from nlpbench.tasks.multiple_choice import MultipleChoice

HEAD = "AutoModelForMultipleChoice"
CHOICES = [
    ["closes late.", "opens.", "runs across the wet grass"],
    ["It's behind the old town hall.", "(again).", "laugh."],
]
ROWS = {
    "context": ["The café on the corner opens at seven, and", "Where is the station?"],
    "choices": CHOICES,
    "label": [0, 0],
}


def task(**options):
    return MultipleChoice(name="multiple-choice", **options)


def locate(index):
    return f"train.jsonl, row {index + 1}"


def rows(**columns):
    return Dataset.from_dict({**ROWS, **columns})


def right(labels, choices=None, **options):
    data = rows(label=labels, **({"choices": choices} if choices else {}))
    this = task(**options)
    return this.references(data, this.find_labels(data, locate), locate).tolist()


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([2, 0], [2, 0]),
        (["C", "a"], [2, 0]),
        (["2", "1"], [2, 1]),
        (["opens.", "It's behind the old town hall."], [1, 0]),
    ],
)
def test_a_label_is_a_number_a_letter_or_a_text(labels, expected):
    assert right(labels) == expected


def test_numbers_may_begin_with_one():
    assert right([1, 3], first_label=1) == [0, 2]
    assert right(["1", "3"], first_label=1) == [0, 2]


def test_a_text_that_is_a_number_of_its_own_place_is_no_doubt():
    assert right(["1", "0"], [["0", "1", "2"], ["0", "1", "2"]]) == [1, 0]


@pytest.mark.parametrize(
    ("labels", "choices", "message"),
    [
        ([0, 3], None, "row 2: the column label holds 3, and the choices are 0 to 2; write first_"),
        ([0, 7], None, "row 2: the column label holds 7, and the choices are 0 to 2$"),
        ([-1, 0], None, "row 1: the column label holds -1, so this split's labels are hidden"),
        (["", "A"], None, "row 1: the column label has no label here"),
        ([None, 1], None, "row 1: the column label has no label here"),
        ([0.0, 1.5], None, "row 1: the column label holds no label .got 0.0."),
        (["A", "D"], None, "row 2: the column label names none of the 3 choices .got .D.."),
        (["A", "b."], None, "row 2: the column label names none"),
        (
            ["x", "x"],
            [["x", "x", "y"]] * 2,
            r"row 1: .* stands there twice \(.x.\); write its number",
        ),
        (["1", "1"], [["1", "2", "3"]] * 2, "row 1: .* text of a choice and the number or letter"),
        (["A", "A"], [["B", "A", "C"]] * 2, "row 1: .* text of a choice and the number or letter"),
    ],
)
def test_a_label_that_means_no_choice_is_told_with_its_row(labels, choices, message):
    with pytest.raises(UserError, match=message):
        right(labels, choices)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        (
            [["a", "b"], ["a", "b", "c"]],
            "row 2: 3 choices in the column choices, and 2 in the rows",
        ),
        ([["a", "b"], None], "row 2: the column choices must hold lists of texts .got null."),
        ([["a", "b"], ["a", None]], "row 2: choice 2 in the column choices is null"),
        (["a", "b"], "row 1: the column choices must hold lists of texts .got .a.."),
        ([[1, 2], [3, 4]], "row 1: the column choices must hold lists of texts"),
        ([["a"], ["b"]], "row 1: the column choices has 1 choices; 2 to 26"),
    ],
)
def test_choices_that_cannot_be_read_are_told_with_their_row(choices, message):
    with pytest.raises(UserError, match=message):
        task().find_labels(rows(choices=choices), locate)


def test_a_context_that_is_no_text_is_told_with_its_row():
    with pytest.raises(UserError, match="row 2: the column context is empty"):
        task().texts(rows(context=["x", None]), locate)


def test_more_choices_than_the_model_knows_are_refused():
    with pytest.raises(UserError, match="3 choices, and the model was trained on 2"):
        task().references(rows(), ["A", "B"], locate)


def test_choices_in_columns_of_their_own_are_the_same_features():
    columns = {f"ending{place}": [row[place] for row in CHOICES] for place in range(3)}
    data = Dataset.from_dict({"sent1": ROWS["context"], **columns, "label": ["1", "2"]})
    split = task(context_column="sent1", choice_columns=sorted(columns), max_length=32)
    assert split.columns == ["sent1", "ending0", "ending1", "ending2", "label"]
    assert split.find_labels(data, locate) == ["A", "B", "C"]
    assert split.references(data, ["A", "B", "C"], locate).tolist() == [1, 2]
    bundle = Bundle(tiny_tokenizer("bert"))
    assert (
        split.encode(data, None, bundle).to_list()
        == task(max_length=32).encode(rows(), None, bundle).to_list()
    )


@pytest.mark.parametrize("model_type", ["bert", "roberta", "xlnet"])
def test_each_choice_is_paired_with_the_context(model_type):
    tokenizer = tiny_tokenizer(model_type)
    data = rows(ask=["So it", "It is"])
    features = task(question_column="ask", max_length=64).encode(
        data, np.array([0, 2]), Bundle(tokenizer)
    )
    assert features["labels"][:] == [0, 2]
    for number, row in enumerate(features):
        texts = [f"{data['ask'][number]} {choice}" for choice in CHOICES[number]]
        wanted = tokenizer([ROWS["context"][number]] * 3, texts)
        for key in tokenizer.model_input_names:
            assert row[key] == wanted[key]
        assert row["length"] == row["whole_length"] == sum(map(len, wanted["input_ids"]))


def test_what_is_cut_off_is_counted():
    tokenizer = tiny_tokenizer("bert")
    [row] = task(max_length=12).encode(rows().select([0]), None, Bundle(tokenizer))
    assert [len(ids) for ids in row["input_ids"]] == [12] * 3
    assert row["length"] == 36
    whole = tokenizer([ROWS["context"][0]] * 3, CHOICES[0])["input_ids"]
    assert row["whole_length"] == sum(map(len, whole))
    with pytest.raises(UserError, match="max_length is 3, and 3 tokens of every text are special"):
        task(max_length=3).encode(rows(), None, Bundle(tokenizer))


@pytest.mark.parametrize("model_type", [one for one, _ in pairs(HEAD)])
def test_the_loss_is_that_of_transformers(model_type):
    tokenizer = tiny_tokenizer(model_type)
    this = task(max_length=32)
    model = tiny(model_type, HEAD, tokenizer, this.head(["A", "B", "C"])).eval()
    bundle = Bundle(tokenizer, model, ["A", "B", "C"])
    features = this.encode(rows(), np.array([2, 0]), bundle)
    batch = dict(this.collate(bundle)(features.to_list()))
    assert batch["input_ids"].shape[:2] == (2, 3)
    with torch.no_grad():
        wanted = model(**batch)
        found = this.infer(bundle, batch)
        alone = [
            this.infer(bundle, this.collate(bundle)([{**row}])).values[0]
            for row in features.remove_columns("labels")
        ]
    np.testing.assert_allclose(found.losses / found.targets, [float(wanted.loss)], rtol=1e-5)
    np.testing.assert_allclose(found.values, wanted.logits.numpy(), atol=1e-6)
    np.testing.assert_allclose(found.values, alone, atol=1e-5)  # whatever the padding


def test_every_architecture_with_such_a_head_is_tested():
    assert {one for one, _ in pairs(HEAD)} == set(MODEL_TYPES) - {
        *("gpt2", "llama", "t5", "mt5", "bart", "mbart", "pegasus", "marian")
    }


@given(
    st.integers(2, 5).flatmap(
        lambda count: st.lists(
            st.lists(st.floats(-9, 9, width=32), min_size=count, max_size=count),
            min_size=2,
            max_size=2,
        )
    )
)
def test_the_answer_is_the_choice_of_the_highest_score(scores):
    count = len(scores[0])
    data = rows(choices=[[f"choice {place}" for place in range(count)]] * 2)
    labels = list("ABCDE")
    found = task().decode(np.float32(scores), data, data, Bundle(None, None, labels))
    assert found.answers.tolist() == [int(np.argmax(row)) for row in scores]
    assert found.probabilities.shape == (2, 5)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)
    assert not found.probabilities[:, count:].any()
    written = task().rows_of(found, np.array([0, 1]), labels)
    for row, answer, reference in zip(written, found.answers, "AB", strict=True):
        assert row["reference"] == reference
        assert row["prediction"] == labels[answer]
        assert row["choice"] == f"choice {answer}"
        assert list(row["probabilities"]) == labels[:count]


def test_a_model_that_does_not_tell_its_letters_may_have_any_number_of_choices():
    model = tiny("bert", HEAD)
    assert len(task().labels_of(model)) == 26
    assert task(choice_columns=["x", "y", "z"]).labels_of(model) == ["A", "B", "C"]
    model = tiny("bert", HEAD, head=task().head(["A", "B", "C", "D"]))
    assert task().labels_of(model) == ["A", "B", "C", "D"]


def test_columns_that_exclude_each_other_are_told():
    with pytest.raises(ValueError, match="excludes choices_column"):
        task(choices_column="a", choice_columns=["b", "c"])
    with pytest.raises(ValueError, match="names a column twice"):
        task(choice_columns=["b", "b"])


def steps(count):
    """The right choice repeats the context's last word."""
    words = "apple pear plum cherry grape melon lemon orange".split()
    made = []
    for number in range(count):
        places = [(number * 3 + step * (1 + number % 3)) % len(words) for step in range(4)]
        choices = list(dict.fromkeys(words[place] for place in places))[:2]
        label = number % 2
        made.append({"context": f"take the {choices[label]}", "choices": choices, "label": label})
    return made


def test_a_run_scores_what_its_predictions_say(tmp_path):
    for name, count in (("train", 32), ("validation", 8), ("test", 12)):
        lines = [json.dumps(row) + "\n" for row in steps(count)]
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
    values = {
        "model": {
            "config": {
                "model_type": "bert",
                "hidden_size": 32,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "intermediate_size": 64,
            },
            "tokenizer": {"train": {"vocab_size": 200}},
        },
        "data": {"source": str(tmp_path)},
        "task": {"name": "multiple-choice", "max_length": 24},
        "training": {
            "num_train_epochs": 2,
            "effective_batch_size": 8,
            "per_device_train_batch_size": 4,
            "learning_rate": 0.003,
            "precision": "fp32",
            "r_drop": {"alpha": 0.5},
        },
        "evaluation": {"resamples": 100, "metrics": ["accuracy", "brier"]},
    }
    config = loads(dump(values))
    [trained] = finetune(config, tmp_path / "run")
    lines = (tmp_path / "run" / "predictions.jsonl").read_text().splitlines()
    said = [json.loads(line) for line in lines]
    agreed = np.mean([row["reference"] == row["prediction"] for row in said])
    assert trained.scores["accuracy"].value == pytest.approx(agreed)
    assert [row["reference"] for row in said] == ["A", "B"] * 6
    assert trained.labels == ["A", "B"]
    [again] = evaluate(config, tmp_path / "again", [str(tmp_path / "run")])
    assert again.scores == trained.scores
    assert (tmp_path / "again" / "predictions.jsonl").read_text().splitlines() == lines
