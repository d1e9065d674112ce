"""Error rates against jiwer, the length ratio against sacrebleu, distinct-n by hand."""

from __future__ import annotations

import math

import jiwer
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from noisy_texts import (
    CHINESE,
    SENTENCES,
    THAI,
    as_array,
    corpus,
    draw_counts,
    repeated,
)
from sacrebleu.metrics import BLEU

from nlpbench.config.errors import UserError
from nlpbench.evaluation.metrics.cer import Cer
from nlpbench.evaluation.metrics.distinct import Distinct
from nlpbench.evaluation.metrics.length_ratio import LengthRatio
from nlpbench.evaluation.metrics.wer import Wer

TIDY = [jiwer.RemoveMultipleSpaces(), jiwer.Strip()]
PLAIN = [jiwer.ToLowerCase(), jiwer.RemovePunctuation(), *TIDY]
WORDS, CHARACTERS = jiwer.ReduceToListOfListOfWords(), jiwer.ReduceToListOfListOfChars()


@pytest.mark.parametrize("plain", [False, True])
def test_error_rates_are_jiwers(plain):
    predictions, references = corpus(seed=1)
    truth = [row[0] for row in references]
    before = PLAIN if plain else TIDY
    options = {"lowercase": plain, "remove_punctuation": plain}
    words = jiwer.Compose([*before, WORDS])
    characters = jiwer.Compose([*before, CHARACTERS])
    expected = {
        "wer": jiwer.wer(truth, predictions.tolist(), words, words),
        "cer": jiwer.cer(truth, predictions.tolist(), characters, characters),
    }
    found = Wer(**options).compute(predictions, references)
    found |= Cer(**options).compute(predictions, references)
    assert found == {key: pytest.approx(value, rel=1e-12) for key, value in expected.items()}
    assert all(0.05 < value < 1 for value in found.values())


def test_of_several_references_the_one_with_the_lowest_rate_counts():
    predictions = as_array(["a b c d", "x y"])
    references = as_array([["a b", "a b c e f g h h h h"], ["x", "x z z z", "q r"]])
    # 2 edits in 2 words or 7 in 10; 1 in 1 or 3 in 4 or 2 in 2.
    assert Wer().compute(predictions, references) == {"wer": (7 + 3) / (10 + 4)}


def test_of_references_with_the_same_rate_the_longest_counts():
    predictions = as_array(["a b", "a b c d e"])
    references = as_array([["a x", "a b x y"], ["a b c d e"]])
    assert Wer().compute(predictions, references) == {"wer": 2 / 9}


def test_error_rates_with_several_references_are_jiwers_on_the_best_ones():
    predictions, references = corpus(n=60, references=(3, 1, 2), seed=3)
    best = [
        min(row, key=lambda text, prediction=prediction: (jiwer.wer(text, prediction), -len(text)))
        for prediction, row in zip(predictions, references, strict=True)
    ]
    assert any(text != row[0] for text, row in zip(best, references, strict=True))
    expected = jiwer.process_words(best, predictions.tolist())
    found = Wer().statistics(predictions.tolist(), references.tolist())
    rates = [jiwer.wer(*pair) for pair in zip(best, predictions, strict=True)]
    np.testing.assert_allclose(found[:, 0] / found[:, 1], rates, rtol=1e-12)
    assert Wer().compute(predictions, references)["wer"] == pytest.approx(expected.wer, abs=0.01)


def test_cer_counts_code_points_and_single_spaces():
    predictions, references = as_array(["  né  a "]), as_array([["ne\u0301 a"]])
    assert Cer().compute(predictions, references) == {"cer": 2 / 5}
    assert Cer().compute(as_array(["né  a"]), as_array([["né a"]])) == {"cer": 0.0}


def test_more_edits_than_words_are_more_than_one():
    assert Wer().compute(as_array(["a b c d"]), as_array([["x"]])) == {"wer": 4.0}


def test_references_of_punctuation_alone_leave_no_rate():
    predictions, references = as_array(["a", "b"]), as_array([["..."], ["?"]])
    assert math.isnan(Wer(remove_punctuation=True).compute(predictions, references)["wer"])
    assert Wer().compute(predictions, references) == {"wer": 1.0}


def test_the_word_length_ratio_is_that_of_bleus_brevity_penalty():
    predictions, references = corpus(references=3, seed=9)
    streams = list(zip(*references, strict=True))
    expected = BLEU(tokenize="none").corpus_score(predictions.tolist(), streams)
    scores = LengthRatio().compute(predictions, references)
    assert scores["length_ratio"] == pytest.approx(expected.ratio, rel=1e-12)
    assert 0.5 < expected.ratio < 0.999


def test_length_ratios_by_hand():
    predictions, references = as_array(["ab c", "d"]), as_array([["a b cd", "x"], ["de f", "g"]])
    # Words: 2 for 3 or 1, both 1 away, so the shorter; 1 for 1. Characters: 3 for 4; 1 for 1.
    scores = LengthRatio().compute(predictions, references)
    assert scores == {"length_ratio": 3 / 2, "length_ratio_characters": 4 / 5}
    assert list(LengthRatio().compute(as_array(["a"]), as_array([["a"]])).values()) == [1.0, 1.0]


