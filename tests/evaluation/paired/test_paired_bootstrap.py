"""The paired bootstrap against sacrebleu's and against its own definition."""

from __future__ import annotations

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.significance import PairedTest
from two_systems import answered, labelled, of_accuracy, translations

from nlpbench.evaluation.bootstrap import intervals
from nlpbench.evaluation.metrics.accuracy import Accuracy
from nlpbench.evaluation.metrics.bleu import Bleu
from nlpbench.evaluation.metrics.chrf import Chrf
from nlpbench.evaluation.metrics.distinct import Distinct
from nlpbench.evaluation.metrics.mse import Mse
from nlpbench.evaluation.paired import compare
from nlpbench.evaluation.paired.bootstrap import drawn_differences, p_value
from nlpbench.evaluation.paired.pair import Pair

SURE = {"confidence": 0.95, "resamples": 1000, "seed": 3}


@pytest.mark.parametrize("extra", [0.15, 0.3])
@pytest.mark.parametrize(
    ("metric", "oracle", "name"),
    [(Bleu(), BLEU, "BLEU"), (Chrf(), CHRF, "chrF2")],
    ids=["bleu", "chrf"],
)
def test_differences_of_resamples_are_those_of_sacrebleu(metric, oracle, name, extra):
    """With its arithmetic they give its p-value, which takes magnitudes before it centres them."""
    right, one, other, pair = translations(100, seed=6, extra=extra)
    drawn = drawn_differences(Pair.of(metric, pair[:1], pair[1:]), 1000, seed=3)[metric.key]
    systems = [("other", other), ("one", one)]
    _, scores = PairedTest(systems, {name: oracle(references=[right])}, None, "bs", 1000)()
    theirs = scores[name][1]
    found = compare(metric, metric.key, *pair, **SURE, test="bootstrap")
    assert found.value == pytest.approx(theirs.score - scores[name][0].score, abs=1e-9)
    by_chance = np.abs(drawn) - np.abs(drawn).mean()
    p = (1 + (by_chance > abs(found.value)).sum()) / 1001
    assert p == pytest.approx(theirs.p_value, abs=4 * (2 * p * (1 - p) / 1000) ** 0.5 + 0.002)
    assert found.p_value > theirs.p_value


def test_the_p_value_is_the_share_of_centred_differences_as_far_out():
    drawn = np.random.default_rng(0).normal(1.0, 1.0, 999)
    centred = drawn - drawn.mean()
    expected = (1 + sum(abs(value) >= 1.7 for value in centred)) / 1000
    assert p_value(drawn, 1.7) == expected == p_value(drawn, -1.7)
    assert p_value(drawn, 0.0) == 1.0
    assert p_value(drawn, 50.0) == 1 / 1000


def test_the_interval_is_of_the_difference_on_the_same_resamples():
    """Of systems that err on the same rows it is narrower than what their own intervals tell."""
    one, other = of_accuracy(0.8, 0.8, 300, seed=1)
    flipped = one.predictions.answers.copy()
    flipped[:6] = 1 - flipped[:6]
    near = labelled(one.references, flipped)
    close = compare(Accuracy(), "accuracy", one, near, **SURE)
    apart = compare(Accuracy(), "accuracy", one, other, **SURE)
    assert close.high - close.low < (apart.high - apart.low) / 3
    assert close.low <= close.value <= close.high


def test_a_mean_has_the_interval_of_the_mean_of_the_differences():
    chance = np.random.default_rng(2)
    references, first, second = chance.normal(size=(3, 120))
    sides = [answered("values", references, each) for each in (first, second)]
    gains = (first - references) ** 2 - (second - references) ** 2
    zeros = np.zeros(120)
    found = compare(Mse(), "mse", *sides, **SURE)
    # Every row's difference as the error of one system, whose interval is that of the mean.
    shifted = gains - gains.min()
    expected = intervals(Mse(), np.sqrt(shifted), zeros, (), **SURE)["mse"]
    assert found.low == pytest.approx(expected.low + gains.min())
    assert found.high == pytest.approx(expected.high + gains.min())
    assert found.value == pytest.approx(gains.mean())


def test_the_difference_is_the_first_less_the_second_whichever_is_better():
    one, other = of_accuracy(0.9, 0.6, 200, seed=3)
    there = compare(Accuracy(), "accuracy", one, other, **SURE)
    back = compare(Accuracy(), "accuracy", other, one, **SURE)
    assert there.value == -back.value > 0
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert there.p_value == back.p_value


def test_whole_clusters_are_drawn():
    """Copies of a row tell nothing new: an interval over rows would be narrower."""
    one, other = of_accuracy(0.8, 0.7, 40, seed=4)
    tenfold = [
        labelled(
            np.repeat(each.references, 10),
            np.repeat(each.predictions.answers, 10),
            clusters=np.repeat(np.arange(40), 10).tolist(),
        )
        for each in (one, other)
    ]
    plain = compare(Accuracy(), "accuracy", one, other, **SURE, test="randomisation")
    found = compare(Accuracy(), "accuracy", *tenfold, **SURE)
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high))
    assert found.p_value == plain.p_value
    assert found.value == pytest.approx(plain.value)


def test_a_score_without_resamples_has_a_test_and_no_interval():
    _, _, _, pair = translations(60, seed=1, extra=0.5)
    found = compare(Distinct(), "distinct2", *pair, **{**SURE, "resamples": 200})
    assert (found.low, found.high) == (None, None)
    assert found.test == "randomisation"
    assert 0 < found.p_value <= 1
    assert compare(Distinct(), "distinct2", *pair, **SURE, test="bootstrap").p_value is None


def test_one_row_has_no_interval():
    one, other = labelled([1], [1]), labelled([1], [0])
    found = compare(Accuracy(), "accuracy", one, other, **SURE)
    assert (found.value, found.low, found.high, found.p_value) == (1.0, None, None, 1.0)
