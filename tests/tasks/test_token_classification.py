"""The task token-classification: tags, windows, losses, entities, and whole runs."""

from __future__ import annotations

import itertools
import json
import logging
import re

import numpy as np
import pytest
import torch
from conftest import TINY_BERT, write_jsonl
from datasets import ClassLabel, Dataset, Features, List, Value
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from seqeval.metrics import f1_score
from seqeval.scheme import IOB2
from tiny_models import tiny, tiny_tokenizer
from transformers import BertConfig, BertForTokenClassification, PreTrainedTokenizer

from nlpbench import models
from nlpbench.config.errors import UserError
from nlpbench.config.load import load
from nlpbench.config.training import TrainingSection
from nlpbench.runs.evaluate import evaluate
from nlpbench.runs.finetune import finetune
from nlpbench.tasks import Bundle, objects
from nlpbench.tasks.tagging import word_windows as windows
from nlpbench.tasks.token_classification import TokenClassification
from nlpbench.training.objective import build

AUTO = "AutoModelForTokenClassification"
LABELS = ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]


def task(**options):
    return TokenClassification(name="token-classification", **options)


def locate(index):
    return f"train.conll, row {index + 1}"


def rows(tags, tokens=None, feature=None):
    tokens = tokens or [[f"w{place}" for place in range(len(row))] for row in tags]
    kinds = {"tokens": List(Value("string")), "tags": List(feature or Value("string"))}
    return Dataset.from_dict({"tokens": tokens, "tags": tags}, features=Features(kinds))


def read(tags, feature=None, **options):
    """The class names, and the references, of the training rows themselves."""
    data, this = rows(tags, feature=feature), task(**options)
    names = this.find_labels(data, locate)
    return names, this.references(data, names, locate).tolist()


# --- tags


@pytest.mark.parametrize(
    ("scheme", "tags"),
    [
        ("iob2", [["B-PER", "I-PER", "B-PER", "O", "B-LOC"]]),
        ("iob1", [["I-PER", "I-PER", "B-PER", "O", "I-LOC"]]),
        ("ioe", [["I-PER", "E-PER", "E-PER", "O", "E-LOC"]]),
        ("bilou", [["B-PER", "L-PER", "U-PER", "O", "U-LOC"]]),
        ("bioes", [["B-PER", "E-PER", "S-PER", "O", "S-LOC"]]),
        ("bmes", [["B-PER", "E-PER", "W-PER", "O", "W-LOC"]]),
    ],
)
def test_every_scheme_is_found_out_and_becomes_iob2(scheme, tags, caplog):
    expected = (LABELS, [["B-PER", "I-PER", "B-PER", "O", "B-LOC"]])
    with caplog.at_level(logging.INFO, "nlpbench"):
        assert read(tags) == expected
    converted = "" if scheme == "iob2" else ", converted to IOB2"
    assert f"tags: {scheme.upper()} in the training rows{converted}" in caplog.messages
    assert read(tags, scheme=scheme) == expected


def test_types_side_by_side_are_entities_if_told():
    names, references = read([["PER", "PER", "O", "LOC", "PER"]], scheme="io")
    assert names == LABELS
    assert references == [["B-PER", "I-PER", "O", "B-LOC", "B-PER"]]


def test_tags_of_words_are_left_as_they_are():
    this = task(scheme="none")
    assert read([["NOUN", "VERB", "B-X"]], scheme="none") == (
        ["B-X", "NOUN", "VERB"],
        [["NOUN", "VERB", "B-X"]],
    )
    assert this.default_metrics() == [{"name": "token-accuracy"}]
    assert [metric["name"] for metric in task().default_metrics()] == [
        *("entity-f1", "token-accuracy")
    ]


def test_names_of_the_data():
    feature = ClassLabel(names=["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG"])
    names, references = read([[1, 2, 0, 3]], feature)
    assert names == feature.names
    assert references == [["B-PER", "I-PER", "O", "B-LOC"]]


