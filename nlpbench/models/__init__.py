"""Loads and saves models with their tokenizers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlpbench.config.sections import ModelSection
from nlpbench.models.generation import generation_settings
from nlpbench.models.languages import has_languages, set_languages
from nlpbench.models.load import load, load_finetuned
from nlpbench.models.positions import check_positions
from nlpbench.models.save import disk_errors, save, size_mb
from nlpbench.models.source import weights_hash
from nlpbench.models.tokenizer import load as tokenizer
from nlpbench.models.words import for_words

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = [
    "check_positions",
    "disk_errors",
    "for_words",
    "generation_settings",
    "has_languages",
    "load",
    "load_finetuned",
    "load_tokenizer",
    "save",
    "set_languages",
    "size_mb",
    "tokenizer",
    "weights_hash",
]


def load_tokenizer(name_or_path: str, revision: str | None = None) -> PreTrainedTokenizerBase:
    """The tokenizer that was saved with a model."""
    return tokenizer(ModelSection(name_or_path=name_or_path, revision=revision))
