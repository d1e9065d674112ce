"""Which precision a model is trained in, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nlpbench.config.errors import UserError
from nlpbench.evaluation.device import OVERFLOWS_IN_FP16, computes_in_bf16, describe

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Precision:
    """`name` is fp32, bf16 or fp16."""

    name: str
    reason: str


def choose(asked: str, model_type: str, device: torch.device) -> Precision:
    """The precision to train in.

    Raises:
        UserError: one that this device or this model cannot do.
    """
    where = describe(device)
    if asked == "auto":
        if computes_in_bf16(device):
            return Precision("bf16", f"{where} computes in bf16")
        if device.type == "cuda" and model_type not in OVERFLOWS_IN_FP16:
            return Precision("fp16", f"{where} computes in fp16, not in bf16")
        return Precision("fp32", f"{where} computes in fp32")
    if asked == "fp16" and model_type in OVERFLOWS_IN_FP16:
        raise UserError(f"training.precision: {model_type} overflows in fp16; take bf16 or fp32")
    if asked == "fp16" and device.type == "cpu":
        raise UserError("training.precision: fp16 needs a GPU; take auto, bf16 or fp32")
    if asked == "bf16" and device.type == "cuda" and not computes_in_bf16(device):
        raise UserError(f"training.precision: {where} does not compute in bf16; take auto")
    return Precision(asked, "asked for")
