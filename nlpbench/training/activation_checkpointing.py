"""Whether a model can compute its activations a second time instead of keeping them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlpbench.config.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def check(model: PreTrainedModel) -> None:
    """Raises UserError where `gradient_checkpointing` (Chen et al. 2016) cannot be had.

    transformers does it layer by layer, without reentrance and with the same dropout masks, so
    that the gradients are those of keeping all activations.
    """
    if not model.supports_gradient_checkpointing:
        raise UserError(
            f"training.gradient_checkpointing: transformers does not offer it for "
            f"{model.config.model_type} models; leave it out, and take a smaller "
            "per_device_train_batch_size"
        )
