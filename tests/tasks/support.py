"""Which architectures do which tasks: the cells of the README's matrix, each a contract test."""

from __future__ import annotations

from typing import Any

import transformers
from tiny_models import REFUSED
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from nlpbench.config.component import ComponentField
from nlpbench.tasks import Task

ARCHITECTURES = {
    "BERT": "bert",
    "DistilBERT": "distilbert",
    "RoBERTa": "roberta",
    "XLM-R": "xlm-roberta",
    "ALBERT": "albert",
    "ELECTRA": "electra",
    "XLNet": "xlnet",
    "DeBERTa-v2": "deberta-v2",
    "ModernBERT": "modernbert",
    "GPT-2": "gpt2",
    "Llama-like": "llama",
    "T5": "t5",
    "mT5": "mt5",
    "BART": "bart",
    "mBART": "mbart",
    "Pegasus": "pegasus",
    "Marian": "marian",
}
# A task as a config writes it, and the embedded sample that it learns from.
TASKS: dict[str, tuple[dict[str, Any], str]] = {
    "text-classification": ({"label_column": "intent", "max_length": 32}, "support-tickets"),
    "token-classification": ({"max_length": 32, "stride": 8}, "news-entities"),
    "question-answering": (
        {
            "max_length": 48,
            "doc_stride": 9,
            "max_question_length": 12,
            "version_2_with_negative": True,
        },
        "help-center-qa",
    ),
    "multiple-choice": ({"max_length": 32}, "how-to-steps"),
    "causal-language-modeling": ({"block_size": 32}, "field-guide"),
    "masked-language-modeling": ({"max_length": 32}, "field-guide"),
    "next-sentence-prediction": ({"max_length": 32}, "field-guide"),
    "translation": (
        {
            "source_language": "en",
            "target_language": "fr",
            "max_source_length": 24,
            "max_target_length": 24,
        },
        "product-phrases",
    ),
    "summarization": (
        {
            "source_column": "notes",
            "target_column": "summary",
            "max_source_length": 32,
            "max_target_length": 16,
        },
        "meeting-notes",
    ),
    "text-generation": (
        {
            "prompt_column": "en",
            "completion_column": "fr",
            "max_source_length": 24,
            "max_target_length": 24,
        },
        "product-phrases",
    ),
    "sentence-similarity": (
        {
            "text_column": "text",
            "text_pair_column": "intent",
            "label_column": "priority",
            "label_range": [1.0, 5.0],
            "max_length": 32,
        },
        "support-tickets",
    ),
    "retrieval": (
        {"query_column": "query", "positive_column": "positive", "max_length": 32},
        "faq-pairs",
    ),
}


# What these models need to be told beyond that.
OPTIONS: dict[tuple[str, str], dict[str, Any]] = {
    ("translation", "mbart"): {
        "source_column": "en",
        "target_column": "fr",
        "source_language": "en_XX",
        "target_language": "fr_XX",
    },
}


def task_values(name: str, model_type: str = "") -> dict[str, Any]:
    return {"name": name, **TASKS[name][0], **OPTIONS.get((name, model_type), {})}


def supports(name: str, model_type: str) -> bool:
    """Whether transformers has the task's head for an architecture, and nlpbench takes it."""
    task: Task = ComponentField("task").build(task_values(name))
    config = CONFIG_MAPPING[model_type]
    if name == "next-sentence-prediction":  # the other models are pretrained without it
        return config in transformers.AutoModelForNextSentencePrediction._model_mapping
    return any(
        config in getattr(transformers, one)._model_mapping
        and (model_type, one) not in REFUSED
        # Two stacks have no vector for a text.
        and not (one == "AutoModel" and config().is_encoder_decoder)
        for one in task.auto_classes
    )


def cells() -> list[tuple[str, str]]:
    """(task, model type) of every cell that says yes."""
    return [
        (name, model_type)
        for name in TASKS
        for model_type in ARCHITECTURES.values()
        if supports(name, model_type)
    ]


def matrix() -> str:
    """The support matrix in Markdown: a row an architecture, a column a task."""
    lines = [f"| | {' | '.join(TASKS)} |", "|---" * (len(TASKS) + 1) + "|"]
    for architecture, model_type in ARCHITECTURES.items():
        marks = ["✓" if supports(name, model_type) else "" for name in TASKS]
        lines.append(f"| {architecture} | {' | '.join(marks)} |".replace("  ", " "))
    return "\n".join(lines)
