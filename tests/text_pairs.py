"""Pairs of texts, and tiny models that read the one and write the other."""

from __future__ import annotations

from typing import Any

import datasets
import torch
from tiny_models import tiny, tiny_tokenizer

from nlpbench.runs.generation import settle
from nlpbench.tasks import Bundle

ALONE, BOTH = "AutoModelForCausalLM", "AutoModelForSeq2SeqLM"
DECODERS = ["gpt2", "llama", "bert"]
ENCODER_DECODERS = ["t5", "bart", "marian", "pegasus", "mbart"]
PAIRS = [
    {"en": "A dog runs across the wet grass.", "de": "Ein Hund rennt über das Gras."},
    {"en": "Two women cross the street.", "de": "Zwei Frauen gehen über die Straße!"},
    {"en": "Where is the station?", "de": "Wo ist der Bahnhof?"},
    {"en": "A man with a hat plays the guitar; two children laugh.", "de": "Ein Mann spielt."},
]


def dataset(rows: list[dict[str, Any]]) -> datasets.Dataset:
    return datasets.Dataset.from_list(rows)


def place(index: int) -> str:
    return f"row {index + 1}"


def bundle(task: Any, model_type: str, **options: Any) -> Bundle:
    """A tiny model with its tokenizer, which writes as the task asks."""
    auto_class = BOTH if model_type in ENCODER_DECODERS else ALONE
    tokenizer = tiny_tokenizer(model_type)
    model = tiny(model_type, auto_class, tokenizer, **options).eval()
    settle(task, model, tokenizer)
    return Bundle(tokenizer, model)


def features(task: Any, rows: list[dict[str, Any]], found: Bundle, **options: Any) -> Any:
    """Of rows with references, as for training unless told."""
    data = dataset(rows)
    options = {"training": True, **options}
    return task.encode(data, task.references(data, (), place), found, **options)


def batch(task: Any, rows: list[dict[str, Any]], found: Bundle, **options: Any) -> Any:
    made = features(task, rows, found, **options)
    return task.collate(found, training=options.get("training", True))(list(made))


def mean_loss(task: Any, model: Any, made: dict[str, torch.Tensor]) -> torch.Tensor:
    """What training minimises: the sum over all targets by their number."""
    inputs = {key: value for key, value in made.items() if key != "labels"}
    outputs = task.forward(model, inputs)
    [labels], [logits] = task.flat_labels(made["labels"]), task.flat_logits(outputs, made["labels"])
    return task.loss(logits, labels) / len(labels)


def own_labels(made: dict[str, torch.Tensor]) -> torch.Tensor:
    """The labels of a decoder's batch as transformers wants them: beside their own tokens."""
    unscored = torch.full_like(made["labels"][:, :1], -100)
    return torch.cat([unscored, made["labels"][:, :-1]], dim=1)
