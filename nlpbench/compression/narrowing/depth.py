"""The layers of a stack: which turn their input most, and a stack with fewer of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError

if TYPE_CHECKING:
    import torch

    from nlpbench.models.anatomy import Stack
    from nlpbench.tasks import Task

BY_LAYER = ("layer_types",)  # keys of a configuration with an entry a layer
POSITIONS = "relative_attention_bias"  # T5's table, which its first layer holds for all


def spread(keep: int, count: int) -> list[int]:
    """Layers at even distances, the first among them."""
    return [number * count // keep for number in range(keep)]


def keep(model: Any, stack: Stack, kept: Sequence[int]) -> None:
    """Leaves these layers of a stack, in this order, and tells the configuration."""
    from torch import nn

    base = model.base_model
    before = getattr(model.config, stack.depth)
    place, _, name = stack.layers.rpartition(".")
    parent = base.get_submodule(place)
    if not stack.shared:
        old = list(getattr(parent, name))
        chosen = [old[number] for number in kept]
        _hand_over(old[0], chosen[0])
        setattr(parent, name, nn.ModuleList(chosen))
        for number, layer in enumerate(chosen):
            for module in layer.modules():
                if isinstance(getattr(module, "layer_idx", None), int):
                    module.layer_idx = number
    for module in (base, parent):
        for attribute in (stack.depth, "num_layers", "n_layers", "num_hidden_layers"):
            if vars(module).get(attribute) == before:
                setattr(module, attribute, len(kept))
    for configuration in (model.config, getattr(parent, "config", model.config)):
        setattr(configuration, stack.depth, len(kept))
        for key in BY_LAYER:
            entries = getattr(configuration, key, None)
            if isinstance(entries, list) and len(entries) == before:
                setattr(configuration, key, [entries[number] for number in kept])


def turning(
    model: Any, task: Task, stack: Stack, batches: Iterable[Mapping[str, torch.Tensor]]
) -> torch.Tensor:
    """(layers,) the mean over all real tokens of 1 - cos between a layer's input and output.

    Raises:
        UserError: there is no row.
    """
    import torch
    from torch.nn import functional as F

    layers: Any = model.base_model.get_submodule(stack.layers)
    totals = torch.zeros(len(layers), dtype=torch.float64)
    tokens = 0

    def measure(number: int) -> Any:
        def hook(module: Any, arguments: Any, keywords: Any, result: Any) -> None:  # noqa: ARG001
            before = arguments[0] if arguments else keywords["hidden_states"]
            after = result[0] if isinstance(result, tuple) else result
            turned = 1 - F.cosine_similarity(before.float(), after.float(), dim=-1)
            totals[number] += turned.mean().double().cpu() * len(before)

        return hook

    hooks = [
        layer.register_forward_hook(measure(number), with_kwargs=True)
        for number, layer in enumerate(layers)
    ]
    device = next(model.parameters()).device
    try:
        with torch.inference_mode():
            for batch in batches:
                inputs = {key: value.to(device) for key, value in batch.items() if key != "labels"}
                task.forward(model, inputs)
                tokens += len(inputs["input_ids"])
    finally:
        for hook in hooks:
            hook.remove()
    if not tokens:
        raise UserError("there are no training rows to weigh layers by")
    return totals / tokens


def _hand_over(old: Any, new: Any) -> None:
    """Gives the first layer that stays what only the first layer has."""
    if old is new:
        return
    for name, module in old.named_modules():
        if getattr(module, f"has_{POSITIONS}", False):
            other = new.get_submodule(name)
            setattr(other, POSITIONS, getattr(module, POSITIONS))
            setattr(other, f"has_{POSITIONS}", True)
