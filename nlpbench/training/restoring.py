"""Puts the weights of a checkpoint into the model that is there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


def restore_weights(model: nn.Module, checkpoint: Path) -> None:
    """Gives a model the weights that Trainer saved of it.

    Of a model with adapters a checkpoint has these alone, of a HeadOnly the head alone.
    """
    from accelerate.utils import is_peft_model
    from safetensors.torch import load_file
    from transformers import PreTrainedModel

    if is_peft_model(model):
        adapted: Any = model
        adapted.load_adapter(str(checkpoint), adapted.active_adapter, is_trainable=True)
    elif isinstance(model, PreTrainedModel):
        # A class may make parts that this model goes without, such as a pooler.
        saved = type(model).from_pretrained(checkpoint, dtype=model.dtype).state_dict()
        model.load_state_dict({name: saved[name] for name in model.state_dict()})
    else:
        model.load_state_dict(load_file(checkpoint / "model.safetensors"))
