"""Translation: columns, what encoder-decoders learn, and what they write."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from text_pairs import (
    ENCODER_DECODERS,
    PAIRS,
    batch,
    bundle,
    dataset,
    features,
    mean_loss,
    place,
)
from tiny_models import CONFIGURATIONS

from nlpbench.config.errors import UserError
from nlpbench.config.run_config import RunConfig
from nlpbench.runs.evaluate import evaluate
from nlpbench.runs.finetune import finetune
from nlpbench.tasks.translation import Translation

LENGTHS = {"max_source_length": 24, "max_target_length": 24}
EN_DE = Translation(source_language="en", target_language="de", **LENGTHS)


def for_model(model_type, **options):
    """The task, with the language codes of the model's tokenizer where it has some."""
    codes = ("en_XX", "de_DE") if model_type == "mbart" else ("en", "de")
    named = {"source_language": codes[0], "target_language": codes[1]}
    return Translation(**named, source_column="en", target_column="de", **{**LENGTHS, **options})


# Columns


def test_languages_name_the_columns_unless_told():
    assert EN_DE.columns == ["en", "de"]
    nested = Translation(source_column="translation.en", target_column="translation.de")
    assert nested.columns == ["translation.en", "translation.de"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"target_language": "de"}, "needs the key source_column or source_language"),
        ({"source_language": "en"}, "needs the key target_column or target_language"),
        (
            {"source_language": "en", "target_column": "a", "target_columns": ["a", "b"]},
            "target_columns.*excludes target_column",
        ),
        (
            {"source_language": "en", "target_language": "de", "prompt_template": "{text} ="},
            "prompt_template.*must hold {source} once",
        ),
    ],
)
def test_columns_that_are_not_told_or_told_twice_are_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        Translation(**values)


def test_references_are_the_raw_texts_of_the_data():
    rows = dataset([{"en": "a", "de": " Über die  Straße !\n"}, {"en": "b", "de": "x"}])
    assert EN_DE.references(rows, (), place).tolist() == [[" Über die  Straße !\n"], ["x"]]


def test_several_references_stand_in_a_list_or_in_columns():
    rows = [{"en": "a", "de": ["x", "y"], "de2": "z"}, {"en": "b", "de": ["u"], "de2": None}]
    assert EN_DE.references(dataset(rows), (), place).tolist() == [["x", "y"], ["u"]]
    task = Translation(source_language="en", target_columns=["de", "de2"])
    assert task.references(dataset(rows), (), place).tolist() == [["x", "y", "z"], ["u"]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["x", None], r"row 2: the column de is empty \(null\)"),
        ([1, 2], "row 1: the column de must hold a text, or a list of texts .got 1."),
        ([["x"], ["y", None]], "row 2: the column de must hold .*got a null"),
        ([["x"], []], "row 2: there is no reference in de"),
        ([[["x"]], [["y"]]], r"row 1: the column de must hold a text"),
    ],
)
def test_what_is_no_reference_is_refused_with_its_row(values, message):
    rows = dataset([{"en": "a", "de": value} for value in values])
    with pytest.raises(UserError, match=message):
        EN_DE.references(rows, (), place)


def test_a_source_without_text_is_refused_with_its_row():
    with pytest.raises(UserError, match=r"row 2: the column en is empty"):
        EN_DE.texts(dataset([{"en": "a", "de": "x"}, {"en": None, "de": "x"}]), place)


def test_a_tokenizer_is_trained_on_both_languages():
    found = list(EN_DE.tokenizer_texts(dataset(PAIRS), place))
    assert found == [row["en"] for row in PAIRS] + [row["de"] for row in PAIRS]


def test_bleu_has_the_tokenizer_of_its_language_where_it_needs_one():
    task = Translation(source_language="en_XX", target_language="zh_CN")
    assert task.default_metrics()[0] == {"name": "bleu", "target_language": "zh"}
    assert EN_DE.default_metrics() == [{"name": "bleu"}, {"name": "chrf"}]


# What is learnt


