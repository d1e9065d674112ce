"""Perplexity: the written definition, recomputed with exact fractions, and its edges."""

from __future__ import annotations

import math
from decimal import Decimal, getcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from nlpbench.config.sections import EvaluationSection
from nlpbench.evaluation.bootstrap import draw_counts
from nlpbench.evaluation.metrics.perplexity import KEYS, Perplexity

getcontext().prec = 50
DOCUMENT = st.tuples(
    st.floats(-500, 0), st.integers(0, 60), st.integers(0, 40), st.integers(0, 200)
)


def arrays(documents: list[tuple[float, int, int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Predictions and references from (log-likelihood, tokens, words, bytes)."""
    table = np.array(documents, dtype=np.float64).reshape(len(documents), 4)
    return table[:, :2], table[:, 2:].astype(np.int64)


def by_definition(documents: list[tuple[float, int, int, int]]) -> dict[str, float]:
    nats = -sum((Decimal(document[0]) for document in documents), Decimal(0))
    tokens, words, size = (sum(document[part] for document in documents) for part in (1, 2, 3))

    def per(count: int) -> float:
        return float((nats / count).exp()) if count else math.nan

    bits = float(nats / size / Decimal(2).ln()) if size else math.nan
    return {
        "perplexity": per(tokens),
        "word_perplexity": per(words),
        "byte_perplexity": per(size),
        "bits_per_byte": bits,
    }


@settings(deadline=None, max_examples=100, database=None, derandomize=True)
@given(st.lists(DOCUMENT, min_size=1, max_size=8))
def test_it_is_the_written_definition(documents):
    found = Perplexity().compute(*arrays(documents))
    expected = by_definition(documents)
    assert list(found) == list(expected)
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, rel=1e-10, nan_ok=True)


def test_a_uniform_model_has_the_perplexity_of_its_choices():
    tokens = np.array([3, 10, 7])
    predictions = np.column_stack([-tokens * math.log(50), tokens])
    found = Perplexity().compute(predictions, np.column_stack([tokens, 4 * tokens]))
    assert found == pytest.approx(
        {
            "perplexity": 50.0,
            "word_perplexity": 50.0,
            "byte_perplexity": 50**0.25,
            "bits_per_byte": math.log2(50) / 4,
        }
    )


def test_long_documents_weigh_more_than_short_ones():
    predictions, references = arrays([(-100.0, 100, 80, 400), (-10.0, 1, 1, 4)])
    token = Perplexity().compute(predictions, references)["perplexity"]
    assert token == pytest.approx(math.exp(110 / 101))
    assert token != pytest.approx((math.exp(1) + math.exp(10)) / 2)


def test_units_choose_the_keys_and_their_order():
    metric = Perplexity(units=["bits", "token", "bits"])
    assert list(metric.compute(*arrays([(-1.0, 2, 1, 4)]))) == ["bits_per_byte", "perplexity"]
    assert set(KEYS.values()) == set(Perplexity().compute(*arrays([(-1.0, 2, 1, 4)])))


@pytest.mark.parametrize("units", [[], ["tokens"]])
def test_units_must_be_known_and_some(units):
    with pytest.raises(ValidationError, match="units"):
        Perplexity(units=units)


@pytest.mark.parametrize("likelihood", [-1e6, -1e300, -math.inf])
def test_what_no_float_can_hold_is_infinite_without_a_warning(likelihood):
    predictions, references = arrays([(likelihood, 3, 2, 9), (-1.0, 3, 2, 9)])
    found = Perplexity().compute(predictions, references)
    assert found["perplexity"] == found["word_perplexity"] == math.inf
    many = Perplexity().resample(predictions, references, np.array([[2, 0], [0, 2]]))
    assert many["perplexity"][0] == math.inf
    assert many["perplexity"][1] == pytest.approx(math.exp(1 / 3))


def test_an_unknown_likelihood_is_undefined_where_it_is_drawn():
    predictions, references = arrays([(math.nan, 3, 2, 9), (-1.0, 3, 2, 9)])
    found = Perplexity().resample(predictions, references, np.array([[1, 1], [0, 2]]))
    for scores in found.values():
        assert math.isnan(scores[0])
        assert math.isfinite(scores[1])


def test_without_documents_tokens_or_words_it_is_undefined():
    assert all(math.isnan(score) for score in Perplexity().compute(*arrays([])).values())
    found = Perplexity().compute(*arrays([(-2.0, 2, 0, 3)]))
    assert math.isnan(found["word_perplexity"])
    assert found["perplexity"] == pytest.approx(math.e)


@settings(deadline=None, max_examples=50, database=None, derandomize=True)
@given(st.lists(DOCUMENT, min_size=1, max_size=6), st.data())
def test_resamples_score_as_the_repeated_documents_do(documents, data):
    predictions, references = arrays(documents)
    n = len(documents)
    draws = data.draw(st.lists(st.integers(0, n - 1), min_size=n, max_size=n))
    counts = np.bincount(draws, minlength=n)[None]
    found = Perplexity().resample(predictions, references, counts)
    expected = Perplexity().compute(predictions[draws], references[draws])
    for key, scores in found.items():
        assert scores[0] == pytest.approx(expected[key], rel=1e-9, nan_ok=True)


def test_its_interval_holds_the_score():
    random = np.random.default_rng(1)
    tokens = random.integers(20, 200, 60)
    predictions = np.column_stack([-random.uniform(1, 4, 60) * tokens, tokens])
    references = np.column_stack([tokens // 2, tokens * 3])
    [counts] = draw_counts(60, 300, EvaluationSection().bootstrap_seed)
    found = Perplexity().resample(predictions, references, counts)
    for key, score in Perplexity().compute(predictions, references).items():
        low, high = np.quantile(found[key], [0.025, 0.975])
        assert low < score < high


def test_documents_without_scored_tokens_are_named():
    metric = Perplexity()
    predictions, references = arrays([(-1.0, 2, 1, 4), (0.0, 0, 1, 5), (0.0, 0, 1, 5)])
    [warning] = metric.check(predictions, references)
    assert "2 of 3 documents have no scored token (the first is row 2)" in warning
    assert metric.check(predictions[:1], references[:1]) == []


def test_lower_is_better():
    assert Perplexity.higher_is_better is False
    assert "weighting:token" in Perplexity().signature()
