"""YAML 1.2 and nothing else: the scalars of its core schema, and values written so."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import SafeRepresenter
from ruamel.yaml.resolver import VersionedResolver

CORE = "tag:yaml.org,2002:"
ODD_BREAKS = re.compile("[\x85\u2028\u2029]")

# YAML 1.2.2, section 10.3.2: the core schema. By tag: the pattern, the first characters, and how
# a text becomes a value.
SCALARS: dict[str, tuple[re.Pattern[str], str, Callable[[str], Any]]] = {
    "null": (re.compile(r"(?:null|Null|NULL|~|)\Z"), "nN~", lambda _: None),
    "bool": (
        re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"),
        "tTfF",
        lambda text: text.lower() == "true",
    ),
    "int": (
        re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z"),
        "-+0123456789",
        lambda text: int(text, {"0o": 8, "0x": 16}.get(text[:2], 10)),
    ),
    "float": (
        re.compile(
            r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
            r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
        ),
        "-+.0123456789",
        lambda text: float(text.lower().replace(".inf", "inf").replace(".nan", "nan")),
    ),
}


class _CoreSchema(VersionedResolver):
    """Knows the scalars of YAML 1.2 in every file, whatever version a directive names."""

    def __init__(self, version: Any = None, loader: Any = None, loadumper: Any = None) -> None:
        super().__init__(version, loader, loadumper)
        self.patterns: dict[str, list[Any]] = {}
        for name, (pattern, first, _) in SCALARS.items():
            for letter in [*first, *([""] if name == "null" else [])]:
                self.patterns.setdefault(letter, []).append((CORE + name, pattern))
        self.patterns["<"] = [(CORE + "merge", re.compile(r"<<\Z"))]

    @property
    def versioned_resolver(self) -> dict[str, list[Any]]:
        return self.patterns


class _KeepsOddBreaks(SafeRepresenter):
    """Quotes texts with line breaks that only Unicode knows, which would be folded otherwise."""

    def represent_str(self, data: str) -> ScalarNode:
        style = '"' if ODD_BREAKS.search(data) else None
        return self.represent_scalar(CORE + "str", data, style=style)


_KeepsOddBreaks.add_representer(str, _KeepsOddBreaks.represent_str)


def dump(values: dict[str, Any]) -> str:
    """Values as block-style YAML 1.2, keys in their order."""
    writer = reader_and_writer()
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    writer.allow_unicode = True
    writer.width = 10_000
    out = io.StringIO()
    writer.dump(values, out)
    return out.getvalue()


def reader_and_writer() -> YAML:
    """ruamel's safe loader and dumper with the core schema."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Resolver = _CoreSchema
    yaml.Representer = _KeepsOddBreaks
    return yaml