@pytest.mark.parametrize("model_type", ENCODER_DECODERS)
def test_the_loss_is_that_of_transformers(model_type):
    task = for_model(model_type)
    found = bundle(task, model_type)
    made = batch(task, PAIRS, found)
    own = found.model(
        input_ids=made["input_ids"], attention_mask=made["attention_mask"], labels=made["labels"]
    )
    assert torch.allclose(mean_loss(task, found.model, made), own.loss, atol=1e-6)


@pytest.mark.parametrize("model_type", ENCODER_DECODERS)
def test_a_target_ends_and_the_decoder_begins_as_when_it_writes(model_type):
    task = for_model(model_type)
    found = bundle(task, model_type)
    made = batch(task, PAIRS, found)
    settings = found.model.generation_config
    for labels, read in zip(made["labels"], made["decoder_input_ids"], strict=True):
        scored = labels[labels != -100].tolist()
        assert settings.eos_token_id in scored[-2:]
        assert read[0] == settings.decoder_start_token_id
        assert read[1 : len(scored)].tolist() == scored[:-1]


def test_mbart_is_told_the_languages_by_tokens():
    task = for_model("mbart")
    found = bundle(task, "mbart")
    code = found.tokenizer.convert_tokens_to_ids
    made = batch(task, PAIRS[:1], found)
    assert made["input_ids"][0, -1] == code("en_XX")
    assert made["labels"][0, -1] == code("de_DE")
    assert made["decoder_input_ids"][0, 0] == code("de_DE")
    assert found.model.generation_config.decoder_start_token_id == code("de_DE")


@pytest.mark.parametrize(
    ("languages", "message"),
    [
        ({"source_language": "en_XX", "target_language": "xx"}, "no language xx"),
        ({"source_column": "en", "target_column": "de"}, "write task.source_language and"),
    ],
)
def test_a_multilingual_model_needs_languages_that_it_has(languages, message):
    with pytest.raises(UserError, match=message):
        bundle(Translation(**languages), "mbart")


def test_a_prefix_stands_before_every_source():
    task = for_model("t5", source_prefix="translate: ")
    found = bundle(task, "t5")
    ids = features(task, PAIRS[:1], found)[0]["input_ids"]
    assert found.tokenizer.decode(ids, skip_special_tokens=True).startswith("translate: A dog")


def test_what_is_cut_off_of_source_and_target_is_counted():
    task = for_model("t5", max_source_length=6, max_target_length=5)
    found = bundle(task, "t5")
    whole = features(for_model("t5", max_source_length=64, max_target_length=64), PAIRS, found)
    cut = features(task, PAIRS, found)
    for row, full in zip(cut, whole, strict=True):
        assert len(row["input_ids"]) <= 6
        assert len(row["target"]) <= 5
        assert row["target"][-1] == found.tokenizer.eos_token_id
        assert row["input_ids"][-1] == found.tokenizer.eos_token_id
        assert row["length"] == len(row["input_ids"]) + len(row["target"])
        assert row["whole_length"] == full["length"] > row["length"]


def test_all_references_are_learnt_or_the_first_or_the_shortest():
    rows = [{"en": "a dog", "de": ["Zwei Frauen", "Ein"]}, {"en": "two", "de": ["gehen"]}]
    found = bundle(EN_DE, "t5")
    learnt = {}
    for choice in ("first", "all", "shortest"):
        made = features(for_model("t5", train_on=choice), rows, found)
        texts = found.tokenizer.batch_decode(list(made["target"]), skip_special_tokens=True)
        learnt[choice] = list(zip(made["example"], texts, strict=True))
    assert learnt["first"] == [(0, "Zwei Frauen"), (1, "gehen")]
    assert learnt["all"] == [(0, "Zwei Frauen"), (0, "Ein"), (1, "gehen")]
    assert learnt["shortest"] == [(0, "Ein"), (1, "gehen")]
    assert len(features(for_model("t5", train_on="all"), rows, found, training=False)) == 2


