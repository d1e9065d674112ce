"""What a model has that its configuration cannot say: narrower weights, other modules."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from nlpbench.config.errors import UserError

if TYPE_CHECKING:
    from torch import nn

MODULES: dict[str, str] = {}
"""The modules of our own that may stand in a model, by kind: `package.module:Class` each.

Only these are ever built from a file.
"""
PLAIN = (bool, int, float, str, type(None))


@runtime_checkable
class Substitute(Protocol):
    """A module that stands where a model's own class would put another one."""

    kind: ClassVar[str]

    def options(self) -> dict[str, Any]:
        """What `build` needs to make such a module again, with weights of the same shapes."""
        ...

    @classmethod
    def build(cls, **options: Any) -> nn.Module:
        """A module without meaningful weights; they are loaded afterwards."""
        ...


@dataclass(frozen=True)
class Layout:
    """How a model differs from the one that its configuration describes.

    Attributes:
        modules: the kind and options of each substitute, by its name in the model.
        attributes: of modules that are of the same class, those with another value.
        shapes: of parameters and buffers that have another shape.
    """

    modules: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    attributes: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    shapes: Mapping[str, list[int]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.modules or self.attributes or self.shapes)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, model: Any) -> Layout:
        """What sets a transformers model apart from a new one of its configuration."""
        plain = dict(blank(type(model)._from_config, model.config).named_modules())
        modules: dict[str, dict[str, Any]] = {}
        attributes: dict[str, dict[str, Any]] = {}
        shapes: dict[str, list[int]] = {}
        for name, module in _own_modules(model):
            if isinstance(module, Substitute):
                modules[name] = {"kind": module.kind, **module.options()}
                continue
            counterpart: Any = plain.get(name)
            if type(counterpart) is not type(module):
                raise ValueError(f"{name} is a {type(module).__name__}, which cannot be saved")
            other = {
                key: value
                for key, value in vars(module).items()
                if _is_plain(key, value) and vars(counterpart).get(key, value) != value
            }
            if other:
                attributes[name] = other
            before = dict(_tensors(counterpart))
            for key, tensor in _tensors(module):
                if key in module._non_persistent_buffers_set and key not in before:
                    continue  # computed for layers that are no longer there
                if before[key].shape != tensor.shape:
                    shapes[f"{name}.{key}" if name else key] = list(tensor.shape)
        return cls(modules, attributes, shapes)

    def put_on(self, model: Any) -> None:
        """Gives a new model of the configuration this layout; its weights are loaded afterwards.

        Raises:
            UserError: it names what the model does not have.
        """
        import torch
        from torch import nn

        for name, options in self.modules.items():
            parent, key = _parent(model, name)
            built = _class(options["kind"]).build(
                **{k: v for k, v in options.items() if k != "kind"}
            )
            parent._modules[key] = built
        for name, values in self.attributes.items():
            for key, value in values.items():
                setattr(model.get_submodule(name), key, value)
        for name, shape in self.shapes.items():
            parent, key = _parent(model, name)
            old = getattr(parent, key)
            new = torch.zeros(shape, dtype=old.dtype)
            setattr(parent, key, nn.Parameter(new) if isinstance(old, nn.Parameter) else new)


def blank(make: Callable[..., Any], config: Any, **options: Any) -> Any:
    """A model of a configuration with weights that mean nothing; its buffers are right.

    Args:
        make: `from_config` of an Auto class, or of a model class.
    """
    import copy

    import torch
    from transformers.initialization import no_init_weights

    with no_init_weights(), torch.random.fork_rng(devices=[]):
        return make(copy.deepcopy(config), dtype=torch.float32, **options)


def _own_modules(module: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """All modules with their names, but none inside of a substitute."""
    yield name, module
    if not isinstance(module, Substitute):
        for key, child in module.named_children():
            yield from _own_modules(child, f"{name}.{key}" if name else key)


def _tensors(module: Any) -> list[tuple[str, Any]]:
    found = [
        *module.named_parameters(recurse=False, remove_duplicate=False),
        *module.named_buffers(recurse=False, remove_duplicate=False),
    ]
    return [(key, tensor) for key, tensor in found if tensor is not None]


def _is_plain(key: str, value: Any) -> bool:
    if key.startswith("_") or key == "training":
        return False
    return isinstance(value, PLAIN) or (
        isinstance(value, tuple) and all(isinstance(item, PLAIN) for item in value)
    )


def _parent(model: Any, name: str) -> tuple[Any, str]:
    place, _, key = name.rpartition(".")
    try:
        parent = model.get_submodule(place)
        getattr(parent, key)
    except AttributeError as error:
        raise UserError(
            f"compression.json names {name}, which a {type(model).__name__} does not have"
        ) from error
    return parent, key


def _class(kind: str) -> Any:
    if kind not in MODULES:
        raise UserError(
            f"compression.json names a module of the kind {kind}, which this nlpbench does not "
            "know; install a newer one"
        )
    module, _, name = MODULES[kind].partition(":")
    return getattr(importlib.import_module(module), name)
