"""The attention heads of a model: counted, weighed, taken out.

Where several query heads share a key and a value head (Llama), these go together, and count as one.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlpbench.compression.narrowing import matrices
from nlpbench.models.anatomy import Attention, LayerParts, layers

if TYPE_CHECKING:
    import torch

XLNET_HEADS = {"q": 1, "k": 1, "v": 1, "o": 1, "r": 1, "seg_embed": 1}
XLNET_BIASES = ("r_r_bias", "r_s_bias", "r_w_bias")
FURTHER = ("pos_key_proj", "pos_query_proj")  # DeBERTa's projections of positions


@dataclass(frozen=True)
class Heads:
    """The heads of one attention of a layer."""

    layer: LayerParts
    attention: Attention

    @property
    def name(self) -> str:
        return f"{self.layer.name}.{self.attention.module}"

    @property
    def module(self) -> Any:
        return self.layer.module.get_submodule(self.attention.module)

    @property
    def output(self) -> Any:
        """The matrix that reads all heads side by side; None for XLNet, which has no module of it."""
        if self._in_parameters:
            return None
        return self.layer.module.get_submodule(self.attention.output)

    @property
    def size(self) -> int:
        """What one head, with those that share its key, gives to the output: numbers a token."""
        return self._head_size * self._group

    @property
    def count(self) -> int:
        if self._in_parameters:
            return int(self.module.o.shape[1])
        return matrices.inputs(self.output) // self.size

    def keep(self, kept: Collection[int]) -> None:
        """Takes out all heads but these, for good."""
        import torch

        order = torch.tensor(sorted(kept))
        if self._in_parameters:
            self._keep_parameters(order)
        else:
            self._keep_matrices(order)
        for name in self.attention.width:
            setattr(self.module, name, len(kept) * self.size)
        if self.attention.heads:
            setattr(self.module, self.attention.heads, len(kept))

    def norms(self) -> torch.Tensor:
        """(heads,) the Frobenius norm of each head's output weights."""
        if self._in_parameters:
            weights: torch.Tensor = self.module.o.detach()
            return weights.pow(2).sum(dim=(0, 2)).sqrt()
        weights = matrices.by_output(self.output)
        return weights.reshape(len(weights), self.count, self.size).pow(2).sum(dim=(0, 2)).sqrt()

    @property
    def _in_parameters(self) -> bool:
        return hasattr(self.module, "o") and not hasattr(self.module.o, "weight")  # XLNet

    @property
    def _head_size(self) -> int:
        return int(getattr(self.module, self.attention.head_size))

    @property
    def _group(self) -> int:
        return int(getattr(self.module, self.attention.groups)) if self.attention.groups else 1

    def _keep_matrices(self, order: torch.Tensor) -> None:
        import torch

        module, attention = self.layer.module, self.attention
        queries, shared = _places(order, self.size), _places(order, self._head_size)
        if attention.fused:
            joint = module.get_submodule(attention.query)
            third = matrices.outputs(joint) // 3
            matrices.keep_outputs(joint, torch.cat([queries, queries + third, queries + 2 * third]))
        else:
            matrices.keep_outputs(module.get_submodule(attention.query), queries)
            matrices.keep_outputs(module.get_submodule(attention.key), shared)
            matrices.keep_outputs(module.get_submodule(attention.value), shared)
            for name in FURTHER:
                if hasattr(self.module, name):
                    matrices.keep_outputs(getattr(self.module, name), queries)
        matrices.keep_inputs(self.output, queries)

    def _keep_parameters(self, order: torch.Tensor) -> None:
        for name, dimension in XLNET_HEADS.items():
            matrices.keep_slices(self.module, name, order, dimension)
        for name in XLNET_BIASES:
            matrices.keep_slices(self.module, name, order, 0)


def _places(order: torch.Tensor, size: int) -> torch.Tensor:
    """Where the numbers of these heads stand, of `size` each."""
    import torch

    return (order[:, None] * size + torch.arange(size)[None]).flatten()


def all_heads(model: Any) -> list[Heads]:
    """The heads of every attention, from the bottom up; raises UserError as `anatomy.of`."""
    return [Heads(layer, one) for layer in layers(model) for one in layer.stack.attentions]
