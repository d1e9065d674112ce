"""The device that a model runs on, and the precisions that it computes in."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


# Activations of these models, pretrained in bf16 or fp32, leave fp16's range.
OVERFLOWS_IN_FP16 = {"t5", "mt5", "umt5", "longt5", "pegasus", "pegasus_x"}


def default_device() -> torch.device:
    """The first GPU if there is one, else the CPU."""
    import torch

    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def computes_in_bf16(device: torch.device) -> bool:
    """Whether bf16 arithmetic is done in hardware: GPUs from Ampere, CPUs with AVX512-BF16 or AMX."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        found = torch.cpu.get_capabilities()
        return bool(found.get("avx512_bf16") or found.get("amx_bf16"))
    return False


def settled(precision: str, device: torch.device) -> str:
    """What `auto` stands for: bf16 where the hardware computes in it, else fp32."""
    if precision != "auto":
        return precision
    return "bf16" if computes_in_bf16(device) else "fp32"


def without_gradients(precision: str) -> AbstractContextManager[object]:
    """For predicting: in inference mode autocast would cast every weight anew at each call."""
    import torch

    return torch.inference_mode() if precision == "fp32" else torch.no_grad()


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Arithmetic in `fp32`, `bf16` or `fp16`; weights stay as they are."""
    import torch

    kinds = {"bf16": torch.bfloat16, "fp16": torch.float16}
    return torch.autocast(device.type, kinds.get(precision), enabled=precision in kinds)


def describe(device: torch.device) -> str:
    """The name of the hardware."""
    import platform

    import torch

    from nlpbench.results.environment import cpu_name

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return cpu_name() if device.type == "cpu" else f"{device.type} ({platform.machine()})"
