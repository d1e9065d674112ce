"""ROUGE: rouge-score's own numbers for Latin letters, and words of every other script."""

from __future__ import annotations

import math
import unicodedata
from importlib.metadata import version

import numpy as np
import pytest
import regex
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from rouge_score.rouge_scorer import RougeScorer

from nlpbench.config.errors import UserError
from nlpbench.evaluation.metrics.rouge import Rouge
from nlpbench.evaluation.rouge_tokens import rouge_and_other_words, unicode_words
from nlpbench.evaluation.sentence_splitting import split_sentences

TYPES = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
SCRIPTS = {
    "Chinese": "我们今天去公园散步。天气很好！你呢？",
    "Japanese": "カーテンを買いました。ｶﾞﾗｽも見た。",
    "Korean": "우리는 오늘 공원에 갔다. 날씨가 좋았다.",
    "Cyrillic": "Мы пошли в парк. Йод и ёлка были там!",
    "Greek": "Πήγαμε στο πάρκο. Ο καιρός ήταν καλός.",
    "Bengali": "আমি বাংলায় গান গাই। সে কাল আসবে।",
    "Hindi": "मैं हिन्दी बोलता हूँ। वह कल आएगी।",
    "Tamil": "நான் தமிழ் பேசுகிறேன். அவள் வருவாள்.",
    "Arabic": "ذهبنا إلى الحديقة عام ٢٠٢٤. كان الطقس جميلا؟",
    "Persian": "می‌خواهم به پارک بروم. هوا خوب است.",
    "Hebrew": "הלכנו לפארק. מזג האוויר היה טוב.",
    "Thai": "วันนี้เราไปสวนสาธารณะ ปี ๒๕๖๗",
    "Burmese": "ကျွန်တော်ပန်းခြံသွားတယ်။ ရာသီဥတုကောင်းတယ်။",
    "Khmer": "ខ្ញុំទៅសួន។ អាកាសធាតុល្អ។",
    "Amharic": "ወደ ፓርክ ሄድን። አየሩ ጥሩ ነበር።",
    "Georgian": "პარკში წავედით. კარგი ამინდი იყო.",
    "Vietnamese": "Chúng tôi đã đi công viên. Trời đẹp quá!",
    "Polish": "Poszliśmy do parku. Źdźbła trawy są żółte.",
}
WORDS = "The cats are running; a dog ran, nicely done! Isn't it? happily 42 re-run x_y".split(" ")
LATIN_TEXT = st.lists(
    st.sampled_from([*WORDS, "\n", "Café", "naïve", "straße", "5 µm", "m²", "İz", "e\u0301t"]),
    min_size=1,
    max_size=25,
).map(" ".join)


def texts(items: list) -> np.ndarray:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def compute(metric: Rouge, predictions: list[str], references: list[list[str]]) -> dict:
    return metric.compute(texts(predictions), texts(references))


def only(metric: Rouge, prediction: str, *references: str) -> dict[str, float]:
    return compute(metric, [prediction], [list(references)])


@pytest.mark.parametrize("stem", [True, False])
@pytest.mark.parametrize("tokenizer", ["auto", "default"])
@settings(deadline=None, max_examples=60, database=None, derandomize=True)
@given(prediction=LATIN_TEXT, references=st.lists(LATIN_TEXT, min_size=1, max_size=3))
def test_latin_text_scores_as_by_rouge_score(tokenizer, stem, prediction, references):
    metric = Rouge(tokenizer=tokenizer, use_stemmer=stem, split_sentences="newline", details=True)
    found = only(metric, prediction, *references)
    expected = RougeScorer(TYPES, use_stemmer=stem).score_multi(references, prediction)
    for key in TYPES:
        assert found[key] == expected[key].fmeasure
        assert found[f"{key}_precision"] == expected[key].precision
        assert found[f"{key}_recall"] == expected[key].recall


@settings(deadline=None, max_examples=100, database=None, derandomize=True)
@given(st.text(st.characters(max_codepoint=127), max_size=80), st.booleans())
def test_on_ascii_every_tokenizer_finds_the_words_of_rouge_score(text, stem):
    from rouge_score.tokenizers import DefaultTokenizer

    expected = DefaultTokenizer(stem).tokenize(text)
    assert unicode_words(text, stem) == rouge_and_other_words(text, stem) == expected


