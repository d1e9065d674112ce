"""Which ids a new model must know of its tokenizer: padding, beginning, end, start of decoding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

ROLES = ("pad", "bos", "eos", "cls", "sep", "mask", "unk")
# Where a tokenizer marks the borders of a text for the encoder alone, as BERT's does.
IN_PLACE_OF = {"bos": "cls", "eos": "sep"}


def token_ids(tokenizer: PreTrainedTokenizerBase, blank: PretrainedConfig) -> dict[str, int | None]:
    """The ids of special tokens by their keys in a model's configuration.

    The defaults of a configuration are those of its first published checkpoint, so point to words
    of any other vocabulary: every key that it has is set, to nothing where the tokenizer has no
    such token. No token is forced at the end of what is generated.

    Args:
        blank: the configuration with its defaults; it tells how the architecture begins to decode.
    """
    known = blank.to_dict()
    ids: dict[str, int | None] = {}
    for role in ROLES:
        if f"{role}_token_id" in known:
            ids[f"{role}_token_id"] = token_id(tokenizer, role)
    if known.get("is_encoder_decoder"):
        ids["decoder_start_token_id"] = _decoder_start(tokenizer, blank)
        if "forced_eos_token_id" in known:
            ids["forced_eos_token_id"] = None
    return ids


def token_id(tokenizer: PreTrainedTokenizerBase, role: str) -> int | None:
    found: int | None = getattr(tokenizer, f"{role}_token_id")
    if found is None and role in IN_PLACE_OF:
        found = getattr(tokenizer, f"{IN_PLACE_OF[role]}_token_id")
    return found


def _decoder_start(tokenizer: PreTrainedTokenizerBase, blank: PretrainedConfig) -> int | None:
    if blank.model_type == "mbart":  # moves the last token of the target to its front
        last: Any = tokenizer(text_target="")["input_ids"]
        return int(last[-1])
    start = getattr(blank, "decoder_start_token_id", None)
    if start is not None and start == getattr(blank, "eos_token_id", None):
        return token_id(tokenizer, "eos")
    if start is not None and start == getattr(blank, "bos_token_id", None):
        return token_id(tokenizer, "bos")
    return token_id(tokenizer, "pad")
