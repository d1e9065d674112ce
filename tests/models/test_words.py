"""Lists of words: each word is read as it would be inside of a text."""

from __future__ import annotations

import pytest
from tiny_models import MODEL_TYPES, SENTENCES, tiny_section, tiny_tokenizer
from transformers import AutoTokenizer

from nlpbench import models
from nlpbench.config.sections import ModelSection

WORDS = ["dog", "runs", "across", "the", "wet", "grass"]
GLUE = {"roberta", "modernbert", "gpt2", "llama", "bart"}


def tokens(tokenizer, words):
    return tokenizer.convert_ids_to_tokens(tokenizer(words, is_split_into_words=True)["input_ids"])


def behind_the_first(tokenizer, words):
    """The tokens behind the first word, from a list of words and from a text."""
    told = tokenizer(words, is_split_into_words=True)
    found = tokens(tokenizer, words)[told.word_ids().index(1) :]
    text = tokenizer.convert_ids_to_tokens(tokenizer(" ".join(words))["input_ids"])
    return found, text[-len(found) :]


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_words_are_read_as_in_a_text(model_type, tmp_path):
    tokenizer = tiny_tokenizer(model_type)
    found, text = behind_the_first(tokenizer, WORDS)
    assert (found != text) == (model_type in GLUE)
    assert models.for_words(tokenizer) is tokenizer
    found, text = behind_the_first(tokenizer, WORDS)
    assert found == text
    whole = tokens(tokenizer, WORDS)
    assert tokens(models.for_words(tokenizer), WORDS) == whole
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert tokens(again, WORDS) == whole
    assert tokens(models.for_words(again), WORDS) == whole


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_tokens_know_their_words_and_places_in_them(model_type):
    tokenizer = models.for_words(tiny_tokenizer(model_type))
    words = ["wet", "grass", "Prices", "x", "grass"]
    told = tokenizer(words, is_split_into_words=True, return_offsets_mapping=True)
    seen = [set() for _ in words]
    for number, (start, end) in zip(told.word_ids(), told["offset_mapping"], strict=True):
        if number is not None:
            seen[number] |= set(range(start, end))
    assert seen == [set(range(len(word))) for word in words]


@pytest.mark.parametrize("kind", ["bpe", "wordpiece", "unigram"])
@pytest.mark.parametrize("model_type", ["bert", "t5", "marian", "qwen2"])
def test_other_kinds_of_tokenizers_too(model_type, kind):
    section = ModelSection(
        config={"model_type": model_type},
        tokenizer={"train": {"vocab_size": 600, "type": kind}},
    )
    tokenizer = models.for_words(models.tokenizer(section, SENTENCES))
    found, text = behind_the_first(tokenizer, WORDS)
    assert found == text


def test_the_text_itself_comes_back():
    for model_type in GLUE:
        tokenizer = models.for_words(tiny_tokenizer(model_type))
        ids = tokenizer(WORDS, is_split_into_words=True)["input_ids"]
        assert tokenizer.decode(ids, skip_special_tokens=True).strip() == " ".join(WORDS)


def test_sections_and_tokenizers_of_the_factory_agree():
    assert len(models.tokenizer(tiny_section("gpt2"), SENTENCES)) == len(tiny_tokenizer("gpt2"))
