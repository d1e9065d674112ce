"""Keeps some of the inputs or outputs of a matrix, be it a Linear or GPT-2's Conv1D."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def outputs(matrix: Any) -> int:
    """How many outputs a matrix has."""
    return int(matrix.weight.shape[_output_dimension(matrix)])


def inputs(matrix: Any) -> int:
    """How many inputs a matrix has."""
    return int(matrix.weight.shape[1 - _output_dimension(matrix)])


def keep_outputs(matrix: Any, index: torch.Tensor) -> None:
    """Leaves the outputs at `index` (k,), in that order, with their biases."""
    _keep(matrix, "weight", index, _output_dimension(matrix))
    if matrix.bias is not None:
        _keep(matrix, "bias", index, 0)
    setattr(matrix, "nf" if _is_conv1d(matrix) else "out_features", len(index))


def keep_inputs(matrix: Any, index: torch.Tensor) -> None:
    """Leaves the inputs at `index` (k,), in that order."""
    _keep(matrix, "weight", index, 1 - _output_dimension(matrix))
    setattr(matrix, "nx" if _is_conv1d(matrix) else "in_features", len(index))


def keep_slices(module: Any, name: str, index: torch.Tensor, dimension: int) -> None:
    """Leaves the slices at `index` (k,) of a parameter that stands in a module by itself."""
    _keep(module, name, index, dimension)


def by_output(matrix: Any) -> torch.Tensor:
    """The weights as (outputs, inputs), without their gradient's history."""
    weight: torch.Tensor = matrix.weight.detach()
    return weight.T if _is_conv1d(matrix) else weight


def _keep(module: Any, name: str, index: torch.Tensor, dimension: int) -> None:
    from torch import nn

    old = getattr(module, name)
    kept = old.detach().index_select(dimension, index.to(old.device)).contiguous().clone()
    setattr(module, name, nn.Parameter(kept, requires_grad=old.requires_grad))


def _output_dimension(matrix: Any) -> int:
    return 1 if _is_conv1d(matrix) else 0


def _is_conv1d(matrix: Any) -> bool:
    from transformers.pytorch_utils import Conv1D

    return isinstance(matrix, Conv1D)
