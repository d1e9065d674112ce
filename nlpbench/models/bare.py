"""The configuration of a model that starts from random weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError
from nlpbench.config.problems import suggest
from nlpbench.models.architecture import blank_configuration, keys_of
from nlpbench.models.token_ids import token_ids

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

OWNED = ("num_labels", "id2label", "label2id", "problem_type", "dtype", "torch_dtype")


def bare_configuration(
    options: dict[str, Any], head: dict[str, Any], tokenizer: PreTrainedTokenizerBase
) -> PretrainedConfig:
    """What `model.config` says, with the head of the task and the tokenizer's ids and size.

    Raises:
        UserError: an unknown type or key, or a value that does not fit.
    """
    from transformers import AutoConfig

    values = dict(options)
    model_type = values.pop("model_type")
    known = blank_configuration(model_type)
    keys = keys_of(known)
    taken = [key for key in values if key in OWNED]
    if taken:
        raise UserError(
            f"model.config: {', '.join(taken)} cannot be set here; the task sets the head, and "
            "weights are float32"
        )
    unknown = [key for key in values if key not in keys]
    if unknown:
        close = "; ".join(f"{key}: {_close(key, keys)}" for key in unknown)
        raise UserError(f"model.config: keys that {model_type} does not have: {close}")
    if values.setdefault("vocab_size", len(tokenizer)) < len(tokenizer):
        raise UserError(
            f"model.config.vocab_size is {values['vocab_size']}, and the tokenizer has "
            f"{len(tokenizer)} entries; leave it out to have as many"
        )
    special = token_ids(tokenizer, known)
    try:
        return AutoConfig.for_model(model_type, **{**special, **values}, **head)
    except Exception as error:
        raise UserError(f"model.config: {told(error)}") from error


def told(error: Exception) -> str:
    """An error of a library in one line; a KeyError or a ZeroDivisionError says little without its name."""
    text = " ".join(str(error).split())
    unclear = isinstance(error, ArithmeticError | AttributeError | LookupError)
    return f"{type(error).__name__}: {text}" if unclear else text


def _close(key: str, keys: set[str]) -> str:
    advice = suggest(key, keys)
    return advice if advice.startswith("did") else "no such key"