def test_names_of_the_config_are_in_the_scheme_of_the_data():
    given_names = ["O", "U-PER", "B-PER", "L-PER", "I-PER", "U-LOC"]
    names, references = read([[2, 4, 3, 0, 5]], Value("int64"), labels=given_names)
    assert names == ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    assert references == [["B-PER", "I-PER", "I-PER", "O", "B-LOC"]]


def test_types_that_the_config_names_need_no_training_row():
    names = task(labels=["O", "B-MISC", "B-PER"]).find_labels(rows([["B-LOC"]]), locate)
    assert names == [*("O", "B-MISC", "I-MISC", "B-PER", "I-PER", "B-LOC", "I-LOC")]


def test_another_split_may_hold_an_i_that_training_rows_do_not():
    names = task().find_labels(rows([["B-PER", "O"]]), locate)
    found = task().references(rows([["B-PER", "I-PER"]]), names, locate)
    assert found.tolist() == [["B-PER", "I-PER"]]


def test_faults_are_told_and_read_all_the_same(caplog):
    tags = [["B-PER", "O"], ["O", "I-PER", "I-LOC"]]
    assert read(tags)[1] == [["B-PER", "O"], ["O", "B-PER", "B-LOC"]]
    assert caplog.messages == [
        'train.conll, row 2, word 2 ("w1"): the tag "I-PER" breaks the rules of IOB2, and 1 more '
        "do; they are read all the same"
    ]
    assert read(tags, scheme="iob1")[1] == [["B-PER", "O"], ["O", "B-PER", "B-LOC"]]


@pytest.mark.parametrize(
    ("tags", "options", "message"),
    [
        (
            [["B-PER", "O"], ["O", "I-PER"]],
            {"scheme": "iob2"},
            'train.conll, row 2, word 2 ("w1"): the tag "I-PER" breaks the rules of IOB2; mend the '
            "tags, or write task.scheme: auto to have them read as they are",
        ),
        (
            [["B-PER", "U-PER"]],
            {"scheme": "iob2"},
            'train.conll, row 1, word 2 ("w1"): "U-PER" is no tag of IOB2, which task.scheme names; '
            "leave it out to have the scheme found out",
        ),
        (
            [["O", "NOUN"]],
            {},
            'train.conll, row 1, word 2 ("w1"): "NOUN" is no tag of an entity, such as B-PER, '
            "I-PER or O; write task.scheme: io if it is a type of entities, or none if words have "
            "tags of their own, such as parts of speech",
        ),
        (
            [["U-PER", "S-PER"]],
            {},
            "train.conll, row 1 on: the tags of the column tags begin with S, U, and no scheme has "
            "them all; name it with task.scheme, and the first tag that does not belong will be "
            "shown",
        ),
        (
            [["O", "O"]],
            {},
            "train.conll, row 1 on: the column tags holds no entity in the training rows (O); "
            "there is nothing to learn",
        ),
        (
            [["X", "X"]],
            {"scheme": "none"},
            "train.conll, row 1 on: the column tags holds only one tag in the training rows (X); "
            "there is nothing to learn",
        ),
        (
            [["B-PER"]],
            {"labels": ["O", "PER"]},
            'the name "PER" of the column tags is no tag of an entity, such as B-PER, I-PER or O; '
            "write task.scheme: io if it is a type of entities, or none if words have tags of "
            "their own, such as parts of speech",
        ),
        (
            [["O", None]],
            {},
            'train.conll, row 1, word 2 ("w1"): has no tag in the column tags; tags are words or '
            "whole numbers",
        ),
    ],
)
def test_tags_that_cannot_be_meant_so(tags, options, message):
    with pytest.raises(UserError) as caught:
        read(tags, **options)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("tag", "feature", "names", "message"),
    [
        (3, Value("int64"), None, "has the tag 3 in the column tags, a number without a name; "),
        (3, Value("int64"), ["O", "B-PER"], "has the tag 3 in the column tags, and there are "),
        (-1, ClassLabel(names=["O", "B-X"]), None, "has the tag -1, so this split's tags are hid"),
        (1.5, Value("float64"), None, "has the tag 1.5 in the column tags; tags are words or whol"),
    ],
)
def test_numbers_that_are_no_tags(tag, feature, names, message):
    with pytest.raises(UserError) as caught:
        read([[tag]], feature, labels=names)
    assert str(caught.value).startswith(f'train.conll, row 1, word 1 ("w0"): {message}')