def test_distinct_n_by_hand():
    predictions = as_array(["a b a b", "b a", "c"])
    references = as_array([["x"], ["y"], ["z"]])
    # Bigrams: ab ba ab, ba, none; 7 tokens, 4 bigrams, of which 2 differ.
    expected = {
        Distinct(): {"distinct2": 2 / 7},
        Distinct(per="n-grams"): {"distinct2": 2 / 4},
        Distinct(n=1): {"distinct1": 3 / 7},
        Distinct(n=4): {"distinct4": 1 / 7},
        Distinct(n=5, per="n-grams"): {"distinct5": pytest.approx(math.nan, nan_ok=True)},
        Distinct(n=2, tokens="characters"): {"distinct2": 2 / 7},
    }
    for metric, scores in expected.items():
        assert metric.compute(predictions, references) == scores
    joined = as_array(["ab ab", "", "我喜欢我喜"])
    characters = Distinct(n=2, tokens="characters").compute(joined, references)
    assert characters == {"distinct2": 5 / 9}


ALL = [
    Wer(),
    Wer(lowercase=True, remove_punctuation=True),
    Cer(),
    Cer(lowercase=True, remove_punctuation=True),
    LengthRatio(),
    Distinct(),
    Distinct(n=1, tokens="characters", per="n-grams"),
]
TEXT = st.lists(st.sampled_from(["a", "b", "Ab", "...", "c"]), max_size=5).map(" ".join)
ROWS = st.lists(st.tuples(TEXT, st.lists(TEXT, min_size=1, max_size=3)), min_size=1, max_size=7)


@pytest.mark.parametrize("metric", ALL, ids=repr)
def test_a_resample_scores_as_its_repeated_texts_do(metric):
    @settings(deadline=None, max_examples=60, database=None, derandomize=True)
    @given(ROWS, st.integers(0, 1000))
    def check(rows, seed):
        predictions = as_array([prediction for prediction, _ in rows])
        references = as_array([row for _, row in rows])
        counts = draw_counts(len(rows), 4, seed)
        found = metric.resample(predictions, references, counts)
        for index, drawn in enumerate(counts):
            expected = metric.compute(repeated(predictions, drawn), repeated(references, drawn))
            assert list(found) == list(expected)
            for key, value in expected.items():
                assert found[key][index] == pytest.approx(value, abs=1e-12, nan_ok=True)

    check()


def test_distinct_n_of_many_resamples_in_blocks(monkeypatch):
    predictions, references = corpus(n=200, seed=21)
    counts = draw_counts(200, 50)
    metric = Distinct(n=2)
    whole = metric.resample(predictions, references, counts)["distinct2"]
    monkeypatch.setattr("nlpbench.evaluation.distinct_resamples.CELLS", 700)
    np.testing.assert_array_equal(
        metric.resample(predictions, references, counts)["distinct2"], whole
    )
    for index in (0, 23, 49):
        texts = repeated(predictions, counts[index])
        assert metric.compute(texts, references)["distinct2"] == whole[index]


@pytest.mark.parametrize("metric", ALL, ids=repr)
def test_no_texts_have_no_score(metric):
    nothing = as_array([])
    scores = metric.compute(nothing, nothing)
    found = metric.resample(nothing, nothing, np.zeros((3, 0), dtype=np.int64))
    assert list(found) == list(scores)
    assert all(math.isnan(score) for score in scores.values())
    assert all(np.isnan(values).all() and values.shape == (3,) for values in found.values())


def test_the_signature_tells_the_options_and_the_number_of_references():
    _, references = corpus(n=6, references=(1, 2))
    wer = Wer(lowercase=True)
    assert wer.signature().startswith(
        "case:lc|punctuation:kept|space:collapsed|reference:lowest-rate|rapidfuzz:"
    )
    assert wer.signature_for(references) == f"nrefs:var|{wer.signature()}"
    assert LengthRatio().signature_for(references[:1]).startswith("nrefs:1|words:white-space")
    assert Distinct().signature() == "n:2|tokens:words|per:tokens|level:corpus"


def test_counting_words_in_a_script_without_spaces_is_refused():
    for texts in (CHINESE, THAI):
        predictions, references = as_array(texts), as_array([[text] for text in texts])
        with pytest.raises(UserError, match="wer counts words: take cer"):
            Wer().check(predictions, references)
        with pytest.raises(UserError, match="set tokens: characters"):
            Distinct().check(predictions, references)
        for metric in (Cer(), LengthRatio(), Distinct(tokens="characters")):
            assert metric.check(predictions, references) == []


@pytest.mark.parametrize("metric", ALL, ids=repr)
def test_every_text_metric_refuses_references_that_are_flat(metric):
    with pytest.raises(UserError, match="must be a list of strings"):
        metric.check(as_array(SENTENCES), as_array(SENTENCES))
