"""Approximate randomisation against sacrebleu's, against all arrangements, and its refusals."""

from __future__ import annotations

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, TER
from sacrebleu.significance import PairedTest
from scipy.stats import permutation_test
from two_systems import LABELS, answered, labelled, of_accuracy, translations

from nlpbench.config.errors import UserError
from nlpbench.evaluation.metrics.accuracy import Accuracy
from nlpbench.evaluation.metrics.bleu import Bleu
from nlpbench.evaluation.metrics.f1 import F1
from nlpbench.evaluation.metrics.mse import Mse
from nlpbench.evaluation.metrics.perplexity import Perplexity
from nlpbench.evaluation.metrics.roc_auc import RocAuc
from nlpbench.evaluation.metrics.ter import Ter
from nlpbench.evaluation.paired import compare, differences
from nlpbench.evaluation.paired.randomisation import p_value

SURE = {"confidence": 0.95, "resamples": 1000, "seed": 3}


@pytest.mark.parametrize("extra", [0.0, 0.2])
@pytest.mark.parametrize(
    ("metric", "oracle", "name"), [(Bleu(), BLEU, "BLEU"), (Ter(), TER, "TER")], ids=["bleu", "ter"]
)
def test_agrees_with_sacrebleu(metric, oracle, name, extra):
    right, one, other, pair = translations(100, seed=8, extra=extra)
    found = compare(metric, metric.key, *pair, **SURE)
    systems = [("other", other), ("one", one)]
    _, scores = PairedTest(systems, {name: oracle(references=[right])}, None, "ar", 1000)()
    theirs = scores[name][1]
    assert found.test == "randomisation"
    assert found.value == pytest.approx(theirs.score - scores[name][0].score, abs=1e-9)
    spread = (2 * theirs.p_value * (1 - theirs.p_value) / 1000) ** 0.5
    assert found.p_value == pytest.approx(theirs.p_value, abs=4 * spread + 0.003)


def test_comes_near_scipys_exact_test_of_all_arrangements():
    references = np.array([1, 1, 1, 1, 1, 0, 0, 0, 0, 0])
    one = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 1])
    other = np.array([0, 1, 0, 1, 0, 1, 0, 1, 0, 1])

    def f1(answers: np.ndarray, axis: int) -> np.ndarray:
        return 2 * (answers * references).sum(axis) / (answers.sum(axis) + references.sum())

    expected = permutation_test(
        (one, other),
        lambda a, b, axis: f1(a, axis) - f1(b, axis),
        permutation_type="samples",
        vectorized=True,
    ).pvalue
    found = compare(
        F1(),
        "f1",
        labelled(references, one),
        labelled(references, other),
        **{**SURE, "resamples": 20000},
    )
    assert found.p_value == pytest.approx(expected, abs=0.012)


def test_whole_clusters_are_exchanged():
    """Two clusters leave four arrangements, all of which set these systems equally far apart."""
    references = np.zeros(40, int)
    one, other = references, np.repeat([1, 0], 20)
    sides = [labelled(references, each, clusters=["a"] * 20 + ["b"] * 20) for each in (one, other)]
    assert compare(F1(average="macro"), "f1_macro", *sides, **SURE).p_value > 0.4
    alone = [labelled(references, each) for each in (one, other)]
    assert compare(F1(average="macro"), "f1_macro", *alone, **SURE).p_value < 0.01


def test_the_same_answers_differ_by_chance_alone():
    one, _ = of_accuracy(0.8, 0.8, 100, seed=0)
    found = compare(F1(), "f1", one, one, **SURE)
    assert (found.value, found.low, found.high, found.p_value) == (0, 0, 0, 1)


def test_one_is_added_to_both_counts():
    one, other = of_accuracy(1.0, 0.0, 100, seed=0)
    assert compare(F1(), "f1", one, other, **SURE).p_value == 1 / 1001


def test_rounding_does_not_part_what_is_equal():
    assert p_value(np.array([0.3, 0.1 + 0.2, 0.3 - 1e-16, 0.2])) == 3 / 4
    assert p_value(np.array([-0.3, 0.3, 0.0])) == 2 / 3


@pytest.mark.parametrize(
    ("differences", "expected"),
    [([np.nan, 0.1, 0.2], None), ([0.1, np.nan, np.nan, 0.2], None), ([0.1, np.nan, 0.2], 1.0)],
)
def test_an_undefined_difference_has_no_test(differences, expected):
    assert p_value(np.array(differences)) == expected


def test_what_is_drawn_follows_from_the_seed():
    one, other = of_accuracy(0.8, 0.75, 90, seed=2)
    first = compare(F1(), "f1", one, other, **SURE)
    assert first == compare(F1(), "f1", one, other, **SURE)
    assert first != compare(F1(), "f1", one, other, **{**SURE, "seed": 4})


def test_blocks_do_not_change_what_is_drawn(monkeypatch):
    one, other = of_accuracy(0.8, 0.75, 90, seed=2)
    whole = compare(F1(), "f1", one, other, **SURE)
    monkeypatch.setattr("nlpbench.evaluation.paired.randomisation.CELLS", 4 * 90 * 7)
    assert compare(F1(), "f1", one, other, **SURE) == whole