def test_a_type_that_the_training_rows_do_not_hold():
    with pytest.raises(UserError) as caught:
        task().references(rows([["O"], ["O", "B-ORG"]]), LABELS, locate)
    assert str(caught.value) == (
        'train.conll, row 2, word 2 ("w1"): the tag "B-ORG" is none of those of the model '
        "(O, B-LOC, I-LOC, B-PER, I-PER), which come from its training rows; task.labels can name "
        "more than they hold"
    )


def test_as_many_tags_as_words():
    data = rows([["O", "O"], ["O"]], [["a", "b"], ["c", "d"]])
    with pytest.raises(UserError) as caught:
        task().find_labels(data, locate)
    assert str(caught.value) == (
        "train.conll, row 2: 1 tags in the column tags for 2 words in tokens; give one tag for "
        "every word"
    )


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["a b", "c"], 'row 1: the column tokens must hold lists of words (got "a b")'),
        ([["a"], None], "row 2: the column tokens must hold lists of words (got null)"),
        ([[], [1, 2]], "row 2: the column tokens must hold lists of words (got [1, 2])"),
        ([["a"], ["b", None]], "row 2: word 2 in the column tokens is empty (null)"),
    ],
)
def test_words_that_are_none(tokens, message):
    data = Dataset.from_dict({"tokens": tokens, "tags": [["O"], ["O"]]})
    for method in (task().texts, task().find_labels):
        with pytest.raises(UserError) as caught:
            method(data, locate)
        assert str(caught.value) == f"train.conll, {message}"


def test_tags_that_are_no_lists():
    data = Dataset.from_dict({"tokens": [["a"]], "tags": ["O"]})
    with pytest.raises(UserError) as caught:
        task().find_labels(data, locate)
    assert str(caught.value) == (
        'train.conll, row 1: the column tags must hold lists of tags, one a word (got "O")'
    )


