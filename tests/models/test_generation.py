"""Generation: what is asked for is used, and nothing that a checkpoint says unseen."""

from __future__ import annotations

import itertools
import json
import logging

import pytest
import torch
from tiny_models import SENTENCES, pairs, tiny, tiny_tokenizer
from transformers import AutoTokenizer, GenerationConfig, MBart50Tokenizer

from nlpbench import models
from nlpbench.config.errors import UserError

WRITERS = pairs("AutoModelForSeq2SeqLM", "AutoModelForCausalLM")
BEAMS = {
    "max_new_tokens": 9,
    "min_new_tokens": 3,
    "num_beams": 3,
    "length_penalty": 2.0,
    "early_stopping": True,
    "no_repeat_ngram_size": 2,
    "repetition_penalty": 1.1,
}
SAMPLES = {"max_new_tokens": 9, "do_sample": True, "temperature": 0.7, "top_k": 20, "top_p": 0.9}
# What published checkpoints say, such as BART's for news summaries.
THEIRS = {
    "max_length": 142,
    "min_length": 56,
    "num_beams": 4,
    "length_penalty": 2.0,
    "no_repeat_ngram_size": 3,
    "early_stopping": True,
}


@pytest.fixture
def silence(caplog):
    """Fails where transformers says anything."""
    logger = logging.getLogger("transformers")
    logger.addHandler(caplog.handler)
    yield
    logger.removeHandler(caplog.handler)
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert said == []


def inputs(tokenizer, side="right"):
    tokenizer.padding_side = side
    return tokenizer(SENTENCES[:3], padding=True, return_tensors="pt", return_token_type_ids=False)


def written(model, tokenizer, asked):
    """The new tokens of each row."""
    models.generation_settings(model, asked).put_onto(model.eval())
    rows = inputs(tokenizer, "right" if model.config.is_encoder_decoder else "left")
    torch.manual_seed(1)
    found = model.generate(**rows)
    return found[:, 1 if model.config.is_encoder_decoder else rows["input_ids"].shape[1] :]


@pytest.mark.parametrize(("model_type", "auto_class"), WRITERS)
@pytest.mark.parametrize(
    "asked", [{"max_new_tokens": 5}, BEAMS, SAMPLES], ids="greedy beams samples".split()
)
@pytest.mark.usefixtures("silence")
def test_every_model_writes_as_asked_without_a_warning(model_type, auto_class, asked):
    tokenizer = tiny_tokenizer(model_type)
    model = tiny(model_type, auto_class, tokenizer)
    rows = written(model, tokenizer, asked)
    assert rows.shape[0] == 3
    assert rows.shape[1] <= asked["max_new_tokens"]
    ends = model.generation_config.eos_token_id
    for row in rows.tolist():
        length = row.index(ends) if ends in row else len(row)
        assert length >= asked.get("min_new_tokens", 0)
        if "no_repeat_ngram_size" in asked:
            bigrams = list(itertools.pairwise(row[:length]))
            assert len(set(bigrams)) == len(bigrams)


@pytest.mark.parametrize("model_type", ["bart", "t5", "marian"])
@pytest.mark.usefixtures("silence")
def test_what_a_checkpoint_says_is_told_and_not_used(model_type, tmp_path):
    tokenizer = tiny_tokenizer(model_type)
    model = tiny(model_type, "AutoModelForSeq2SeqLM", tokenizer)
    expected = written(model, tokenizer, {"max_new_tokens": 12})
    models.save(model, tokenizer, tmp_path)
    file = tmp_path / "generation_config.json"
    values = json.loads(file.read_text())
    bad = [[next(token for token in range(5, 50) if token not in expected)]]
    file.write_text(json.dumps({**values, **THEIRS, "max_new_tokens": None, "bad_words_ids": bad}))
    loaded = models.load_finetuned(str(tmp_path), None, "AutoModelForSeq2SeqLM", tokenizer, 32)
    found = models.generation_settings(loaded.model, {"max_new_tokens": 12})
    assert found.differs == THEIRS
    assert found.told == {
        "max_new_tokens": 12,
        "num_beams": 1,
        "length_penalty": 1.0,
        "early_stopping": False,
        "no_repeat_ngram_size": 0,
        "repetition_penalty": 1.0,
        "do_sample": False,
        "bad_words_ids": bad,
        **{key: value for key, value in values.items() if key.endswith("_token_id")},
    }
    assert model.generation_config.bad_words_ids is None
    assert torch.equal(written(loaded.model, tokenizer, {"max_new_tokens": 12}), expected)


@pytest.mark.usefixtures("silence")
def test_what_an_old_config_json_says_is_told_and_not_used(tmp_path):
    tokenizer = tiny_tokenizer("bart")
    model = tiny("bart", "AutoModelForSeq2SeqLM", tokenizer)
    expected = written(model, tokenizer, {"max_new_tokens": 12})
    models.save(model, tokenizer, tmp_path)
    (tmp_path / "generation_config.json").unlink()
    file = tmp_path / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **THEIRS}))
    loaded = models.load_finetuned(str(tmp_path), None, "AutoModelForSeq2SeqLM", tokenizer, 32)
    found = models.generation_settings(loaded.model, {"max_new_tokens": 12})
    assert found.differs == THEIRS
    assert torch.equal(written(loaded.model, tokenizer, {"max_new_tokens": 12}), expected)