def test_each_score_of_a_metric_is_tested():
    one, other = of_accuracy(0.9, 0.6, 200, seed=7)
    found = differences(F1(average="per-class"), [one], [other], **SURE)
    assert list(found) == ["f1[no]", "f1[yes]"]
    for key, each in found.items():
        assert each == compare(F1(average="per-class"), key, one, other, **SURE)
        assert each.p_value < 0.01


def test_probabilities_are_exchanged_too():
    chance = np.random.default_rng(1)
    references = chance.integers(0, 2, 200)
    good, bad = (
        1 / (1 + np.exp(-(2 * references - 1) * pull - chance.normal(size=200)))
        for pull in (1.5, 0.1)
    )
    sides = [
        labelled(
            references, (each > 0.5).astype(int), probabilities=np.stack([1 - each, each], axis=1)
        )
        for each in (good, bad)
    ]
    assert compare(RocAuc(), "roc_auc", *sides, **SURE).p_value < 0.01


def test_an_infinite_score_is_told_and_not_tested():
    words = np.array([[5, 20]] * 6)
    likely = np.stack([np.full(6, -3.0), np.full(6, 5.0)], axis=1)
    impossible = likely.copy()
    impossible[2, 0] = -np.inf
    sides = [answered("log-likelihoods", words, each) for each in (impossible, likely)]
    found = compare(Perplexity(), "perplexity", *sides, **SURE)
    assert (found.one, found.value) == (np.inf, np.inf)
    assert (found.low, found.high, found.p_value) == (None, None, None)


def test_an_undefined_score_is_told_and_not_tested():
    one = labelled([1, 1, 1], [1, 1, 1], probabilities=np.full((3, 2), 0.5))
    found = compare(RocAuc(), "roc_auc", one, one, **SURE)
    assert (found.one, found.value, found.low, found.p_value) == (None, None, None, None)


def test_the_mean_over_seeds_is_exchanged_together():
    """Seeds do not make more rows of those there are: three copies of a seed find no more than one."""
    one, other = of_accuracy(0.8, 0.72, 120, seed=6)
    single = differences(F1(), [one], [other], **SURE)["f1"]
    copies = differences(F1(), [one] * 3, [other] * 3, **SURE)["f1"]
    assert copies.p_value == single.p_value
    assert (copies.low, copies.high) == pytest.approx((single.low, single.high))


def test_seeds_are_scored_one_by_one_and_averaged():
    pairs = [of_accuracy(0.9, 0.7, 150, seed=1), of_accuracy(0.8, 0.7, 150, seed=1)]
    ones, others = zip(*pairs, strict=True)
    found = differences(Accuracy(), ones, others, **SURE)["accuracy"]
    scores = [float((each.predictions.answers == each.references).mean()) for each in ones]
    assert found.test == "randomisation"
    assert found.one == pytest.approx(np.mean(scores))
    assert found.p_value < 0.05


def test_seeds_that_have_no_partner_are_refused():
    one, other = of_accuracy(0.8, 0.7, 50, seed=1)
    with pytest.raises(UserError, match="between 2 and 1 seeds; compare as many of both"):
        differences(F1(), [one, one], [other], **SURE)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (labelled([0, 1, 1], [0, 1, 1]), "4 examples cannot be compared with 3"),
        (labelled([0, 1, 1, 1], [0, 1, 1, 0]), "the references of the example 3 differ"),
        (labelled([0, 1, 1, 0], [0, 1, 1, 0], ids=[0, 1, "b", 3]), 'row 3 is 2 and "b"'),
        (labelled([0, 1, 1, 0], [0, 1, 1, 0], ["a", "b"]), "labels differ: no, yes against a, b"),
        (labelled([0, 1, 1, 0], [0, 1, 1, 0], clusters="aabc"), None),
        (answered("values", np.zeros(4), np.zeros(4)), "labels cannot be compared with values"),
    ],
)
def test_other_examples_are_refused(other, message):
    one = labelled([0, 1, 1, 0], [0, 1, 1, 0])
    if message is None:
        assert compare(F1(), "f1", one, other, **SURE).value == 0
        return
    with pytest.raises(UserError, match=message):
        compare(F1(), "f1", one, other, **SURE)


def test_other_clusters_are_refused():
    one, other = (labelled([0, 1, 1], [0, 1, 1], clusters=names) for names in ("aab", "abb"))
    with pytest.raises(UserError, match="the examples come in other clusters"):
        compare(F1(), "f1", one, other, **SURE)


@pytest.mark.parametrize(
    ("metric", "key", "message"),
    [
        (F1(), "f1_macro", "f1 gives no score f1_macro here, but f1"),
        (Mse(), "mse", "mse does not score labels"),
        (RocAuc(), "roc_auc", "roc-auc reads probabilities, which these predictions do not hold"),
    ],
)
def test_a_metric_that_cannot_read_the_answers_is_refused(metric, key, message):
    one = labelled([0, 1, 1, 0], [0, 1, 1, 0], LABELS)
    with pytest.raises(UserError, match=message):
        compare(metric, key, one, one, **SURE)