def test_rows_say_their_words_joined_by_a_space():
    texts = task().texts(rows([["O", "O"], []], [["It", "rains"], []]), locate)
    assert (list(texts), len(texts), texts[0], texts[:1]) == (
        ["It rains", ""],
        2,
        "It rains",
        ["It rains"],
    )
    assert list(task().tokenizer_texts(rows([["O"]], [["a"]]), locate)) == ["a"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": 16, "stride": 16}, "stride must be less than max_length, 16 (got 16)"),
        ({"labels": ["O", "B-X", "O"]}, "labels names a tag twice"),
        ({"scheme": "iob"}, 'scheme unknown value (got "iob")'),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(ValidationError, match=re.escape(f"Value error, {message} [")):
        task(**options)


# --- windows


@given(st.integers(1, 60), st.integers(2, 12), st.data())
@settings(max_examples=200, deadline=None)
def test_windows_cover_all_and_each_token_has_the_best(length, size, data):
    stride = data.draw(st.integers(0, size - 1))
    found = windows.cuts(length, size, stride)
    assert found[0][0] == 0
    assert found[-1][1] == length
    assert all(stop - start == min(size, length) for start, stop in found)
    for (_, stop), (start, _) in itertools.pairwise(found):
        assert stop - start >= stride

    def context(position, start, stop):
        left = position - start if start > 0 else length
        right = stop - 1 - position if stop < length else length
        return min(left, right)

    for position in range(length):
        best = found[windows.best_window(position, found, length)]
        around = [window for window in found if window[0] <= position < window[1]]
        assert best in around
        assert context(position, *best) == max(context(position, *one) for one in around)


def encoded(model_type, sentences, references=None, **options):
    tokenizer = models.for_words(tiny_tokenizer(model_type))
    this = task(**{"max_length": 32, **options})
    model = tiny(model_type, AUTO, tokenizer, this.head(LABELS), max_length=this.max_length)
    bundle = Bundle(tokenizer, model.eval(), LABELS)
    data = rows([["O"] * len(words) for words in sentences], sentences)
    return this, bundle, data, this.encode(data, references, bundle)


def test_features_of_a_long_sentence_are_exact():
    words = "a dog runs across the wet grass ; two children laugh .".split()
    references = objects([["O", "B-PER", *["O"] * 6, "B-LOC", "I-LOC", "O", "O"]])
    _, bundle, _, features = encoded("bert", [words], references, max_length=10, stride=4)
    tokens = [bundle.tokenizer.convert_ids_to_tokens(ids) for ids in features["input_ids"]]
    assert tokens == [
        ["[CLS]", *words[:8], "[SEP]"],
        ["[CLS]", *words[4:], "[SEP]"],
    ]
    assert features["words"][:] == [
        [-1, 0, 1, 2, 3, 4, 5, -1, -1, -1],
        [-1, -1, -1, 6, 7, 8, 9, 10, 11, -1],
    ]
    none = [-100]
    assert features["labels"][:] == [
        [*none, 0, 3, 0, 0, 0, 0, *none * 3],
        [*none * 3, 0, 0, 1, 2, 0, 0, *none],
    ]
    assert features["example"][:] == [0, 0]
    assert features["length"][:] == features["whole_length"][:] == [10, 10]


def test_the_first_token_of_a_word_is_learnt_and_all_by_option():
    words, references = ["Peter", "laugh"], objects([["B-PER", "O"]])
    first = encoded("bert", [words], references)[3]
    assert first["words"][0] == [-1, 0, 0, 0, 1, -1]
    assert first["labels"][0] == [-100, 3, -100, -100, 0, -100]
    every = encoded("bert", [words], references, label_all_tokens=True)[3]
    assert every["labels"][0] == [-100, 3, 4, 4, 0, -100]


def test_tags_of_words_are_the_same_for_all_tokens():
    tokenizer = tiny_tokenizer("bert")
    data = rows([["NOUN", "VERB"]], [["Peter", "laugh"]])
    this = task(scheme="none", label_all_tokens=True)
    bundle = Bundle(tokenizer, None, ["NOUN", "VERB"])
    features = this.encode(data, objects([["NOUN", "VERB"]]), bundle)
    assert features["labels"][0] == [-100, 0, 0, 0, 1, -100]


@pytest.mark.parametrize("model_type", ["roberta", "gpt2", "modernbert", "llama"])
def test_words_are_those_of_a_text(model_type):
    words = ["A", "dog", "runs", "across"]
    bare, prepared = tiny_tokenizer(model_type), models.for_words(tiny_tokenizer(model_type))
    assert windows.words_need_space(bare)
    assert not windows.words_need_space(prepared)
    found = [
        task().encode(rows([["O"] * 4], [words]), None, Bundle(tokenizer))["input_ids"][0]
        for tokenizer in (bare, prepared)
    ]
    assert found[0] == found[1] == bare(" A dog runs across")["input_ids"]


@pytest.mark.parametrize(
    "model_type", ["bert", "albert", "xlnet", "t5", "deberta-v2", "xlm-roberta", "electra"]
)
def test_words_that_need_no_space_get_none(model_type):
    tokenizer = tiny_tokenizer(model_type)
    assert not windows.words_need_space(tokenizer)
    features = task().encode(rows([["O"] * 3], [["A", "dog", "runs"]]), None, Bundle(tokenizer))
    assert features["input_ids"][0] == tokenizer("A dog runs")["input_ids"]


@pytest.mark.parametrize("model_type", ["bert", "roberta", "xlnet", "gpt2", "t5"])
def test_every_word_is_answered_once_in_every_architecture(model_type):
    long = [f"w{number}" for number in range(40)]
    sentences = [["A", "dog"], long, [], ["\u200b", ""], ["it", "\u200b", "rains"]]
    this, bundle, data, features = encoded(model_type, sentences, max_length=20, stride=6)
    answered = [[] for _ in sentences]
    for example, words in windows.answered(features):
        places = windows.first_tokens(words)
        assert len(words) <= 20
        answered[example] += words[places].tolist()
    vanishing = model_type == "bert"
    assert answered == [
        [0, 1],
        [*range(40)],
        [],
        [] if vanishing else [0],
        [0, 2] if vanishing else [0, 1, 2],
    ]
    collate = this.collate(bundle)
    with torch.no_grad():
        together = this.infer(bundle, collate([*features])).values
        alone = [this.infer(bundle, collate([feature])).values[0] for feature in features]
    assert [len(one) for one in together] == features["length"][:]
    for one, two in zip(together, alone, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-4)
    tags = this.decode(together, features, data, bundle).answers
    assert [len(one) for one in tags] == [len(words) for words in sentences]
    assert tags[3][1] == "O"
    if vanishing:
        assert tags[4][1] == "O"


def test_xlnet_keeps_its_special_tokens_behind_and_pads_in_front():
    this, bundle, _, features = encoded(
        "xlnet", [["A", "dog"], ["A"]], objects([["O", "B-PER"], ["O"]])
    )
    batch = this.collate(bundle)([*features])
    assert batch["input_ids"][1, 0] == bundle.tokenizer.pad_token_id
    assert batch["labels"].tolist()[0] == [0, 3, -100, -100]
    assert batch["labels"].tolist()[1] == [-100, 0, -100, -100]
    assert batch["token_type_ids"][0, -1] == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"max_length": 8, "stride": 6},
            "task.max_length is 8, of which 2 tokens are special ones and windows share 6 "
            "(task.stride); make it longer, or share fewer",
        ),
    ],
)
def test_windows_without_room(options, message):
    with pytest.raises(UserError) as caught:
        encoded("bert", [["A"]], **options)
    assert str(caught.value) == message


