"""The feed-forward neurons of a model: counted, weighed, taken out."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlpbench.compression.narrowing import matrices
from nlpbench.models.anatomy import LayerParts, layers

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Neurons:
    """The neurons of a layer's feed-forward part."""

    layer: LayerParts

    @property
    def output(self) -> Any:
        """The matrix that reads the neurons."""
        return self.layer.module.get_submodule(self.layer.stack.feed_forward.output)

    @property
    def inputs(self) -> list[Any]:
        parts = self.layer.stack.feed_forward
        return [self.layer.module.get_submodule(name) for name in parts.inputs]

    @property
    def count(self) -> int:
        return matrices.inputs(self.output)

    def keep(self, kept: Collection[int]) -> None:
        """Takes out all neurons but these, for good."""
        import torch

        parts = self.layer.stack.feed_forward
        order, before = torch.tensor(sorted(kept)), self.count
        both = torch.cat([order, order + before]) if parts.fused else order
        for matrix in self.inputs:
            matrices.keep_outputs(matrix, both)
        matrices.keep_inputs(self.output, order)
        for name, attribute in parts.attributes.items():
            setattr(self.layer.module.get_submodule(name), attribute, len(order))

    def norms(self) -> torch.Tensor:
        """(neurons,) the norm of what leads to a neuron times that of what leads away from it."""
        leading: Any = 0.0
        for matrix in self.inputs:
            weights = matrices.by_output(matrix)
            leading = leading + weights.reshape(-1, self.count, weights.shape[-1]).pow(2).sum(
                (0, 2)
            )
        away: torch.Tensor = matrices.by_output(self.output).pow(2).sum(dim=0)
        found: torch.Tensor = (leading * away).sqrt()
        return found


def all_neurons(model: Any) -> list[Neurons]:
    """The neurons of every layer, from the bottom up; raises UserError as `anatomy.of`."""
    return [Neurons(layer) for layer in layers(model)]
