"""In how many of 1,000 simulations the 95 % interval holds the score of the population."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.stats import norm

from nlpbench.evaluation.bootstrap import intervals
from nlpbench.evaluation.metrics import Metric
from nlpbench.evaluation.metrics.accuracy import Accuracy
from nlpbench.evaluation.metrics.bleu import Bleu
from nlpbench.evaluation.metrics.f1 import F1
from nlpbench.evaluation.metrics.mse import Mse
from nlpbench.evaluation.metrics.pearson import Pearson
from nlpbench.evaluation.metrics.perplexity import Perplexity
from nlpbench.evaluation.metrics.roc_auc import RocAuc
from nlpbench.evaluation.metrics.rouge import Rouge
from nlpbench.tasks import objects

pytestmark = pytest.mark.slow

SIMULATIONS, ROWS, RESAMPLES = 1000, 500, 1000
LABELS = ("one", "two", "three")
# The share of rows of each reference (down) and prediction (across).
CONFUSION = np.array([[0.42, 0.05, 0.03], [0.04, 0.24, 0.02], [0.06, 0.02, 0.12]])

Draw = Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Population:
    """Where simulated rows come from, and what a metric gives for all of it."""

    metric: Metric
    truth: float
    draw: Draw
    labels: tuple[str, ...] = ()


def right_or_wrong(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return (random.random(ROWS) < 0.8).astype(int), np.ones(ROWS, dtype=int)


def confused(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    cell = random.choice(9, size=ROWS, p=CONFUSION.ravel())
    return cell % 3, cell // 3


def macro_f1() -> float:
    hits = np.diag(CONFUSION)
    return float((2 * hits / (CONFUSION.sum(axis=0) + CONFUSION.sum(axis=1))).mean())


def off_by_noise(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Correlated by 0.8, with a squared difference of 0.4 in the mean."""
    references = random.normal(size=ROWS)
    return 0.8 * references + 0.6 * random.normal(size=ROWS), references


def scores_of_classes(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A positive scores higher than a negative with probability Phi(1): both normal, 1.414 apart."""
    references = (random.random(ROWS) < 0.3).astype(int)
    log_odds = random.normal(size=ROWS) + np.sqrt(2) * references
    probability = 1 / (1 + np.exp(-log_odds))
    return np.stack([1 - probability, probability], axis=1), references


def likelihoods(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Documents of 20 tokens in the mean with 2.5 nats each: perplexity is e to the 2.5."""
    tokens = 1 + random.poisson(19, ROWS)
    nats = -random.gamma(5 * tokens, 0.5)
    sizes = np.stack([tokens, 5 * tokens], axis=1)
    return np.stack([nats, tokens], axis=1), sizes


def of_pool(metric: Metric, predictions: list, references: list) -> Population:
    """Rows that are drawn from few different ones: all of these once are the population."""
    pool = objects(predictions), objects(references)

    def draw(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        chosen = random.integers(0, len(predictions), ROWS)
        return pool[0][chosen], pool[1][chosen]

    [truth] = metric.compute(*pool).values()
    return Population(metric, truth, draw)


def texts() -> tuple[list[str], list[list[str]]]:
    """Sentences of which a random part of the words is another one."""
    random = np.random.default_rng(0)
    words = [f"word{number}" for number in range(60)]
    predictions, references = [], []
    for size in random.integers(4, 20, 80):
        right = random.choice(words, size)
        wrong = random.random(size) < random.beta(1, 2)
        predictions.append(" ".join(np.where(wrong, random.choice(words, size), right)))
        references.append([" ".join(right)])
    return predictions, references


POPULATIONS: dict[str, Callable[[], Population]] = {
    "accuracy": lambda: Population(Accuracy(), 0.8, right_or_wrong, ("no", "yes")),
    "f1_macro": lambda: Population(F1(average="macro"), macro_f1(), confused, LABELS),
    "mse": lambda: Population(Mse(), 0.4, off_by_noise),
    "pearson": lambda: Population(Pearson(), 0.8, off_by_noise),
    "roc_auc": lambda: Population(RocAuc(), norm.cdf(1), scores_of_classes, ("no", "yes")),
    "perplexity": lambda: Population(Perplexity(), float(np.exp(2.5)), likelihoods),
    "bleu": lambda: of_pool(Bleu(), *texts()),
    "rouge1": lambda: of_pool(Rouge(types=["rouge1"]), *texts()),
}


@pytest.mark.parametrize("key", POPULATIONS)
def test_19_of_20_intervals_hold_the_score_of_the_population(key: str) -> None:
    population, held = POPULATIONS[key](), 0
    for number in range(SIMULATIONS):
        found = intervals(
            population.metric,
            *population.draw(np.random.default_rng([7, number])),
            population.labels,
            confidence=0.95,
            resamples=RESAMPLES,
            seed=number,
        )[key]
        held += found.low <= population.truth <= found.high
    assert 0.93 * SIMULATIONS <= held <= 0.97 * SIMULATIONS


def test_rows_of_one_source_need_the_bootstrap_over_clusters() -> None:
    """Sources differ in how hard they are, so their rows tell less than as many others would."""
    sources = 100
    of = np.repeat(np.arange(sources), ROWS // sources)
    held = {"rows": 0, "clusters": 0}
    for number in range(SIMULATIONS):
        random = np.random.default_rng([8, number])
        share = random.beta(2.4, 0.6, sources)  # 0.8 in the mean
        right = (random.random(ROWS) < share[of]).astype(int)
        for drawn, clusters in (("rows", None), ("clusters", of)):
            found = intervals(
                Accuracy(),
                right,
                np.ones(ROWS, dtype=int),
                ("no", "yes"),
                confidence=0.95,
                resamples=RESAMPLES,
                seed=number,
                clusters=clusters,
            )["accuracy"]
            held[drawn] += found.low <= 0.8 <= found.high
    assert held["rows"] < 0.88 * SIMULATIONS
    assert 0.93 * SIMULATIONS <= held["clusters"] <= 0.97 * SIMULATIONS
