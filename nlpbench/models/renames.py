"""Weights that a checkpoint has under another name than a class of the same architecture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel


def renames(auto_class: Any, config: PretrainedConfig) -> dict[str, str]:
    """Patterns of names in a checkpoint, each with the name that the class knows it by.

    transformers would leave these weights random: the embeddings of an encoder-decoder (BART,
    Marian) whose decoder is taken alone, which are saved as shared ones; and all of a Llama-like
    decoder that is to answer questions, where the class has another name for its base.
    """
    import transformers

    if auto_class.__name__ == "AutoModelForCausalLM" and config.is_encoder_decoder:
        return {r"^(model\.)?shared\.weight$": "model.decoder.embed_tokens.weight"}
    decoder: Any = transformers.MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    if auto_class.__name__ != "AutoModelForQuestionAnswering" or decoder is None:
        return {}
    theirs = decoder.base_model_prefix
    ours = auto_class._model_mapping[type(config)].base_model_prefix
    return {} if ours == theirs else {rf"^{theirs}\.": f"{ours}."}


def forget(model: PreTrainedModel) -> None:
    """Has the weights saved under the names of the class, where they could not be found else."""
    vars(model).pop("_weight_conversions", None)
