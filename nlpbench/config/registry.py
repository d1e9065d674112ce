"""Finds components: a file in the folder of its kind, or an entry point of another package.

A plugin package names its components in the entry-point group `nlpbench.plugins`, each as
`KIND.NAME = "package.module:Class"`, for example `metric.word-overlap = "my_package.overlap:WordOverlap"`.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError

if TYPE_CHECKING:
    from nlpbench.config.component import Component

FOLDERS = {
    "task": "nlpbench.tasks",
    "metric": "nlpbench.evaluation.metrics",
    "method": "nlpbench.compression",
    "perturbation": "nlpbench.evaluation.perturbations",
}
GROUP = "nlpbench.plugins"


@cache
def names(kind: str) -> tuple[str, ...]:
    """All names of a kind, sorted."""
    return tuple(sorted({*_files(kind), *_plugins(kind)}))


@cache
def load(kind: str, name: str) -> type[Component]:
    """The class of a component.

    Raises:
        UserError: a plugin that cannot be imported or is not a component of its kind.
    """
    if name in _files(kind):
        return _only_component(importlib.import_module(_files(kind)[name]))
    from nlpbench.config.component import Component

    entry = _plugins(kind)[name]
    plugin = f"the plugin {entry.value} ({kind} {name}, of {_package(entry)})"
    try:
        component = entry.load()
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"{plugin} cannot be imported: {reason}") from error
    if not (inspect.isclass(component) and issubclass(component, Component)):
        raise UserError(f"{plugin} is no subclass of nlpbench.config.component.Component")
    if getattr(component, "kind", None) != kind:
        raise UserError(f"{plugin} is no {kind}; its class is not derived from one")
    if inspect.isabstract(component):
        missing = ", ".join(sorted(component.__abstractmethods__))
        raise UserError(f"{plugin} does not define {missing}")
    component.yaml_name = classmethod(lambda _: name)  # type: ignore[assignment]
    return component


@cache
def _files(kind: str) -> dict[str, str]:
    package = importlib.import_module(FOLDERS[kind])
    return {
        info.name.replace("_", "-"): f"{package.__name__}.{info.name}"
        for info in pkgutil.iter_modules(package.__path__)
        if not info.name.startswith("_") and not info.ispkg
    }


@cache
def _plugins(kind: str) -> dict[str, EntryPoint]:
    prefix = kind + "."
    return {
        entry.name.removeprefix(prefix): entry
        for entry in entry_points(group=GROUP)
        if entry.name.startswith(prefix)
    }


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "an unknown package"


def _only_component(module: Any) -> type[Component]:
    from nlpbench.config.component import Component

    found = [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, Component)
        and value.__module__ == module.__name__
        and not inspect.isabstract(value)
    ]
    if len(found) != 1:
        raise TypeError(f"{module.__name__} must define exactly one component, not {len(found)}")
    return found[0]
