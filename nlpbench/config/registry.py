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
    entry = _plugins(kind)[name]
    try:
        component = entry.load()
    except Exception as error:
        raise UserError(
            f"the plugin {entry.value} ({kind} {name}) cannot be imported: {error}"
        ) from error
    if getattr(component, "kind", None) != kind:
        raise UserError(f"the plugin {entry.value} is registered as a {kind}, which it is not")
    component.yaml_name = classmethod(lambda _: name)
    return component  # type: ignore[no-any-return]


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
