"""How long the bootstrap of every metric takes, on made-up answers of ordinary size."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nlpbench.config import registry
from nlpbench.evaluation.bootstrap import draw_counts
from nlpbench.evaluation.metrics import Answer, Metric
from nlpbench.tasks import objects

SEED = 12345


@dataclass(frozen=True)
class Contest:
    """A metric with answers of one kind.

    Attributes:
        more: what tells it from the metric's plain case.
    """

    metric: Metric
    predictions: np.ndarray = field(repr=False)
    references: np.ndarray = field(repr=False)
    labels: tuple[str, ...] = field(default=(), repr=False)
    more: str = ""

    @property
    def name(self) -> str:
        return f"{self.metric.name}{self.more}"


def contests(rows: int, only: str | None) -> list[Contest]:
    """Every metric that needs no options, on the first kind of answers that it scores.

    Args:
        only: part of the names of those that are wanted; None for all.
    """
    found = []
    for name in registry.names("metric"):
        component: Any = registry.load("metric", name)
        if any(option.is_required() for option in component.model_fields.values()):
            continue
        metric = component()
        for classes in (3, 20) if metric.answers[0] == "labels" else (3,):
            more = f", {classes} labels" if metric.answers[0] == "labels" else ""
            made = answers(metric.answers[0], metric.reads, rows, classes)
            found.append(Contest(metric, *made, more))
    return [contest for contest in found if only is None or only in contest.name]


def race(contest: Contest, resamples: int, repeats: int) -> tuple[float, float]:
    """Seconds of the score itself, and of so many resamples of it: the median of the repeats."""
    given = contest.predictions, contest.references, contest.labels
    began = time.perf_counter()
    contest.metric.compute(*given)
    alone = time.perf_counter() - began
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        score = contest.metric.resampler(*given)
        for counts in draw_counts(len(contest.references), resamples, SEED):
            score(counts)
        seconds.append(time.perf_counter() - began)
    return alone, statistics.median(seconds)


def answers(
    answer: Answer, reads: str, rows: int, classes: int
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Predictions, references and labels; four of five answers or so are right."""
    random = np.random.default_rng(SEED)
    labels = tuple(f"label {number}" for number in range(classes))
    if answer == "labels":
        references = random.integers(0, classes, rows)
        odds = random.random((rows, classes)) + 1.2 * np.eye(classes)[references]
        probabilities = odds / odds.sum(axis=1, keepdims=True)
        read = probabilities if reads == "probabilities" else probabilities.argmax(axis=1)
        return read, references, labels
    if answer == "values":
        references = random.normal(size=rows)
        return references + random.normal(size=rows) / 2, references, ()
    if answer == "log-likelihoods":
        tokens = random.integers(20, 2000, rows)
        sizes = np.stack([tokens, 5 * tokens], axis=1)
        return np.stack([-3.0 * tokens, tokens], axis=1), sizes, ()
    return (*map(objects, MADE[answer](random, rows)), TAGS if answer == "tags" else ())


TAGS = ("O", *(f"{place}-{kind}" for kind in ("PER", "LOC", "ORG", "MISC") for place in "BI"))


def tags(random: np.random.Generator, rows: int) -> tuple[list[Any], list[Any]]:
    """Sentences of 5 to 30 words, one in five of an entity, with one tag in ten wrong."""
    references, predictions = [], []
    for size in random.integers(5, 30, rows):
        right = ["O" if number > 1 else TAGS[kind] for number, kind in pairs(random, size, 10, 9)]
        wrong = [TAGS[kind] if number == 0 else "" for number, kind in pairs(random, size, 10, 9)]
        references.append(right)
        predictions.append([other or tag for other, tag in zip(wrong, right, strict=True)])
    return predictions, references


def pairs(random: np.random.Generator, size: int, *below: int) -> list[tuple[int, ...]]:
    return list(zip(*(random.integers(0, most, size).tolist() for most in below), strict=True))


def texts(random: np.random.Generator, rows: int) -> tuple[list[Any], list[Any]]:
    """Sentences of 8 to 30 words of Zipf's law, one word in three another one."""
    names = np.array([f"word{number}" for number in range(20_000)])
    references, predictions = [], []
    for size in random.integers(8, 30, rows):
        right, other = names[np.minimum(random.zipf(1.3, (2, size)), len(names)) - 1]
        references.append([" ".join(right)])
        predictions.append(" ".join(np.where(random.random(size) < 1 / 3, other, right)))
    return predictions, references


def spans(random: np.random.Generator, rows: int) -> tuple[list[Any], list[Any]]:
    """The first words of texts, of which every fourth question has no answer."""
    predictions, references = texts(random, rows)
    found = [" ".join(text.split()[:4]) for text in predictions]
    right = [[] if row % 4 == 0 else [text[0][:40]] for row, text in enumerate(references)]
    return found, right


def rankings(random: np.random.Generator, rows: int) -> tuple[list[Any], list[Any]]:
    """A hundred documents for each query, of which up to three are relevant."""
    names = [f"document {number}" for number in range(100)]
    predictions, references = [], []
    for _ in range(rows):
        order = random.permutation(100).tolist()
        predictions.append([names[number] for number in order])
        references.append({names[number]: 1 + number % 2 for number in order[3:30:9]})
    return predictions, references


Make = Callable[[np.random.Generator, int], tuple[list[Any], list[Any]]]
MADE: dict[str, Make] = {"tags": tags, "texts": texts, "spans": spans, "rankings": rankings}
