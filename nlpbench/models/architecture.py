"""The kinds of models that transformers knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlpbench.config.errors import UserError
from nlpbench.config.problems import suggest

if TYPE_CHECKING:
    from transformers import PretrainedConfig


# Keys that a model reads, and its configuration does not declare.
UNDECLARED = {
    "deberta-v2": {
        "attention_head_size",
        "conv_act",
        "conv_groups",
        "conv_kernel_size",
        "embedding_size",
        "norm_rel_ebd",
        "position_buckets",
        "share_att_key",
    }
}
# Predict tokens in another order than that of the text, as they were pretrained.
BOTH_DIRECTIONS = {"flaubert", "xlm", "xlnet"}


def keys_of(blank: PretrainedConfig) -> set[str]:
    """The keys that can be set in a configuration of this kind."""
    declared = {*blank.to_dict(), *blank.attribute_map}
    return declared | UNDECLARED.get(blank.model_type, set())


def blank_configuration(model_type: str) -> PretrainedConfig:
    """The configuration of a `model_type` with all its defaults.

    Raises:
        UserError: transformers knows no such type.
    """
    from transformers import CONFIG_MAPPING, AutoConfig

    try:
        return AutoConfig.for_model(model_type)
    except ValueError as error:
        advice = suggest(model_type, CONFIG_MAPPING)
        advice = advice if advice.startswith("did") else ""
        raise UserError(
            f"model.config: unknown model_type (got {model_type})  {advice}".rstrip()
        ) from error


def look_back_only(config: PretrainedConfig, auto_class: str, name: str) -> None:
    """Makes an encoder that is to predict the next token blind to it.

    Raises:
        UserError: an architecture that cannot be.
    """
    if auto_class != "AutoModelForCausalLM":
        return
    if config.model_type in BOTH_DIRECTIONS:
        raise UserError(
            f"{name} is a {config.model_type} model, which reads the tokens that it would have to "
            "predict; take a decoder (gpt2, llama, …), or an encoder that can be one (bert, roberta, "
            "electra, xlm-roberta)"
        )
    if getattr(config, "is_decoder", None) is False:
        config.is_decoder = True
