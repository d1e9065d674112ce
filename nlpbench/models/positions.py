"""How many tokens a model has positions for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlpbench.config.errors import UserError

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

TABLES = ("position_embeddings", "embed_positions", "wpe")


def longest_input(model: PreTrainedModel) -> int | None:
    """The most tokens of one input; None where positions are relative, so without a limit.

    RoBERTa-like models number positions from `padding_idx + 1`, so have fewer than rows.
    """
    found = _table_of(model)
    if found is not None:
        return found
    limit = getattr(model.config, "max_position_embeddings", None)
    uses_rotation = getattr(model.config, "rope_parameters", None) is not None
    return limit if uses_rotation and isinstance(limit, int) and limit > 0 else None


def longest_target(model: PreTrainedModel) -> int | None:
    """The most tokens that an encoder-decoder can write; None where it has no limit."""
    decoder: nn.Module = model.get_decoder()  # type: ignore[no-untyped-call]
    return _table_of(decoder)


def check_positions(
    model: PreTrainedModel, max_length: int | None, max_target_length: int | None = None
) -> None:
    """Raises UserError for lengths in tokens that the model has no positions for.

    Args:
        max_target_length: of what is written: an encoder-decoder has other positions for it, and a
            decoder goes on from those of the input.
    """
    longest = longest_input(model)
    if max_target_length is None:
        _check(model, "max_length", max_length, longest)
    elif model.config.is_encoder_decoder:
        _check(model, "max_source_length", max_length, longest)
        _check(model, "max_target_length", max_target_length, longest_target(model))
    elif longest is not None and max_length is not None:
        together = max_length + max_target_length
        if together > longest:
            raise UserError(
                f"task.max_source_length is {max_length}, as many as {max_target_length} tokens "
                "are written (task.max_target_length, task.generation.max_new_tokens), and this "
                f"{model.config.model_type} model has positions for {longest} tokens together; "
                f"set them to {longest} or less together"
            )


def _check(model: PreTrainedModel, key: str, asked: int | None, longest: int | None) -> None:
    if longest is not None and asked is not None and asked > longest:
        raise UserError(
            f"task.{key} is {asked}, and this {model.config.model_type} model has "
            f"positions for {longest} tokens; set task.{key} to {longest} or less"
        )


def _table_of(module: nn.Module) -> int | None:
    """The positions in the first table of them; the encoder's is before the decoder's."""
    from torch import nn

    for name, part in module.named_modules():
        if isinstance(part, nn.Embedding) and name.rpartition(".")[2] in TABLES:
            skipped = 0 if part.padding_idx is None else part.padding_idx + 1
            return part.num_embeddings - max(skipped, getattr(part, "offset", 0))
    return None