@pytest.mark.parametrize("tokenizer", ["auto", "unicode"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_identical_texts_of_any_script_score_one(script, tokenizer):
    text = SCRIPTS[script]
    assert only(Rouge(tokenizer=tokenizer), text, text) == dict.fromkeys(TYPES, 1.0)
    composed, apart = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    if tokenizer == "unicode" or script not in ("Vietnamese", "Polish"):
        assert only(Rouge(tokenizer=tokenizer), apart, composed) == dict.fromkeys(TYPES, 1.0)


@settings(deadline=None, max_examples=150, database=None, derandomize=True)
@given(st.text(min_size=1, max_size=40))
def test_any_text_with_a_letter_equals_itself(text):
    words = unicode_words(text, stem=True)
    assert bool(words) == bool(regex.search(r"[\p{L}\p{N}]", text))
    assume(len(words) > 1)
    assert only(Rouge(tokenizer="unicode"), text, text) == dict.fromkeys(TYPES, 1.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("我爱iPhone15手机", ["我", "爱", "iphone15", "手", "机"]),
        ("हिन्दी में २०२४", ["हिन्दी", "में", "२०२४"]),
        ("ครับ ๑๒", ["ค", "รั", "บ", "๑๒"]),
        ("カー、ﾊﾞｽ", ["カー", "ﾊﾞ", "ｽ"]),
        ("می‌خواهم", ["می‌خواهم"]),
        ("Мир, труд", ["мир", "труд"]),
        ("😀 — …", []),
    ],
)
def test_words_of_other_scripts(text, words):
    assert unicode_words(text, stem=True) == rouge_and_other_words(text, stem=True) == words


def test_accents_break_words_for_rouge_score_and_not_for_unicode():
    assert rouge_and_other_words("Ein schöner Café-Tag", stem=False) == (
        ["ein", "sch", "ner", "caf", "tag"]
    )
    assert unicode_words("Ein schöner Café-Tag", stem=False) == ["ein", "schöner", "café", "tag"]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("Dr. Smith met J. R. Hill at 5 p.m. She left.", ["Dr. Smith met J. R. Hill at 5 p.m.", "She left."]),
        ('"Why?" he asked. "Go!" She went (see Fig. 3).', ['"Why?" he asked.', '"Go!"', "She went (see Fig. 3)."]),
        ("Pi is 3.14 or so. E.g. this one.", ["Pi is 3.14 or so.", "E.g. this one."]),
        ("1. Wash. 2. Dry.", ["1. Wash.", "2. Dry."]),
        ("It was I. Then came U.S. troops.", ["It was I.", "Then came U.S. troops."]),
        ("Lines\n end sentences\n\n", ["Lines", "end sentences"]),
        ("我来了。你呢？“好！”他说", ["我来了。", "你呢？", "“好！”", "他说"]),
        ("यह पहला है। यह दूसरा है।", ["यह पहला है।", "यह दूसरा है।"]),
        ("Пришёл. Увидел!", ["Пришёл.", "Увидел!"]),
        ("¿Qué? ¡Nada! «Sí.» ¿No?", ["¿Qué?", "¡Nada!", "«Sí.»", "¿No?"]),
        (" \n ", []),
    ],
)  # fmt: skip
def test_sentences(text, sentences):
    assert split_sentences(text) == sentences


@settings(deadline=None, max_examples=100, database=None, derandomize=True)
@given(st.text(st.sampled_from("aA .!?\n1。।\"'()"), max_size=60))
def test_sentences_hold_all_the_text(text):
    assert "".join("".join(split_sentences(text)).split()) == "".join(text.split())


def test_sentences_are_found_for_rouge_lsum_where_a_text_has_no_lines():
    reference = "The cat sat down. It was tired. A dog came by."
    prediction = "A dog came by. The cat sat down. It was tired."
    scorer = RougeScorer(["rougeLsum"], use_stemmer=True)
    flat = scorer.score(reference, prediction)["rougeLsum"].fmeasure
    assert flat < 1.0
    for how, expected in (("auto", 1.0), ("regex", 1.0), ("newline", flat)):
        assert only(Rouge(split_sentences=how), prediction, reference)["rougeLsum"] == expected


def test_auto_leaves_lines_as_they_are():
    reference, prediction = "Up it went. Down it came.\nThe end.", "The end.\nDown it came up. So."
    scores = {
        how: only(Rouge(split_sentences=how), prediction, reference)["rougeLsum"]
        for how in ("auto", "newline", "regex")
    }
    lines = RougeScorer(["rougeLsum"], use_stemmer=True).score(reference, prediction)["rougeLsum"]
    assert scores["auto"] == scores["newline"] == lines.fmeasure != scores["regex"]


