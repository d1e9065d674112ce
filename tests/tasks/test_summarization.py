"""Summarisation: what decoders learn after a prompt, and what they write."""

from __future__ import annotations

import json

import pytest
import torch
from pydantic import ValidationError
from text_pairs import (
    DECODERS,
    batch,
    bundle,
    dataset,
    features,
    mean_loss,
    own_labels,
    place,
)
from tiny_models import CONFIGURATIONS

from nlpbench.config.errors import UserError
from nlpbench.config.run_config import RunConfig
from nlpbench.runs.evaluate import evaluate
from nlpbench.runs.finetune import finetune
from nlpbench.tasks.summarization import Summarization

ROWS = [
    {"text": "A dog runs across the wet grass; two children laugh.", "summary": "A dog runs."},
    {"text": "Where is the station? It's behind the old town hall.", "summary": "Where is it?"},
    {"text": "Prices rose.", "summary": "Prices rose by 3.5 % again."},
]
TASK = Summarization(max_source_length=40, max_target_length=20)


def prompt_and_target(tokenizer, made):
    """What each row of a batch reads, and what of it is scored, as texts."""
    found = []
    for row, mask, labels in zip(
        made["input_ids"], made["attention_mask"], own_labels(made), strict=True
    ):
        scored = labels != -100
        assert torch.equal(row[scored], labels[scored])
        first = int(scored.nonzero()[0])
        assert scored[first : int(mask.sum())].all(), "all of the target, to the last real token"
        found.append((tokenizer.decode(row[:first]), tokenizer.decode(labels[scored])))
    return found


# Rows


def test_a_text_may_be_a_list_of_sentences_and_a_list_of_summaries_are_references():
    task = Summarization(source_column="source", target_column="target")
    rows = dataset([{"source": ["One.", "Two."], "target": ["1", "2"]}])
    assert list(task.texts(rows, place)) == ["One. Two."]
    assert task.texts(rows, place)[0] == "One. Two."
    assert task.references(rows, (), place).tolist() == [["1", "2"]]


def test_a_list_with_a_null_among_its_sentences_is_refused_with_its_row():
    rows = dataset([{"text": ["a"], "summary": "x"}, {"text": ["b", None], "summary": "x"}])
    with pytest.raises(UserError, match=r"row 2: the column text must hold .*got a null"):
        TASK.texts(rows, place)


def test_two_ways_to_name_the_targets_exclude_each_other():
    with pytest.raises(ValidationError, match="target_columns excludes target_column"):
        Summarization(target_column="a", target_columns=["a", "b"])


# What a decoder learns


@pytest.mark.parametrize("model_type", DECODERS)
def test_the_loss_is_that_of_transformers_on_the_targets_alone(model_type):
    found = bundle(TASK, model_type)
    made = batch(TASK, ROWS, found)
    own = found.model(
        input_ids=made["input_ids"],
        attention_mask=made["attention_mask"],
        labels=own_labels(made),
    )
    assert torch.allclose(mean_loss(TASK, found.model, made), own.loss, atol=1e-6)


@pytest.mark.parametrize("model_type", DECODERS)
def test_the_targets_alone_are_scored_with_the_end_of_the_text(model_type):
    found = bundle(TASK, model_type)
    ends = {"gpt2": "<|endoftext|>", "llama": "</s>", "bert": "[SEP]"}
    for row, (prompt, target) in zip(
        ROWS, prompt_and_target(found.tokenizer, batch(TASK, ROWS, found)), strict=True
    ):
        text, end = row["summary"], ends[model_type]
        if model_type != "bert":  # which spaces punctuation its own way
            assert prompt.removeprefix("<s>").strip() == f"{row['text']}\nTL;DR:"
            assert target == f" {text}{end}" or target == f"{text}{end}"
        assert target.endswith(end)
        assert target.count(end) == 1
        assert end not in prompt


@pytest.mark.parametrize("model_type", DECODERS)
def test_only_the_logits_that_are_scored_are_computed(model_type):
    found = bundle(TASK, model_type)
    made = dict(batch(TASK, ROWS, found))
    labels = made.pop("labels")
    outputs = TASK.forward(found.model, made)
    assert outputs.logits.shape[1] == (labels != -100).any(0).sum() < labels.shape[1]
    scored = made.pop("scored")
    assert torch.equal(scored, labels != -100)
    [some] = TASK.flat_logits(outputs, labels)
    [all_of_them] = TASK.flat_logits(TASK.forward(found.model, made), labels)
    assert torch.allclose(some, all_of_them, atol=1e-6)


