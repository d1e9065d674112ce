"""Makes a tokenizer give what a model takes, and pad where the model does not read."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PaddingSide = Literal["left", "right"]


def agree(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    padding_side: PaddingSide | None = None,
) -> None:
    """Settles pad token, padding side and segment ids between a model and its tokenizer.

    Args:
        padding_side: right unless told, and left for XLNet, which was trained so. What a
            decoder-only model goes on from must stand at the end, so generating needs left.
    """
    # Decoder-only classifiers read the last real token, which they find by the pad token.
    model.config.pad_token_id = tokenizer.pad_token_id
    if getattr(model, "generation_config", None) is not None:
        model.generation_config.pad_token_id = tokenizer.pad_token_id
    if padding_side is not None:
        tokenizer.padding_side = padding_side
    elif model.config.model_type != "xlnet":
        tokenizer.padding_side = "right"
    # Tokenizers of transformers 5 leave out the segment ids that ALBERT and XLNet learnt with, and
    # some checkpoints of DistilBERT name a tokenizer that gives segment ids nobody reads.
    wanted = [name for name in tokenizer.model_input_names if name != "token_type_ids"]
    if _reads_segments(model) and _tells_segments(tokenizer):
        wanted.insert(1, "token_type_ids")
    if set(wanted) != set(tokenizer.model_input_names):
        tokenizer.model_input_names = wanted
        tokenizer.init_kwargs["model_input_names"] = wanted  # so that it is saved


def _reads_segments(model: PreTrainedModel) -> bool:
    if model.config.model_type == "xlnet":  # has a vector for same and for other, no table
        return True
    takes = "token_type_ids" in inspect.signature(model.forward).parameters
    return takes and getattr(model.config, "type_vocab_size", 0) > 1


def _tells_segments(tokenizer: PreTrainedTokenizerBase) -> bool:
    if "token_type_ids" in tokenizer.model_input_names:
        return True
    pair = tokenizer("a", "b", return_token_type_ids=True, verbose=False)
    return any(pair.get("token_type_ids", []))