def test_scores_are_plain_means_over_the_rows():
    predictions = ["a cat", "a dog sat", "nothing alike"]
    references = [["a cat"], ["the dog sat"], ["words of mine"]]
    found = compute(Rouge(), predictions, references)
    rows = [only(Rouge(), p, *r) for p, r in zip(predictions, references, strict=True)]
    for key in TYPES:
        assert found[key] == pytest.approx(sum(row[key] for row in rows) / 3)


def test_types_and_details_choose_the_keys_and_their_order():
    metric = Rouge(types=["rougeLsum", "rouge1", "rougeLsum"], details=True)
    assert list(only(metric, "a b", "a c")) == [
        *("rougeLsum", "rouge1"),
        *("rougeLsum_precision", "rougeLsum_recall", "rouge1_precision", "rouge1_recall"),
    ]
    found = only(metric, "a b c d", "a b")
    assert (found["rouge1_precision"], found["rouge1_recall"]) == (0.5, 1.0)


@pytest.mark.parametrize("options", [{"types": []}, {"types": ["rouge3"]}, {"tokenizer": "jieba"}])
def test_options_must_be_known(options):
    with pytest.raises(ValidationError, match=next(iter(options))):
        Rouge(**options)


def test_no_rows_have_no_score_and_empty_texts_score_zero():
    found = compute(Rouge(), [], [])
    assert list(found) == TYPES
    assert all(math.isnan(score) for score in found.values())
    assert only(Rouge(), "", "a b c") == dict.fromkeys(TYPES, 0.0)


def test_resamples_score_as_the_repeated_rows_do():
    predictions = texts(["a cat", "a dog sat", "nothing alike", "又一个句子"])
    references = texts([["a cat"], ["the dog sat", "a dog"], ["words of mine"], ["一个句子"]])
    counts = np.array([[1, 1, 1, 1], [4, 0, 0, 0], [0, 2, 1, 1]])
    metric = Rouge(details=True)
    found = metric.resample(predictions, references, counts)
    for row, drawn in enumerate(counts):
        index = np.repeat(np.arange(4), drawn)
        expected = metric.compute(predictions[index], references[index])
        assert list(found) == list(expected)
        for key, score in expected.items():
            assert found[key][row] == pytest.approx(score)


def check(metric: Rouge, *references: str) -> list[str]:
    return metric.check(texts(["words"] * len(references)), texts([[text] for text in references]))


@pytest.mark.parametrize("script", ["Chinese", "Cyrillic", "Bengali", "Hindi", "Arabic", "Thai"])
def test_the_default_tokenizer_refuses_a_script_that_it_cannot_read(script):
    with pytest.raises(UserError, match="write tokenizer: unicode"):
        check(Rouge(tokenizer="default"), SCRIPTS[script], SCRIPTS[script])
    assert check(Rouge(), SCRIPTS[script]) == []
    assert check(Rouge(tokenizer="unicode"), SCRIPTS[script]) == []


def test_the_default_tokenizer_warns_of_rows_that_it_cannot_read():
    english = "A long enough text in English about alpha-synuclein, by which we mean α-synuclein"
    assert check(Rouge(tokenizer="default"), english) == []
    [warning] = check(Rouge(tokenizer="default"), english, SCRIPTS["Chinese"])
    assert "1 of 2 references" in warning
    assert "row 2" in warning


def test_accented_text_is_told_that_words_are_broken():
    [warning] = check(Rouge(), SCRIPTS["Vietnamese"])
    assert "write tokenizer: unicode to keep words whole" in warning
    for metric in (Rouge(tokenizer="unicode"), Rouge(tokenizer="default")):
        assert check(metric, SCRIPTS["Vietnamese"]) == []
    assert (
        check(Rouge(), "A café is a place " + "where people meet to talk of many things " * 3) == []
    )


def test_input_that_cannot_be_meant_so_is_refused():
    with pytest.raises(UserError, match="row"):
        Rouge().check(texts(["a", "b"]), texts([["a"], []]))


def test_the_signature_tells_stemmer_tokenizer_and_sentences():
    assert Rouge().signature() == (
        "range:0-1|measure:f|tokenizer:auto|stemmer:porter|sentences:auto|references:best"
        f"|rouge-score:{version('rouge-score')}"
    )
    assert "sentences" not in Rouge(types=["rouge1"]).signature()
    assert "stemmer:no" in Rouge(use_stemmer=False).signature()