@pytest.mark.parametrize("model_type", DECODERS)
def test_the_loss_of_a_validation_split_is_that_of_training(model_type):
    found = bundle(TASK, model_type)
    trained = mean_loss(TASK, found.model, batch(TASK, ROWS, found))
    made = batch(TASK, ROWS, found, training=False)
    with torch.no_grad():
        inferred = TASK.infer(found, made, answers=False)
    assert inferred.values is None
    assert inferred.losses[0] / inferred.targets[0] == pytest.approx(trained.item(), abs=1e-5)


@pytest.mark.parametrize("model_type", DECODERS)
def test_what_is_cut_off_is_of_the_source_and_never_of_the_template(model_type):
    long = [{"text": "two children laugh " * count, "summary": "x"} for count in (1, 4, 40)]
    task = Summarization(max_source_length=16, max_target_length=4)
    found = bundle(task, model_type)
    made = features(task, long, found)
    texts = [found.tokenizer.decode(row) for row in made["input_ids"]]
    assert all(len(row) <= 16 for row in made["input_ids"])
    assert len(made[2]["input_ids"]) >= 15, "as much is kept as fits"
    assert all(text.replace(" ", "").casefold().endswith("tl;dr:") for text in texts)
    whole = Summarization(max_source_length=500, max_target_length=4)
    for row, full in zip(made, features(whole, long, found), strict=True):
        assert row["whole_length"] == full["length"]
        assert (row["whole_length"] > row["length"]) == (len(full["input_ids"]) > 16)


def test_a_template_that_is_longer_than_a_source_may_be_is_refused():
    task = Summarization(max_source_length=3, max_target_length=4)
    with pytest.raises(UserError, match=r"task.max_source_length leaves 3 .* of the template"):
        features(task, ROWS, bundle(task, "gpt2"))


def test_a_target_that_is_cut_off_still_ends():
    task = Summarization(max_source_length=40, max_target_length=5)
    found = bundle(task, "gpt2")
    made = features(task, ROWS, found)
    assert [len(labels) for labels in made["target"]] == [5, 5, 5]
    assert {labels[-1] for labels in made["target"]} == {found.tokenizer.eos_token_id}
    assert all(row["whole_length"] > row["length"] for row in made)


def test_prefix_template_and_separator_make_the_prompt():
    task = Summarization(
        source_prefix="Text: ", prompt_template="<{source}> =>", separator="", max_source_length=60
    )
    found = bundle(task, "gpt2")
    [(prompt, target)] = prompt_and_target(found.tokenizer, batch(task, ROWS[:1], found))
    assert prompt == f"<Text: {ROWS[0]['text']}> =>"
    assert target == "A dog runs.<|endoftext|>"


def test_the_end_of_a_text_is_learnt_though_it_pads_as_well():
    found = bundle(TASK, "gpt2")
    found.tokenizer.pad_token = found.tokenizer.eos_token
    made = batch(TASK, ROWS, found)
    ends = made["labels"] == found.tokenizer.eos_token_id
    assert ends.sum(1).tolist() == [1, 1, 1]


# What a decoder writes


def written(task, found, size):
    made = list(task.encode(dataset(ROWS), None, found))
    collate = task.collate(found)
    with torch.no_grad():
        return [
            answer.tolist()
            for start in range(0, len(made), size)
            for answer in task.infer(found, collate(made[start : start + size])).values
        ]


WIDE = {"gpt2": {"initializer_range": 0.5}, "llama": {"initializer_range": 0.5}, "bert": {}}


@pytest.mark.parametrize("model_type", DECODERS)
@pytest.mark.parametrize(
    "generation",
    [
        {},
        {"num_beams": 3, "length_penalty": 0.6, "early_stopping": True},
        {"no_repeat_ngram_size": 1, "repetition_penalty": 1.3, "min_new_tokens": 5},
        {"do_sample": True, "temperature": 1.5, "top_k": 0, "seed": 3},
        {"do_sample": True, "top_k": 20, "top_p": 0.9},
    ],
)
def test_an_answer_follows_from_its_row_whatever_stands_beside_it(model_type, generation):
    task = Summarization(max_source_length=40, max_target_length=8, generation=generation)
    found = bundle(task, model_type, **WIDE[model_type])
    answers = written(task, found, 1)
    assert written(task, found, 3) == answers
    assert written(task, found, 2) == answers
    if model_type != "bert":
        assert len({tuple(answer) for answer in answers}) == 3


def test_greedy_answers_are_those_of_transformers_without_padding():
    task = Summarization(max_source_length=40, max_target_length=8)
    found = bundle(task, "gpt2", **WIDE["gpt2"])
    for row, answer in zip(ROWS, written(task, found, 3), strict=True):
        inputs = found.tokenizer(f"{row['text']}\nTL;DR:", return_tensors="pt")
        own = found.model.generate(**inputs, max_new_tokens=8, do_sample=False)
        assert answer == own[0, inputs["input_ids"].shape[1] :][: len(answer)].tolist()