def test_r_drop_doubles_rows_and_their_targets_alike():
    made = batch(EN_DE, PAIRS, found := bundle(EN_DE, "t5"))
    twice = {key: torch.cat([value, value]) for key, value in made.items()}
    once = mean_loss(EN_DE, found.model, made)
    assert torch.allclose(mean_loss(EN_DE, found.model, twice), once, atol=1e-6)


# What is written


def written(task, found, rows, size):
    """What the model writes for rows, `size` at a time."""
    made = task.encode(dataset(rows), None, found)
    collate = task.collate(found)
    values = []
    with torch.no_grad():
        for start in range(0, len(made), size):
            values += task.infer(found, collate(list(made)[start : start + size])).values
    return values


@pytest.mark.parametrize("model_type", ["t5", "bart", "mbart"])
@pytest.mark.parametrize("beams", [1, 3])
def test_an_answer_is_that_of_transformers_and_of_any_batch_size(model_type, beams):
    writing = {"num_beams": beams, "max_new_tokens": 7}
    task = for_model(model_type, generation=writing, max_source_length=48)
    wide = {"initializer_factor": 4.0} if model_type == "t5" else {"init_std": 0.3}
    found = bundle(task, model_type, **wide)
    together, alone = (written(task, found, PAIRS, size) for size in (4, 1))
    for one, two, row in zip(together, alone, PAIRS, strict=True):
        assert one.tolist() == two.tolist()
        inputs = found.tokenizer(row["en"], return_tensors="pt")
        own = found.model.generate(
            **inputs, num_beams=beams, max_new_tokens=7, length_penalty=1.0, do_sample=False
        )[0, 1:].tolist()
        assert two.tolist() == own[: len(two)]
        assert len(own) == len(two) or two[-1] == found.tokenizer.eos_token_id
    assert len({tuple(row.tolist()) for row in alone}) > 1, "the model reads its source"


def test_what_a_checkpoint_says_of_generation_is_not_used_but_its_tokens_are(caplog):
    from nlpbench.runs.generation import settle

    task = for_model("bart", generation={"num_beams": 2})
    found = bundle(task, "bart")
    own = found.model.generation_config
    own.num_beams, own.min_length, own.no_repeat_ngram_size, own.forced_bos_token_id = 4, 9, 3, 0
    with caplog.at_level("INFO", "nlpbench"):
        told = settle(task, found.model, found.tokenizer)
    assert told["generation"]["num_beams"] == 2
    assert told["generation"]["max_new_tokens"] == 24
    assert told["generation"]["forced_bos_token_id"] == 0
    assert told["generation_of_checkpoint"]["min_length"] == 9
    assert "min_length 9, no_repeat_ngram_size 3, num_beams 4" in caplog.text
    assert found.model.generation_config.min_length in (None, 0)


def test_answers_are_texts_without_special_tokens_and_say_whether_they_ended():
    found = bundle(EN_DE, "t5")
    ids = found.tokenizer("Zwei Frauen gehen")["input_ids"]
    values = [np.array(ids, np.int32), np.array(ids[:-1], np.int32), np.array(ids[-1:], np.int32)]
    made = EN_DE.decode(values, None, None, found)
    assert made.answers.tolist() == ["Zwei Frauen gehen", "Zwei Frauen gehen", ""]
    assert [row["finished"] for row in made.details] == [True, False, True]
    assert [row["tokens"] for row in made.details] == [len(ids), len(ids) - 1, 1]
    assert made.warnings[0].startswith("1 of 3 answers did not end within 24 tokens")