def test_settings_are_saved_with_the_model(tmp_path):
    tokenizer = tiny_tokenizer("bart")
    model = tiny("bart", "AutoModelForSeq2SeqLM", tokenizer)
    rows = written(model, tokenizer, BEAMS)
    models.save(model, tokenizer, tmp_path)
    told = GenerationConfig.from_pretrained(tmp_path)
    assert {key: getattr(told, key) for key in BEAMS} == BEAMS
    loaded = models.load_finetuned(str(tmp_path), None, "AutoModelForSeq2SeqLM", tokenizer, 32)
    assert models.generation_settings(loaded.model, BEAMS).differs == {}
    assert torch.equal(loaded.model.eval().generate(**inputs(tokenizer))[:, 1:], rows)


def test_nothing_is_changed_before_it_is_put_on():
    model = tiny("t5", "AutoModelForSeq2SeqLM")
    before = model.generation_config.to_dict()
    models.generation_settings(model, BEAMS)
    assert model.generation_config.to_dict() == before


def test_sampling_has_all_its_settings_told():
    model = tiny("gpt2", "AutoModelForCausalLM")
    told = models.generation_settings(model, {"max_new_tokens": 3, "do_sample": True}).told
    assert {key: told[key] for key in ("temperature", "top_k", "top_p")} == {
        "temperature": 1.0,
        "top_k": 50,
        "top_p": 1.0,
    }
    greedy = models.generation_settings(model, {"max_new_tokens": 3, "temperature": None}).told
    assert "temperature" not in greedy


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "task.generation needs max_new_tokens; models stop after 20 tokens otherwise"),
        (
            {"max_new_tokens": 5, "temperature": 0.5},
            "task.generation.temperature needs task.generation.do_sample: true (got 0.5)",
        ),
        (
            {"max_new_tokens": 5, "do_sample": False, "top_k": 3},
            "task.generation.top_k needs task.generation.do_sample: true (got 3)",
        ),
        (
            {"max_new_tokens": 5, "length_penalty": 0.6},
            "task.generation.length_penalty is of beam search, and num_beams is 1 (got 0.6); leave "
            "it out, or set num_beams to 2 or more",
        ),
        (
            {"max_new_tokens": 5, "min_new_tokens": 6},
            "task.generation.min_new_tokens is 6, and max_new_tokens 5; it must not be more",
        ),
        ({"max_new_tokens": 5, "beams": 2}, "task.generation: unknown settings beams"),
    ],
)
def test_settings_without_effect(asked, message):
    with pytest.raises(UserError) as caught:
        models.generation_settings(tiny("gpt2", "AutoModelForCausalLM"), asked)
    assert str(caught.value) == message


def test_a_model_that_writes_nothing():
    with pytest.raises(UserError, match=r"^this bert model has no head that writes text$"):
        models.generation_settings(tiny("bert", "AutoModelForMaskedLM"), {"max_new_tokens": 5})


def test_mbart_begins_with_the_language_that_it_is_to_write(tmp_path):
    tokenizer = tiny_tokenizer("mbart")
    model = tiny("mbart", "AutoModelForSeq2SeqLM", tokenizer)
    german, english = tokenizer.convert_tokens_to_ids(["de_DE", "en_XX"])
    ids = models.set_languages(tokenizer, "en_XX", "de_DE")
    assert ids == {"decoder_start_token_id": german}
    labels = tokenizer(text_target="Eine Frau", return_tensors="pt")["input_ids"]
    assert labels[0, -1] == german
    assert tokenizer("a dog")["input_ids"][-1] == english
    # What the decoder reads first in training is what it begins with in generation.
    assert model.prepare_decoder_input_ids_from_labels(labels)[0, 0] == german
    found = models.generation_settings(model, {"max_new_tokens": 4, **ids})
    found.put_onto(model)
    assert (model.generate(**inputs(tokenizer))[:, 0] == german).all()
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again(text_target="Eine Frau")["input_ids"] == labels[0].tolist()


def test_a_model_that_is_forced_to_begin_with_its_language():
    tokenizer = MBart50Tokenizer()
    ids = models.set_languages(tokenizer, None, "de_DE")
    german = tokenizer.convert_tokens_to_ids("de_DE")
    assert ids == {"forced_bos_token_id": german}
    model = tiny("mbart", "AutoModelForSeq2SeqLM")
    end = model.generation_config.eos_token_id
    asked = {"max_new_tokens": 4, "decoder_start_token_id": end, "forced_bos_token_id": 9}
    models.generation_settings(model, asked).put_onto(model)
    rows = model.generate(**inputs(tiny_tokenizer("mbart")))
    assert (rows[:, 0] == end).all()
    assert (rows[:, 1] == 9).all()


@pytest.mark.parametrize(("code", "close"), [("de", "allowed: ar_AR, cs_CZ"), ("de_De", "de_DE")])
def test_a_language_that_there_is_not(code, close):
    tokenizer = tiny_tokenizer("mbart")
    with pytest.raises(UserError, match=f"^task.target_language: .* no language {code};.*{close}"):
        models.set_languages(tokenizer, "en_XX", code)


def test_a_tokenizer_without_languages():
    assert models.has_languages(tiny_tokenizer("mbart"))
    for model_type in ("bart", "t5", "marian"):
        assert not models.has_languages(tiny_tokenizer(model_type))
    with pytest.raises(UserError, match="this tokenizer has no language codes"):
        models.set_languages(tiny_tokenizer("bart"), None, "de_DE")
