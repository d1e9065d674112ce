"""Tiny models of every supported architecture, from their configurations alone.

`classifier` and `encoder_decoder` need no tokenizer. `tiny` makes a model of any architecture in
any auto class that it has, and `tiny_tokenizer` the tokenizer that goes with it.
"""

from __future__ import annotations

import copy
import functools
from typing import Any

import torch
import transformers
from conftest import topic_rows
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from nlpbench import models
from nlpbench.config.sections import ModelSection

ARCHITECTURES = ["bert", "distilbert", "roberta", "albert", "electra", "xlnet", "gpt2"]
ENCODER_DECODERS = ["t5", "bart", "pegasus", "marian"]
LAYERS = 3

_STACKS = {
    f"{stack}_{key}": value
    for stack in ("encoder", "decoder")
    for key, value in {"layers": LAYERS, "attention_heads": 2, "ffn_dim": 64}.items()
}

MODEL_TYPES = [
    *("bert", "distilbert", "roberta", "albert", "electra", "xlnet", "deberta-v2"),
    *("modernbert", "xlm-roberta", "gpt2", "llama"),
    *("t5", "mt5", "bart", "mbart", "pegasus", "marian"),
]
AUTO_CLASSES = [
    "AutoModel",
    "AutoModelForSequenceClassification",
    "AutoModelForTokenClassification",
    "AutoModelForQuestionAnswering",
    "AutoModelForMultipleChoice",
    "AutoModelForMaskedLM",
    "AutoModelForCausalLM",
    "AutoModelForSeq2SeqLM",
    "AutoModelForPreTraining",
]
# transformers has it, and nlpbench does not: it sees the tokens that it would have to predict.
REFUSED = [("xlnet", "AutoModelForCausalLM")]
POSITIONS = 64  # that a text can have; models of relative positions have no limit

_ENCODER = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
_SMALL_STACKS = {**_STACKS, "encoder_layers": 2, "decoder_layers": 2, "d_model": 32}
_T5 = {"d_model": 32, "num_layers": 2, "num_heads": 2, "d_ff": 64, "d_kv": 16}
_PLACES = {"max_position_embeddings": POSITIONS}
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "bert": {**_ENCODER, **_PLACES},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, **_PLACES},
    "roberta": {**_ENCODER, "max_position_embeddings": POSITIONS + 2},
    "albert": {**_ENCODER, **_PLACES, "embedding_size": 16},
    "electra": {**_ENCODER, **_PLACES, "embedding_size": 16},
    "xlnet": {"d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 64},
    "deberta-v2": {
        **_ENCODER,
        **_PLACES,
        "relative_attention": True,
        "position_buckets": 16,
        "norm_rel_ebd": "layer_norm",
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "share_att_key": True,
    },
    "modernbert": {**_ENCODER, **_PLACES, "local_attention": 16},
    "xlm-roberta": {**_ENCODER, "max_position_embeddings": POSITIONS + 2},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": POSITIONS},
    "llama": {**_ENCODER, **_PLACES, "num_key_value_heads": 1},
    "t5": _T5,
    "mt5": _T5,
    "bart": {**_SMALL_STACKS, **_PLACES},
    "mbart": {**_SMALL_STACKS, **_PLACES},
    "pegasus": {**_SMALL_STACKS, **_PLACES},
    "marian": {**_SMALL_STACKS, **_PLACES},
}
SENTENCES = [
    "The café on the corner opens at seven, and closes late.",
    "A dog runs across the wet grass; two children laugh.",
    "Where is the station? It's behind the old town hall.",
    "Ein Mann mit Hut spielt Gitarre.",
    "Zwei Frauen gehen über die Straße!",
    'She said: "Prices rose by 3.5 % (again)."',
    *(row["text"] for row in topic_rows(60)),
]


def pairs(*auto_classes: str) -> list[tuple[str, str]]:
    """Every (model type, auto class) that there is, of all auto classes or of some."""
    return [
        (model_type, auto_class)
        for auto_class in auto_classes or AUTO_CLASSES
        for model_type in MODEL_TYPES
        if CONFIG_MAPPING[model_type] in getattr(transformers, auto_class)._model_mapping
        and (model_type, auto_class) not in REFUSED
    ]


def tiny_section(model_type: str, **options: Any) -> ModelSection:
    """The `model` of a config that makes the tiny model; `options` go into its configuration."""
    config = {"model_type": model_type, **CONFIGURATIONS[model_type], **options}
    return ModelSection(config=config, tokenizer={"train": {"vocab_size": 500}})


def tiny_tokenizer(model_type: str) -> PreTrainedTokenizerBase:
    """A tokenizer of the model's own kind, trained on `SENTENCES`; a new one at every call."""
    return copy.deepcopy(_trained(model_type))


@functools.cache
def _trained(model_type: str) -> PreTrainedTokenizerBase:
    return models.tokenizer(tiny_section(model_type), SENTENCES)


def tiny(
    model_type: str,
    auto_class: str,
    tokenizer: PreTrainedTokenizerBase | None = None,
    head: dict[str, Any] | None = None,
    max_length: int = 32,
    **options: Any,
) -> PreTrainedModel:
    """A random model of two layers, the same at every call, for `tiny_tokenizer`'s tokens.

    Args:
        tokenizer: the one to use; made to agree with the model. A copy unless told.
        head: as of `Task.head`, such as {"num_labels": 3}.
        options: of its configuration.
    """
    torch.manual_seed(0)
    tokenizer = tokenizer or tiny_tokenizer(model_type)
    section = tiny_section(model_type, **options)
    return models.load(section, auto_class, head or {}, tokenizer, max_length).model


def tiny_batch(
    model: PreTrainedModel, auto_class: str, tokenizer: PreTrainedTokenizerBase
) -> dict[str, torch.Tensor]:
    """Two rows of unlike length as the model of an auto class takes them, without labels."""
    rows = dict(tokenizer(SENTENCES[:2], padding=True, return_tensors="pt"))
    if auto_class == "AutoModelForMultipleChoice":  # one question, two answers
        return {key: value[None] for key, value in rows.items()}
    decodes = auto_class not in (
        "AutoModelForQuestionAnswering",
        "AutoModelForSequenceClassification",
        "AutoModelForTokenClassification",
    )
    if model.config.is_encoder_decoder and decodes:
        rows["decoder_input_ids"] = tokenizer(SENTENCES[2:4], padding=True, return_tensors="pt")[
            "input_ids"
        ]
    return rows


def outputs(model: PreTrainedModel, inputs: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    """What a model makes of a batch, without dropout and without caches."""
    model.eval()
    with torch.no_grad():
        found = model(**inputs, return_dict=True)
    return [value for value in found.values() if isinstance(value, torch.Tensor)]


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