def test_a_tokenizer_that_does_not_tell_words():
    class Slow(PreTrainedTokenizer):
        vocab_size = 1

        def get_vocab(self):
            return {}

    with pytest.raises(UserError, match=r"^Slow does not tell the words of its tokens; take a "):
        task().encode(rows([["O"]]), None, Bundle(Slow()))


# --- losses and answers


@pytest.mark.parametrize("model_type", ["bert", "xlnet", "gpt2", "roberta"])
def test_the_loss_is_that_of_transformers(model_type):
    sentences = [["A", "dog", "runs"], ["Peter"]]
    references = objects([["O", "B-PER", "I-PER"], ["B-LOC"]])
    this, bundle, _, features = encoded(model_type, sentences, references)
    batch = dict(this.collate(bundle)([*features]))
    with torch.no_grad():
        theirs = bundle.model(**batch).loss
        found = this.infer(bundle, batch)
    assert found.targets.tolist() == [4.0]
    assert found.losses[0] / 4 == pytest.approx(theirs.item(), rel=1e-6)


def test_weights_smoothing_and_focusing_reach_the_words():
    logits = torch.randn(2, 5, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[-100, 3, -100, 0, -100], [-100, 1, 0, 0, 2]])
    flat, targets = logits[labels != -100], labels[labels != -100]
    outputs = type("Outputs", (), {"logits": logits})
    ids = task().class_ids(objects([["B-PER", "O"], ["B-LOC", "O", "O", "I-LOC"]]), LABELS)
    assert ids.tolist() == [3, 0, 1, 0, 0, 2]

    def mean(**options):
        objective = build(TrainingSection(**options), task(), LABELS, ids)
        return (objective.loss(outputs, labels) / objective.count(labels)).item()

    cross_entropy = torch.nn.functional.cross_entropy
    weights = torch.tensor([1.0, 2.0, 1.0, 3.0, 1.0])
    named = mean(class_weights={"B-LOC": 2.0, "B-PER": 3.0})
    assert named == pytest.approx(cross_entropy(flat, targets, weights).item(), rel=1e-6)
    balanced = torch.tensor([6 / (4 * 3), 1.5, 1.5, 1.5, 1.0])
    assert mean(class_weights="balanced") == pytest.approx(
        cross_entropy(flat, targets, balanced).item(), rel=1e-6
    )
    assert mean(label_smoothing_factor=0.1) == pytest.approx(
        cross_entropy(flat, targets, label_smoothing=0.1).item(), rel=1e-6
    )
    each = cross_entropy(flat, targets, reduction="none")
    focused = ((1 - torch.exp(-each)) ** 2 * each).mean().item()
    assert mean(focal_loss={"gamma": 2.0}) == pytest.approx(focused, rel=1e-5)
    with pytest.raises(UserError, match='no label "B-ORG"'):
        mean(class_weights={"B-ORG": 2.0})


