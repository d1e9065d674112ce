"""Next sentence prediction: which pairs are drawn, both objectives, and what a run leaves."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
import torch
from conftest import TINY_BERT, write_jsonl
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import SENTENCES, pairs, tiny, tiny_tokenizer

from nlpbench.config.errors import UserError
from nlpbench.config.load import loads
from nlpbench.config.yaml12 import dump
from nlpbench.runs.evaluate import evaluate
from nlpbench.runs.finetune import finetune
from nlpbench.runs.preparation import prepare
from nlpbench.tasks import Bundle
from nlpbench.tasks.language.framing import Frame, Tokens
from nlpbench.tasks.language.sentence_pairs import (
    NEXT,
    RANDOM,
    Passage,
    draw_label,
    draw_pair,
    passages,
    split_sentences,
)
from nlpbench.tasks.next_sentence_prediction import NextSentencePrediction

AUTO_CLASS = "AutoModelForPreTraining"
DOCUMENTS = [
    "The owl hunts at dusk. It hears a mouse under the snow. Nothing else moves.",
    "Take a hammer and a chisel. Mark the line first! Then cut.",
    "Who eats plums in winter? Nobody does.",
    "A dog runs across the wet grass.",
    "Rain falls. Wind blows. Clouds part. The sun comes out again.",
]


def locate(index: int) -> str:
    return f"row {index + 1}"


def rows_of(*texts: str) -> Dataset:
    return Dataset.from_dict({"text": list(texts)})


def bundle_of(model_type: str = "bert", **options) -> Bundle:
    tokenizer = tiny_tokenizer(model_type)
    return Bundle(tokenizer, tiny(model_type, AUTO_CLASS, tokenizer, **options).eval())


def task_of(**options) -> NextSentencePrediction:
    return NextSentencePrediction(**{"max_length": 32, **options})


def visited(features: Dataset, epoch: int = 0) -> list[dict]:
    return [{**row, "visit": (1, epoch, place)} for place, row in enumerate(features.to_list())]


# Sentences, passages and pairs


@pytest.mark.parametrize(
    ("text", "by", "expected"),
    [
        (DOCUMENTS[1], "punctuation", ["Take a hammer and a chisel.", "Mark the line first!", "Then cut."]),
        ('"Stop." She ran. e.g. this', "punctuation", ['"Stop."', "She ran. e.g. this"]),
        ("One line\nand the next\n\nend.", "punctuation", ["One line", "and the next", "end."]),
        ("One. Line.\n  \nTwo.", "lines", ["One. Line.", "Two."]),
        ("今天下雨。明天呢？好", "punctuation", ["今天下雨。", "明天呢？", "好"]),
        ("3.5 km away… Über alles", "punctuation", ["3.5 km away…", "Über alles"]),
        (" \n ", "punctuation", []),
        ("", "lines", []),
    ],
)  # fmt: skip
def test_sentences_end_at_marks_or_lines(text, by, expected):
    assert split_sentences(text, by) == expected


@given(st.text(alphabet="aB.!? \n”", max_size=40))
def test_splitting_loses_no_character_but_space(text):
    for by in ("punctuation", "lines"):
        assert "".join("".join(split_sentences(text, by)).split()) == "".join(text.split())


sizes = st.lists(st.integers(0, 12), min_size=1, max_size=9)


def sentences_of(lengths: list[int]) -> list[Tokens]:
    start = 100
    found = []
    for length in lengths:
        found.append(Tokens([*range(start, start + length)], [*range(length)]))
        start += length
    return found


@given(sizes, st.integers(4, 30))
def test_passages_hold_all_sentences_and_two_at_least(lengths, size):
    found = passages(sentences_of(lengths), size)
    told = [length for length in lengths if length]
    assert {token for one in found for token in one.tokens.ids} == set(range(100, 100 + sum(told)))
    if len(told) > 1:
        assert all(len(one.ends) > 1 for one in found)
    for one in found:
        assert one.ends[-1] == one.length == len(one.tokens.words)
        assert len(one.ends) <= 2 or one.length <= size
        assert one.tokens.words == sorted(one.tokens.words)


@given(sizes, sizes, st.integers(4, 30), st.sampled_from([NEXT, RANDOM]), st.integers(0, 9))
def test_a_pair_fits_and_its_second_part_goes_on_or_is_of_another(one, two, size, label, seed):
    passage = Passage.of([tokens for tokens in sentences_of(one) if tokens.ids])
    other = Passage.of([Tokens([7] * length, [0] * length) for length in two if length] or
                       [Tokens([7], [0])])  # fmt: skip
    pair = draw_pair(passage, other, label, size, np.random.default_rng(seed))
    first, second = pair.first.ids, pair.second.ids
    assert pair.label == label
    assert len(first) + len(second) <= size
    if label == NEXT:
        both = first + second
        assert both == [*range(both[0], both[0] + len(both))] if both else True
        if len(passage.ends) > 1 and passage.length <= size:
            assert both == passage.tokens.ids
            assert len(first) in passage.ends[:-1]
    else:
        assert set(second) <= {7}
        assert first == passage.tokens.ids[: len(first)] or passage.length + other.length > size
    words = pair.words
    assert not set(words[0]) & set(words[1])


def test_random_sentences_are_as_long_as_those_they_replace():
    random = np.random.default_rng(0)
    drawn = {NEXT: [], RANDOM: []}
    lengths = random.integers(5, 15, size=(400, 5)).tolist()
    documents = [Passage.of(sentences_of(row)) for row in lengths]
    for number, passage in enumerate(documents):
        for label in (NEXT, RANDOM):
            other = documents[(number + 7) % len(documents)]
            pair = draw_pair(passage, other, label, 60, np.random.default_rng(number))
            drawn[label].append(len(pair.second.ids))
    assert np.mean(drawn[RANDOM]) == pytest.approx(np.mean(drawn[NEXT]), rel=0.05)


def test_half_of_the_labels_are_next_and_a_sentence_alone_has_none():
    random = np.random.default_rng(0)
    assert np.mean([draw_label(random, 3) for _ in range(4000)]) == pytest.approx(0.5, abs=0.03)
    assert {draw_label(random, 1) for _ in range(50)} == {RANDOM}


# Features


def test_the_pair_of_a_document_has_the_label_of_its_reference():
    bundle, task = bundle_of(), task_of()
    texts = [f"{first} {second}" for first in DOCUMENTS for second in DOCUMENTS]
    rows = rows_of(*texts)
    references = task.references(rows, ["next", "random"], locate)
    features = task.encode(rows, references, bundle)
    assert features["pair_label"] == references.tolist()
    assert set(references) == {NEXT, RANDOM}
    for text, row in zip(texts, features.to_list(), strict=True):
        types = np.array(row["token_type_ids"])
        assert sorted(set(types.tolist())) == [0, 1]
        assert len(row["input_ids"]) == row["length"] <= 32
        own = bundle.tokenizer(text, add_special_tokens=False)["input_ids"]
        first = [token for token, kind in zip(row["input_ids"], types, strict=True) if kind == 0]
        assert " ".join(map(str, first[1:-1])) in " ".join(map(str, own))
        second = [token for token, kind in zip(row["input_ids"], types, strict=True) if kind == 1]
        goes_on = " ".join(map(str, [*first[1:-1], *second[:-1]])) in " ".join(map(str, own))
        assert goes_on or row["pair_label"] == RANDOM
    again = task.encode(rows_of(*reversed(texts)), references, bundle).to_list()
    assert [row["pair_label"] for row in reversed(again)] == references.tolist()


def test_a_pair_is_framed_as_the_tokenizer_frames_it():
    bundle = bundle_of()
    frame = Frame.of(bundle.tokenizer, parts=2)
    ids = [bundle.tokenizer(text, add_special_tokens=False)["input_ids"] for text in SENTENCES[:2]]
    whole = bundle.tokenizer(*SENTENCES[:2])
    assert frame.around(*ids) == whole["input_ids"]
    assert frame.types(*ids) == whole["token_type_ids"]


def test_pairs_and_masks_follow_from_the_visit_and_differ_from_epoch_to_epoch():
    bundle, task = bundle_of(), task_of(whole_word_mask=True, max_length=64)
    features = task.encode(rows_of(*DOCUMENTS), None, bundle, training=True)
    assert features["example"] == [0, 1, 2, 3, 4]
    collate = task.collate(bundle, training=True)
    batches = [collate(visited(features, epoch)) for epoch in range(12)]
    again = collate(visited(features, 3))
    assert all(torch.equal(again[name], batches[3][name]) for name in again)
    labels = torch.stack([batch["labels"][:, 0] for batch in batches])
    assert (labels[:, :3].float().mean(0) > 0).all()
    assert (labels[:, :3].float().mean(0) < 1).all()
    assert (labels[:, 3] == RANDOM).all()  # a sentence alone
    for batch in batches:
        assert ((batch["labels"][:, 1:] != -100).sum(1) > 0).all()
        assert torch.equal(batch["chosen"], batch["labels"][:, 1:] != -100)
        special = (bundle.tokenizer.cls_token_id, bundle.tokenizer.sep_token_id)
        assert not np.isin(batch["labels"][:, 1:].numpy(), special).any()


def test_test_features_have_no_masks():
    features = task_of().encode(rows_of(*DOCUMENTS), None, bundle_of())
    assert {"masked_ids", "hidden"} & set(features.column_names) == set()


# Both objectives


@pytest.mark.parametrize("whole", [False, True])
def test_the_loss_is_that_of_bert_for_pre_training(whole):
    bundle, task = bundle_of(), task_of(whole_word_mask=whole)
    features = task.encode(rows_of(*DOCUMENTS), None, bundle, training=True)
    batch = dict(task.collate(bundle, training=True)(visited(features)))
    labels = batch.pop("labels")
    outputs = task.forward(bundle.model, batch)
    terms = zip(task.flat_logits(outputs, labels), task.flat_labels(labels), strict=True)
    means = [task.loss(logits, targets) / len(targets) for logits, targets in terms]
    assert len(means) == 2
    del batch["chosen"]
    tokens, next_label = labels[:, 1:].contiguous(), labels[:, 0]
    theirs = bundle.model(**batch, labels=tokens, next_sentence_label=next_label).loss
    torch.testing.assert_close(sum(means), theirs)


def test_answers_are_of_whole_texts_and_the_loss_of_masked_ones():
    bundle, task = bundle_of(), task_of()
    rows = rows_of(*DOCUMENTS)
    references = task.references(rows, ["next", "random"], locate)
    features = task.encode(rows, references, bundle)
    batch = task.collate(bundle)(features.to_list())
    inputs = {name: batch[name] for name in ("input_ids", "token_type_ids", "attention_mask")}
    hidden = batch["hidden"].bool()
    with torch.inference_mode():
        found = task.infer(bundle, batch)
        plain = bundle.model(**inputs)
        masked = bundle.model(
            **{**inputs, "input_ids": batch["masked_ids"]},
            labels=batch["input_ids"].masked_fill(~hidden, -100),
            next_sentence_label=batch["pair_label"],
        )
    np.testing.assert_allclose(found.values, plain.seq_relationship_logits, rtol=1e-5, atol=1e-6)
    assert (found.losses / found.targets).sum() == pytest.approx(float(masked.loss), rel=1e-5)
    assert found.targets.tolist() == [len(DOCUMENTS), int(hidden.sum())]
    predictions = task.decode(found.values, features, rows, bundle)
    shares = plain.seq_relationship_logits.double().softmax(-1).numpy()
    np.testing.assert_allclose(predictions.probabilities, shares, rtol=1e-5)
    told = task.rows_of(predictions, references, ["next", "random"])
    assert told[3]["reference"] == "random"
    assert told[0]["prediction"] in ("next", "random")
    assert sum(told[0]["probabilities"].values()) == pytest.approx(1)


# What cannot be


@pytest.mark.parametrize(
    "model_type", [model_type for model_type, _ in pairs(AUTO_CLASS) if model_type != "bert"]
)
def test_a_model_without_both_heads_is_refused(model_type):
    with pytest.raises(UserError, match="has no head that tells whether a sentence is the next"):
        task_of().encode(rows_of(*DOCUMENTS), None, bundle_of(model_type), training=True)


def test_a_document_without_a_sentence_is_told_with_its_place():
    with pytest.raises(UserError, match="row 2: the column text has no sentence; leave"):
        task_of().references(rows_of("Here.", " \n"), [], locate)
    with pytest.raises(UserError, match=r"row 1: the column text is empty \(null\)"):
        task_of().references(Dataset.from_dict({"text": [None]}), [], locate)


@pytest.mark.parametrize("training", [True, False])
def test_one_document_alone_is_told(training):
    with pytest.raises(UserError, match="pairs need two documents with text in the column text"):
        task_of().encode(rows_of(DOCUMENTS[0]), None, bundle_of(), training=training)


def test_a_document_alone_in_its_batch_has_those_before_it_for_company():
    bundle, task = bundle_of(), task_of()

    def keep(rows, options, encode):
        batches = [{"text": DOCUMENTS[:4]}, {"text": DOCUMENTS[4:]}]
        return Dataset.from_list(
            [dict(zip(part, values, strict=True)) for part in encode(batches)
             for values in zip(*part.values(), strict=True)]
        )  # fmt: skip

    features = task.encode(rows_of(*DOCUMENTS), None, bundle, keep, training=True).to_list()
    assert features[-1]["example"] == 4
    own = bundle.tokenizer(DOCUMENTS[4], add_special_tokens=False)["input_ids"]
    assert features[-1]["other_ids"] != own


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"task": {"mask_replace_prob": 0.9, "random_replace_prob": 0.2}}, "make 1.1 together"),
        ({"training": {"class_weights": "balanced"}}, "next-sentence-prediction predicts labels"),
    ],
)
def test_options_that_do_not_fit_are_told(section, told):
    values = {
        "model": "somewhere/else",
        "data": "sample:field-guide",
        "task": {"name": "next-sentence-prediction", **section.get("task", {})},
        "training": section.get("training", {}),
    }
    with pytest.raises(UserError) as error:
        loads(dump(values))
    assert told in str(error.value)


# Whole runs


def topic_documents(count: int, offset: int = 0) -> list[dict[str, str]]:
    """Two sentences of one of twelve topics, so that a rest can be told from a stranger."""
    random = np.random.default_rng(offset)
    topics = [[f"{letter}a", f"{letter}o"] for letter in "bcdfghjklmnp"]
    drawn = [random.choice(topics[row % len(topics)], size=(2, 2)) for row in range(count)]
    return [{"text": " ".join(f"{one} {two}.".capitalize() for one, two in row)} for row in drawn]


def nsp_values(folder, **training) -> dict:
    return {
        "seed": 1,
        "model": {"config": TINY_BERT, "tokenizer": {"train": {"vocab_size": 200}}},
        "data": {"source": str(folder)},
        "task": {"name": "next-sentence-prediction", "max_length": 32},
        "training": {
            "num_train_epochs": 2,
            "learning_rate": 0.005,
            "effective_batch_size": 16,
            "precision": "fp32",
            **training,
        },
        "evaluation": {"efficiency": False, "resamples": 100},
    }


@pytest.fixture
def documents(tmp_path):
    for split, count, offset in (("train", 96, 0), ("validation", 24, 1), ("test", 48, 2)):
        write_jsonl(tmp_path / "documents" / f"{split}.jsonl", topic_documents(count, offset))
    return tmp_path / "documents"


def test_a_run_gives_the_accuracy_that_evaluate_finds_again(documents, tmp_path):
    config = loads(dump(nsp_values(documents)))
    [record] = finetune(config, tmp_path / "run")
    assert record.model["architecture"] == "BertForPreTraining"
    assert record.labels == ["next", "random"]
    assert record.training["watched"] == "loss"
    lines = (tmp_path / "run" / "predictions.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    right = np.mean([row["reference"] == row["prediction"] for row in rows])
    assert record.scores["accuracy"].value == pytest.approx(right)
    [again] = evaluate(config, tmp_path / "again", [str(tmp_path / "run")])
    assert again.scores == record.scores
    assert (tmp_path / "again" / "predictions.jsonl").read_text().splitlines() == lines


def test_other_tasks_go_on_from_the_pretrained_model(documents, topics, tmp_path, caplog):
    finetune(loads(dump(nsp_values(documents, num_train_epochs=1))), tmp_path / "bert")
    values = {
        "model": {"name_or_path": str(tmp_path / "bert")},
        "data": {"source": str(topics)},
        "task": {"name": "text-classification", "max_length": 32},
        "training": {"num_train_epochs": 1, "precision": "fp32"},
        "evaluation": {"efficiency": False, "resamples": 100},
    }
    with caplog.at_level(logging.INFO, "nlpbench"):
        loaded = prepare(loads(dump(values))).loaded
    assert loaded.fresh == ("classifier.bias", "classifier.weight")  # the pooler is learnt too
    assert "new weights, not from the checkpoint: classifier.bias, classifier.weight" in caplog.text
    masked = {**values, "task": {"name": "masked-language-modeling", "max_length": 32}}
    [record] = evaluate(loads(dump(masked)), tmp_path / "masked", [str(tmp_path / "bert")])
    assert record.scores["perplexity"].value > 1
    [again] = finetune(
        loads(dump({**nsp_values(documents), "model": values["model"]})), tmp_path / "further"
    )
    assert again.model["architecture"] == "BertForPreTraining"


@pytest.mark.slow
def test_both_objectives_are_learnt(tmp_path):
    for split, count, offset in (("train", 480, 0), ("validation", 24, 1), ("test", 96, 2)):
        write_jsonl(tmp_path / "data" / f"{split}.jsonl", topic_documents(count, offset))
    values = nsp_values(tmp_path / "data", num_train_epochs=16, learning_rate=0.003)
    values["training"]["warmup_steps"] = 0.1
    values["model"]["dropout"] = {"hidden": 0.0, "attention": 0.0}
    values["task"]["max_length"] = 16
    [record] = finetune(loads(dump(values)), tmp_path / "run")
    assert record.scores["accuracy"].value > 0.85
    history = [
        json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()
    ]
    losses = [row["eval_loss"] for row in history if "eval_loss" in row]
    assert min(losses) < losses[0] - 1.5
