"""Saves a model as a plain Hugging Face directory."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from nlpbench.models.source import weight_files

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, directory: Path) -> None:
    """Writes configuration, safetensors weights and tokenizer, as `from_pretrained` reads them."""
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def weights_hash(directory: Path) -> str:
    """`sha256:…` over the weight files of a model directory."""
    digest = hashlib.sha256()
    for file in weight_files(directory):
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return f"sha256:{digest.hexdigest()}"


def size_mb(directory: Path) -> float:
    """Megabytes (10^6 bytes) of the weight files."""
    return sum(file.stat().st_size for file in weight_files(directory)) / 1e6