def test_entities_have_the_places_of_their_characters():
    sentences = [["In", "São", "Paulo", ",", "Ada", "L.", "met", "Bo"], [], ["x"]]
    this, bundle, data, features = encoded("bert", sentences)
    wanted = [["O", "B-LOC", "I-LOC", "O", "B-PER", "I-PER", "I-LOC", "B-PER"], [], ["I-PER"]]
    values = []
    for example, words in windows.answered(features):
        found = np.zeros((len(words), 2), dtype=np.float32)
        for place in windows.first_tokens(words):
            found[place, 0] = LABELS.index(wanted[example][words[place]])
        values.append(found)
    predictions = this.decode(values, features, data, bundle)
    assert predictions.answers.tolist() == wanted
    text = "In São Paulo , Ada L. met Bo"
    assert predictions.details == [
        {
            "entities": [
                {"type": "LOC", "start": 3, "end": 12, "text": "São Paulo"},
                {"type": "PER", "start": 15, "end": 21, "text": "Ada L."},
                {"type": "PER", "start": 26, "end": 28, "text": "Bo"},
            ]
        },
        {"entities": []},
        {"entities": []},
    ]
    for entity in predictions.details[0]["entities"]:
        assert text[entity["start"] : entity["end"]] == entity["text"]
    [first, *_] = this.rows_of(predictions, objects(wanted), LABELS)
    assert list(first) == ["reference", "prediction", "entities"]
    assert first["prediction"] == wanted[0]


def test_words_with_tags_of_their_own_are_no_entities():
    this, bundle, data, features = encoded("bert", [["A", "dog"]], scheme="none")
    values = [np.zeros((4, 2), dtype=np.float32)]
    predictions = this.decode(values, features, data, bundle)
    assert predictions.answers.tolist() == [["O", "O"]]
    assert predictions.details is None


def test_the_labels_of_a_model():
    options = {key: value for key, value in TINY_BERT.items() if key != "model_type"}
    config = BertConfig(**options, **task().head(LABELS))
    assert task().labels_of(BertForTokenClassification(config)) == LABELS
    unnamed = BertForTokenClassification(BertConfig(**options, num_labels=3))
    assert task(scheme="none").labels_of(unnamed) == ["LABEL_0", "LABEL_1", "LABEL_2"]
    with pytest.raises(UserError) as caught:
        task().labels_of(unnamed)
    assert str(caught.value) == (
        'the labels of the model are no tags of IOB2 (such as "LABEL_0"), which entities are '
        "scored in: O, B-TYPE and I-TYPE; rename them in id2label of its config.json if they mean "
        "these, or write task.scheme: none to score words"
    )


# --- whole runs

PEOPLE, PLACES = ["ada bell", "bo", "cy dorn"], ["rome", "new york", "kiel bay"]