@pytest.mark.parametrize("model_type", ["t5", "mbart", "gpt2"])
def test_the_perplexity_of_targets_is_that_of_each_row_by_itself(model_type):
    task = for_model(model_type, predict="log-likelihoods", max_source_length=40)
    found = bundle(task, model_type)
    rows = dataset(PAIRS)
    made = task.encode(rows, None, found)
    with torch.no_grad():
        inferred = task.infer(found, task.collate(found)(list(made)))
        for row, (likelihood, tokens) in zip(PAIRS, inferred.values, strict=True):
            alone = batch(task, [row], found)
            assert tokens == (alone["labels"] != -100).sum()
            assert likelihood == pytest.approx(-mean_loss(task, found.model, alone) * tokens)
    assert -inferred.values[:, 0].sum() == pytest.approx(inferred.losses[0], rel=1e-6)
    predictions = task.decode(inferred.values, made, rows, found)
    references = task.references(rows, (), place)
    assert references[0].tolist() == [6, len("Ein Hund rennt über das Gras.".encode())]
    [metric] = RunConfig.model_validate(
        {"model": "x", "data": "x", "task": task.model_dump()}
    ).metrics
    scores = metric.compute(predictions.answers, references)
    assert scores["perplexity"] == pytest.approx(
        float(np.exp(-inferred.values[:, 0].sum() / inferred.values[:, 1].sum()))
    )
    assert not predictions.warnings
    cut = for_model(
        model_type, predict="log-likelihoods", max_source_length=40, max_target_length=3
    )
    made = cut.encode(rows, None, found)
    assert cut.decode(inferred.values, made, rows, found).warnings[0].startswith("4 of 4 pairs")


# Whole runs


@pytest.fixture
def config(tmp_path):
    rows = [{**row, "id": f"{n}-{i}"} for n in range(8) for i, row in enumerate(PAIRS)]
    for split in ("train", "validation", "test"):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / f"{split}.jsonl").write_text(text, encoding="utf-8")
    return {
        "model": {
            "config": {"model_type": "marian", **CONFIGURATIONS["marian"]},
            "tokenizer": {"train": {"vocab_size": 300}},
        },
        "data": {"source": str(tmp_path / "data"), "id_column": "id"},
        "task": {
            "name": "translation",
            "source_language": "en",
            "target_language": "de",
            **LENGTHS,
            "max_target_length": 4,
            "generation": {"max_new_tokens": 30, "num_beams": 2},
        },
        "training": {
            "num_train_epochs": 2,
            "learning_rate": 0.01,
            "effective_batch_size": 8,
            "label_smoothing_factor": 0.1,
            "precision": "fp32",
        },
        "evaluation": {"efficiency": False, "resamples": 100},
    }


def test_a_run_scores_raw_references_and_an_evaluation_gives_the_same(config, tmp_path):
    [record] = finetune(RunConfig.model_validate(config), tmp_path / "run")
    lines = (tmp_path / "run" / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["reference"] for row in rows] == [[row["de"]] for row in PAIRS] * 8
    assert record.model["generation"]["num_beams"] == 2
    assert record.training["watched"] == "loss"
    assert record.data["train"].truncated_share == 1.0

    import sacrebleu

    predictions = [row["prediction"] for row in rows]
    oracle = sacrebleu.corpus_bleu(predictions, [[row["reference"][0] for row in rows]])
    assert record.scores["bleu"].value == pytest.approx(oracle.score, abs=1e-9)
    assert record.scores["bleu"].signature.endswith("|search:beams-2")
    [again] = evaluate(
        RunConfig.model_validate(config), tmp_path / "again", [str(tmp_path / "run")]
    )
    assert {key: score.value for key, score in again.scores.items()} == {
        key: score.value for key, score in record.scores.items()
    }
    assert "generation_of_checkpoint" not in again.model


def test_a_score_that_is_watched_is_computed_at_every_evaluation(config, tmp_path):
    config["training"]["metric_for_best_model"] = "chrf"
    [record] = finetune(RunConfig.model_validate(config), tmp_path / "run")
    text = (tmp_path / "run" / "history.jsonl").read_text(encoding="utf-8")
    history = [json.loads(line) for line in text.splitlines()]
    watched = [row["eval_chrf"] for row in history if "eval_chrf" in row]
    assert len(watched) == 2
    assert record.training["best_value"] == max(watched)


def test_lengths_beyond_the_positions_are_told_before_training(config, tmp_path):
    config["task"]["generation"]["max_new_tokens"] = 100
    with pytest.raises(UserError, match=r"task.max_target_length is 100, .* 64 tokens"):
        finetune(RunConfig.model_validate(config), tmp_path / "run")
    assert not (tmp_path / "run").exists()