def test_no_settings_are_lost_on_the_way_to_the_model():
    plain = Summarization(max_source_length=40, max_target_length=8)
    found = bundle(plain, "gpt2", **WIDE["gpt2"])
    answers = written(plain, found, 3)
    [longest] = [answer for answer in answers if len(answer) == 8][:1]
    repeated = Summarization(
        max_source_length=40, max_target_length=8, generation={"no_repeat_ngram_size": 1}
    )
    found = bundle(repeated, "gpt2", **WIDE["gpt2"])
    assert all(len(set(answer)) == len(answer) for answer in written(repeated, found, 3))
    short = Summarization(
        max_source_length=40, max_target_length=8, generation={"max_new_tokens": 3}
    )
    found = bundle(short, "gpt2", **WIDE["gpt2"])
    assert longest[:3] in written(short, found, 3)


def test_sampling_is_repeatable_and_another_seed_draws_another_answer():
    found = {}
    for seed in (0, 1):
        task = Summarization(
            max_source_length=40,
            max_target_length=8,
            generation={"do_sample": True, "top_k": 0, "seed": seed},
        )
        model = bundle(task, "gpt2")
        found[seed] = written(task, model, 3)
        assert written(task, model, 3) == found[seed]
    assert all(one != two for one, two in zip(found[0], found[1], strict=True))


def test_draws_have_the_shares_of_the_distribution():
    from nlpbench.tasks.writing.sampling import SeededDraw

    shares = torch.tensor([0.5, 0.0, 0.3, 0.2])
    draw = SeededDraw(range(4000), 7, 1)
    drawn = draw(torch.zeros(4000, 1), shares.log().expand(4000, 4)).argmax(-1)
    counts = torch.bincount(drawn, minlength=4) / 4000
    assert counts[1] == 0
    assert torch.allclose(counts, shares, atol=0.03)


# Settings that cannot be meant


@pytest.mark.parametrize(
    ("generation", "message"),
    [
        ({"temperature": 0.7}, "temperature needs do_sample: true"),
        ({"seed": 1}, "seed needs do_sample: true"),
        ({"length_penalty": 2.0}, "length_penalty needs num_beams of 2 or more"),
        ({"do_sample": True, "num_beams": 2}, "do_sample excludes num_beams"),
        ({"min_new_tokens": 9, "max_new_tokens": 8}, "min_new_tokens is more than max_new_tokens"),
        ({"min_new_tokens": 999}, "min_new_tokens is more than max_target_length"),
        ({"beams": 2}, "beams"),
    ],
)
def test_settings_without_effect_are_refused(generation, message):
    with pytest.raises(ValidationError, match=message):
        Summarization(generation=generation)


# Whole runs


@pytest.fixture
def config(tmp_path):
    (tmp_path / "data").mkdir()
    for split in ("train", "validation", "test"):
        text = "".join(json.dumps(row) + "\n" for row in ROWS * 4)
        (tmp_path / "data" / f"{split}.jsonl").write_text(text, encoding="utf-8")
    return {
        "model": {
            "config": {"model_type": "gpt2", **CONFIGURATIONS["gpt2"]},
            "tokenizer": {"train": {"vocab_size": 400}},
        },
        "data": {"source": str(tmp_path / "data")},
        "task": {"name": "summarization", "max_source_length": 40, "max_target_length": 20},
        "training": {
            "num_train_epochs": 2,
            "learning_rate": 0.01,
            "effective_batch_size": 6,
            "precision": "fp32",
        },
        "evaluation": {"efficiency": False, "resamples": 100, "metrics": ["chrf"]},
    }


def test_a_decoder_is_trained_scored_and_scored_again_alike(config, tmp_path):
    config["training"]["metric_for_best_model"] = "chrf"
    [record] = finetune(RunConfig.model_validate(config), tmp_path / "run")
    [again] = evaluate(
        RunConfig.model_validate(config), tmp_path / "again", [str(tmp_path / "run")]
    )
    assert again.scores["chrf"].value == record.scores["chrf"].value
    assert record.model["architecture"] == "GPT2LMHeadModel"
    assert record.model["generation"]["max_new_tokens"] == 20


def test_prompt_and_answer_must_have_positions_together(config, tmp_path):
    config["task"]["max_source_length"] = 50
    with pytest.raises(UserError, match=r"task.max_source_length is 50, .* 64 tokens together"):
        finetune(RunConfig.model_validate(config), tmp_path / "run")