def sentence(number):
    """Words that a tiny model can learn the tags of; every seventh is long."""
    person, place = PEOPLE[number % 3].split(), PLACES[number // 3 % 3].split()
    filler = ["and"] * (30 if number % 7 == 0 else number % 3)
    tokens = [*person, "went", "to", *filler, *place, "."]
    tags = ["B-PER", *["I-PER"] * (len(person) - 1), "O", "O", *["O"] * len(filler)]
    return tokens, [*tags, "B-LOC", *["I-LOC"] * (len(place) - 1), "O"]


def bilou(tags):
    ends = [*tags[1:], "O"]
    return [
        tag
        if tag == "O"
        else f"{'UB'[behind[:1] == 'I'] if tag[0] == 'B' else 'LI'[behind[:1] == 'I']}{tag[1:]}"
        for tag, behind in zip(tags, ends, strict=True)
    ]


@pytest.fixture
def entities_config(tmp_path, tiny_config):
    folder = tmp_path / "entities"
    for split, start, count in (("train", 0, 60), ("validation", 100, 15), ("test", 200, 15)):
        made = [sentence(number) for number in range(start, start + count)]
        lines = [
            "".join(f"{word} {tag}\n" for word, tag in zip(words, bilou(tags), strict=True))
            for words, tags in made
        ]
        folder.mkdir(exist_ok=True)
        (folder / f"{split}.conll").write_text("\n".join(lines), encoding="utf-8")
    return {
        **tiny_config,
        "data": {"source": str(folder)},
        "task": {"name": "token-classification", "max_length": 16, "stride": 4},
        "training": {**tiny_config["training"], "num_train_epochs": 8},
    }


def predictions_of(run):
    lines = (run / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_a_run_learns_is_scored_as_by_seqeval_and_evaluates_alike(
    entities_config, write_config, tmp_path
):
    [record] = finetune(load(write_config(entities_config)), tmp_path / "run")
    found = predictions_of(tmp_path / "run")
    expected = [sentence(number) for number in range(200, 215)]
    assert [row["reference"] for row in found] == [tags for _, tags in expected]
    assert [len(row["prediction"]) for row in found] == [len(words) for words, _ in expected]
    strict = f1_score(
        [row["reference"] for row in found],
        [row["prediction"] for row in found],
        mode="strict",
        scheme=IOB2,
    )
    assert record.scores["entity_f1"].value == pytest.approx(strict, abs=1e-12)
    assert strict > 0.9
    for row, (words, _) in zip(found, expected, strict=True):
        for entity in row["entities"]:
            assert " ".join(words)[entity["start"] : entity["end"]] == entity["text"]
    assert record.labels == LABELS
    assert record.data["train"].truncated_share == 0
    [again] = evaluate(load(tmp_path / "run"), tmp_path / "again", [str(tmp_path / "run")])
    assert again.scores == record.scores
    assert predictions_of(tmp_path / "again") == found


def test_a_run_of_a_byte_level_model_saves_a_tokenizer_that_reads_words(
    entities_config, write_config, tmp_path
):
    entities_config["model"]["config"] = {
        "model_type": "roberta",
        **{key: value for key, value in TINY_BERT.items() if key != "model_type"},
    }
    entities_config["training"]["num_train_epochs"] = 1
    finetune(load(write_config(entities_config)), tmp_path / "run")
    tokenizer = models.load_tokenizer(str(tmp_path / "run" / "model"))
    assert not windows.words_need_space(tokenizer)


def test_words_with_tags_of_their_own_can_be_learnt(tiny_config, write_config, tmp_path):
    for split, count in (("train", 24), ("validation", 6), ("test", 6)):
        made = [{"tokens": ["a", "dog", "runs"], "tags": ["DET", "NOUN", "VERB"]}] * count
        write_jsonl(tmp_path / "words" / f"{split}.jsonl", made)
    values = {
        **tiny_config,
        "data": {"source": str(tmp_path / "words"), "max_leakage": 1.0},
        "task": {"name": "token-classification", "scheme": "none", "max_length": 16},
    }
    [record] = finetune(load(write_config(values)), tmp_path / "run")
    assert record.scores["token_accuracy"].value == 1.0
    assert predictions_of(tmp_path / "run")[0]["prediction"] == ["DET", "NOUN", "VERB"]
