"""nlpbench against transformers' pipeline: the same model and texts, rows per second, and labels."""

from __future__ import annotations

import gzip
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from nlpbench import models
from nlpbench.config.yaml12 import dump
from nlpbench.evaluation.predict import predict
from nlpbench.tasks import Bundle
from nlpbench.tasks.text_classification import TextClassification

BATCHED = 32
PRECISIONS = ("fp32", "auto")
OWN = {precision: f"nlpbench, {precision}" for precision in PRECISIONS}
OTHERS = {"default": "pipeline, defaults", "batched": f"pipeline, batch_size={BATCHED}"}


@dataclass(frozen=True)
class Said:
    """Seconds from texts to labels, tokenising included, and the labels."""

    seconds: float
    labels: list[str]


class Contest:
    """A model in memory, as nlpbench and as a pipeline hold it, and texts for both."""

    def __init__(self, model: Path, texts: Sequence[str], max_length: int) -> None:
        from datasets import Dataset
        from transformers import pipeline

        self.texts, self.max_length = list(texts), max_length
        self.rows = Dataset.from_dict({"text": self.texts})
        self.task = TextClassification(name="text-classification", max_length=max_length)
        tokenizer = models.load_tokenizer(str(model), None)
        loaded = models.load_finetuned(
            str(model), None, self.task.auto_classes, tokenizer, max_length
        )
        self.bundle = Bundle(tokenizer, loaded.model, self.task.labels_of(loaded.model))
        self.pipeline: Any = pipeline("text-classification", model=str(model), device="cpu")

    def own(self, precision: str) -> Said:
        task, bundle = self.task, self.bundle
        began = time.perf_counter()
        features = task.encode(self.rows, None, bundle)
        outputs = predict(
            bundle.model,
            features,
            task.collate(bundle),
            partial(task.infer, bundle),
            batch_size="auto",
            precision=precision,
            margins=partial(task.margins, bundle=bundle),
            side_by_side=task.infers_alone,
        )
        found = task.decode(outputs.values, features, self.rows, bundle).answers
        seconds = time.perf_counter() - began
        return Said(seconds, [bundle.labels[number] for number in found.tolist()])

    def other(self, **options: int) -> Said:
        began = time.perf_counter()
        found = self.pipeline(self.texts, truncation=True, max_length=self.max_length, **options)
        return Said(time.perf_counter() - began, [answer["label"] for answer in found])

    def contenders(self) -> dict[str, Callable[[], Said]]:
        return {
            **{name: partial(self.own, precision) for precision, name in OWN.items()},
            OTHERS["default"]: self.other,
            OTHERS["batched"]: partial(self.other, batch_size=BATCHED),
        }


def compare(
    contest: Contest, repeats: int, suffix: str, say: Callable[[str], None]
) -> tuple[dict[str, float], dict[str, Any], list[list[str]]]:
    """Ratios, figures and the rows of a table; the contenders take turns.

    Args:
        suffix: of the keys.
    """
    contenders = contest.contenders()
    runs: dict[str, list[Said]] = {name: [] for name in contenders}
    for precision in PRECISIONS:
        contest.own(precision)  # warms up
    for repeat in range(1, repeats + 1):
        say(f"{len(contest.texts)} texts, {repeat} of {repeats}")
        for name, contender in contenders.items():
            runs[name].append(contender())
    rates = {
        name: len(contest.texts) / statistics.median(said.seconds for said in found)
        for name, found in runs.items()
    }
    expected = runs[OTHERS["default"]][0].labels
    differ = {
        name: sum(one != two for one, two in zip(found[0].labels, expected, strict=True))
        for name, found in runs.items()
    }
    ratios, figures = {}, {f"rows{suffix}": len(contest.texts)}
    for precision, own in OWN.items():
        told = "" if precision == "fp32" else f"_{precision}"
        for key, other in OTHERS.items():
            ratio = rates[own] / rates[other]
            ratios[f"examples_per_second_vs_pipeline_{key}{told}{suffix}"] = ratio
    for name, found in runs.items():
        key = name.replace(", ", "_").replace("=", "_")
        figures[f"examples_per_second_{key}{suffix}"] = rates[name]
        figures[f"labels_that_differ_{key}{suffix}"] = differ[name]
        figures[f"seconds_{key}{suffix}"] = [said.seconds for said in found]
    rows = [
        [
            name,
            f"{rate:.0f}",
            *(f"{rate / rates[other]:.1f}" for other in OTHERS.values()),
            str(differ[name]),
        ]
        for name, rate in rates.items()
    ]
    return ratios, figures, rows
