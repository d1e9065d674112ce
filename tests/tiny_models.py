"""Tiny models of every supported architecture, from their configurations alone."""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    PreTrainedModel,
)

ARCHITECTURES = ["bert", "distilbert", "roberta", "albert", "electra", "xlnet", "gpt2"]
ENCODER_DECODERS = ["t5", "bart", "pegasus", "marian"]
LAYERS = 3

_STACKS = {
    f"{stack}_{key}": value
    for stack in ("encoder", "decoder")
    for key, value in {"layers": LAYERS, "attention_heads": 2, "ffn_dim": 64}.items()
}


def classifier(model_type: str, layers: int = LAYERS, **options: Any) -> PreTrainedModel:
    """A model of `layers` layers for three labels; its weights are the same at every call."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": layers, "num_attention_heads": 2}
    if model_type == "xlnet":
        sizes["d_head"] = 16
    special = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    values = {**sizes, **special, "vocab_size": 50, "num_labels": 3, **options}
    config = AutoConfig.for_model(model_type, **values)
    return AutoModelForSequenceClassification.from_config(config)


def encoder_decoder(model_type: str, **options: Any) -> PreTrainedModel:
    """A sequence-to-sequence model of three layers on either side."""
    torch.manual_seed(0)
    t5 = {"num_layers": LAYERS, "num_heads": 2, "d_ff": 64, "d_kv": 16}
    sizes = t5 if model_type == "t5" else {**_STACKS, "max_position_embeddings": 64}
    special = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
    values = {"d_model": 32, "vocab_size": 50, **sizes, **special, **options}
    return AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model(model_type, **values))


def batch(rows: int = 4, length: int = 6) -> dict[str, torch.Tensor]:
    """Token ids and labels of a batch without padding."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(3, 50, (rows, length), generator=generator)
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "labels": torch.arange(rows) % 3,
    }
