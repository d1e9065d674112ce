"""Where the parts of a model are: its embeddings, its layers from the bottom up, its head."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Part:
    """A name to show, and the names of the parameters as in `named_parameters`."""

    name: str
    parameters: tuple[str, ...]


@dataclass(frozen=True)
class Layer(Part):
    """A layer of the encoder or the decoder.

    Attributes:
        parameters: those of its modules; the top layer also has the norm that follows the stack.
        modules: one, but where an architecture keeps attention and feed-forward in lists of their
            own (XLM).
    """

    modules: tuple[nn.Module, ...]


@dataclass(frozen=True)
class Structure:
    """The parts of a model. Every parameter belongs to exactly one.

    Attributes:
        embeddings: tables, their norm and projection, relative positions; a table that is also the
            output layer (tied weights) is here.
        layers: from the bottom up; a decoder stands on its encoder.
        head: what is behind the layers, the pooler included.
        pooler: the pretrained one, where there is one.
        shared: whether several layers have the same weights (ALBERT); `layers` has them once.
    """

    model_type: str
    embeddings: Part
    layers: tuple[Layer, ...]
    head: Part
    pooler: nn.Module | None
    shared: bool

    @property
    def from_the_top(self) -> tuple[Part, ...]:
        """Head, layers from the highest to the lowest, embeddings."""
        return (self.head, *reversed(self.layers), self.embeddings)

    def check_layers(self, count: int, key: str) -> None:
        """Raises UserError where `count` layers, asked for by `key`, cannot be told apart."""
        if self.shared:
            raise UserError(
                f"{key}: the layers of this {self.model_type} model share their weights, so {count} "
                "of them cannot be treated differently from the others"
            )
        if count > len(self.layers):
            raise UserError(
                f"{key} is {count}, and this {self.model_type} model has {len(self.layers)} layers"
            )


def locate(model: Any) -> Structure:
    """The parts of a transformers model, with or without adapters of peft.

    Layers are found as the lists of modules under the model's base, so that any architecture that
    keeps them in lists is understood.

    Raises:
        UserError: the model has no such list.
    """
    root = model.get_base_model() if hasattr(model, "get_base_model") else model
    base = root.base_model
    prefix = next(name for name, module in model.named_modules() if module is base)
    stacks = _stacks(base, prefix)
    if not stacks:
        raise UserError(
            f"this {root.config.model_type} model has no list of layers, so options that tell "
            "embeddings, layers and head apart (freeze.embeddings, freeze.layers, "
            "gradual_unfreezing, layerwise_lr_decay, head_learning_rate, reinit_layers) cannot be "
            "used with it"
        )
    parameters = dict(model.named_parameters())
    names = list(parameters)
    heads = _heads(base, prefix, alone=base is root)
    # Where the output layer comes first (XLM-R), a tied table has its name.
    table = getattr(root.get_input_embeddings(), "weight", None)
    head = [
        name
        for name in names
        if (_under(name, heads) or not _under(name, [prefix])) and parameters[name] is not table
    ]
    places = [place for stack in stacks.values() for place in _with_norm(base, prefix, stack)]
    if prefix not in stacks:
        places[-1] = _followed_by(places[-1], _norms(base, prefix))
    layers = tuple(
        Layer(
            place.modules[0][0],
            tuple(name for name in names if _under(name, place.prefixes)),
            tuple(module for _, module in place.modules),
        )
        for place in places
    )
    taken = {*head, *(name for layer in layers for name in layer.parameters)}
    told = getattr(root.config, "num_hidden_layers", None)
    return Structure(
        model_type=root.config.model_type,
        embeddings=Part("embeddings", tuple(name for name in names if name not in taken)),
        layers=layers,
        head=Part("head", tuple(head)),
        pooler=getattr(base, "pooler", None),
        shared=isinstance(told, int) and told > len(layers),
    )


@dataclass(frozen=True)
class _Place:
    """Where a layer is: its modules with their names, and what else belongs to it."""

    parent: str
    modules: tuple[tuple[str, nn.Module], ...]
    behind: tuple[str, ...] = ()

    @property
    def prefixes(self) -> list[str]:
        return [name for name, _ in self.modules] + list(self.behind)


def _stacks(base: nn.Module, prefix: str) -> dict[str, list[_Place]]:
    """The layers of each module that has lists of them, by its name."""
    found: dict[str, list[list[tuple[str, nn.Module]]]] = {}
    for parent, items in _lists(base, prefix):
        found.setdefault(parent, []).append(items)
    stacks = {}
    for parent, lists in found.items():
        length = max(map(len, lists))
        together = zip(*(items for items in lists if len(items) == length), strict=True)
        stacks[parent] = [_Place(parent, tuple(modules)) for modules in together]
    return stacks


def _lists(module: nn.Module, name: str) -> Iterator[tuple[str, list[tuple[str, nn.Module]]]]:
    """The outermost lists of modules with parameters; lists of lists are laid out flat."""
    from torch import nn

    for key, child in module.named_children():
        inner = _join(name, key)
        if not isinstance(child, nn.ModuleList):
            yield from _lists(child, inner)
        elif next(child.parameters(), None) is not None:
            yield name, list(_items(child, inner))


def _items(modules: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    from torch import nn

    for key, child in modules.named_children():
        if isinstance(child, nn.ModuleList):
            yield from _items(child, _join(name, key))
        else:
            yield _join(name, key), child


def _with_norm(base: nn.Module, prefix: str, stack: list[_Place]) -> list[_Place]:
    """The layers of a stack, of which the last has the norm that follows it."""
    parent = stack[-1].parent
    below = parent.removeprefix(prefix).removeprefix(".")
    return [*stack[:-1], _followed_by(stack[-1], _norms(base.get_submodule(below), parent))]


def _followed_by(place: _Place, norms: list[str]) -> _Place:
    return replace(place, behind=(*place.behind, *norms))


def _norms(module: nn.Module, name: str) -> list[str]:
    # DeBERTa's norm beside the layers is that of its relative positions.
    if hasattr(module, "rel_embeddings"):
        return []
    return [
        _join(name, key)
        for key, child in module.named_children()
        if type(child).__name__.lower().endswith("norm") and "emb" not in key
    ]


def _heads(base: nn.Module, prefix: str, alone: bool) -> list[str]:
    """What belongs to the head inside of the base: the pooler, and all of T5's output layers."""
    from torch import nn

    return [
        _join(prefix, key)
        for key, child in base.named_children()
        if key == "pooler" or (alone and isinstance(child, nn.Linear) and "emb" not in key)
    ]


def _under(name: str, prefixes: list[str]) -> bool:
    return any(not prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def _join(prefix: str, key: str) -> str:
    return f"{prefix}.{key}" if prefix else key
