"""YAML 1.2 text to plain values, with the place of every key and value; no tags, no duplicates."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLStreamError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from nlpbench.config.problems import Mark, Path, Problem

CORE = "tag:yaml.org,2002:"
PLAIN = {CORE + name for name in ("str", "timestamp", "value")}
TYPED = {CORE + name for name in ("null", "bool", "int", "float")}
MOST_NODES = 100_000
VARIABLE = re.compile(r"\$\{env:([^}]*)\}")
NAME_AND_DEFAULT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
SECRET = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|API_?KEY|PRIVATE_?KEY", re.IGNORECASE)


@dataclass
class Document:
    """Values, and the marks of keys `(path, True)` and values `(path, False)`."""

    origin: str
    values: dict[str, Any] = field(default_factory=dict)
    marks: dict[tuple[Path, bool], Mark] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def rendered_problems(self) -> list[str]:
        return [problem.render(self.marks, self.origin) for problem in self.problems]


def parse(text: str, origin: str) -> Document:
    """Parses a whole config file; what is wrong with the text is in the document's problems."""
    document = Document(origin)
    root = _compose(text, document)
    if root is None:
        if not document.problems:
            document.problems.append(Problem((), "the file holds no config"))
        return document
    value = _Builder(document).build(root, ())
    if isinstance(value, dict):
        document.values = value
    elif not document.problems:
        document.problems.append(Problem((), "the file must hold a mapping of keys"))
    return document


def parse_value(text: str, path: Path, document: Document, mark: Mark) -> Any:
    """The typed value of an override; all its marks are the override itself."""
    part = Document(document.origin)
    root = _compose(text, part)
    value = None if root is None else _Builder(part).build(root, ())
    if part.problems:
        document.problems.append(
            Problem(path, f"not a YAML value (got {text!r}): {part.problems[0].message}")
        )
    document.marks.update({((*path, *inner), key): mark for inner, key in part.marks})
    document.marks[path, True] = document.marks[path, False] = mark
    return value


def dump(values: dict[str, Any]) -> str:
    """Values as block-style YAML 1.2, keys in their order."""
    import io

    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    writer.allow_unicode = True
    writer.width = 10_000
    out = io.StringIO()
    writer.dump(values, out)
    return out.getvalue()


def _compose(text: str, document: Document) -> Node | None:
    reader = YAML(typ="safe", pure=True)
    reader.allow_duplicate_keys = True  # told by _Builder, with both places
    try:
        return reader.compose(text)  # type: ignore[no-any-return]
    except MarkedYAMLError as error:
        place = error.problem_mark or error.context_mark
        if place is not None:
            document.marks[(), False] = Mark(document.origin, place.line + 1, place.column + 1)
        document.problems.append(Problem((), f"not valid YAML: {error.problem or error.context}"))
    except (ReaderError, YAMLStreamError, ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else _one_line(error)
        document.problems.append(Problem((), f"not valid YAML: {reason}"))
    return None


class _Builder:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.constructor = YAML(typ="safe", pure=True).constructor
        self.nodes = 0
        self.open: set[int] = set()

    def build(self, node: Node, path: Path) -> Any:
        mark = Mark(self.document.origin, node.start_mark.line + 1, node.start_mark.column + 1)
        self.document.marks[path, False] = mark
        self.nodes += 1
        if self.nodes > MOST_NODES:
            return self.problem(path, f"the file expands to more than {MOST_NODES} values")
        if id(node) in self.open:
            return self.problem(path, "an alias stands inside the value it names")
        if len(path) > 50:
            return self.problem(path[:3], "nested too deeply")
        self.open.add(id(node))
        try:
            if isinstance(node, ScalarNode):
                return self.scalar(node, path)
            if isinstance(node, SequenceNode) and node.tag == CORE + "seq":
                return [self.build(item, (*path, i)) for i, item in enumerate(node.value)]
            if isinstance(node, MappingNode) and node.tag == CORE + "map":
                return self.mapping(node, path)
        finally:
            self.open.discard(id(node))
        return self.problem(path, f"YAML tags are not accepted (got {node.tag})")

    def mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, value in node.value:
            mark = Mark(self.document.origin, key.start_mark.line + 1, key.start_mark.column + 1)
            if not isinstance(key, ScalarNode):
                self.problem(path, "keys must be plain words")
            elif key.tag == CORE + "merge":
                self.document.marks[(*path, "<<"), True] = mark
                self.problem((*path, "<<"), "YAML 1.2 has no merge key", "use extends", at_key=True)
            elif key.value in values:
                first = self.document.marks[(*path, key.value), True]
                self.document.marks[(*path, key.value), True] = mark
                self.problem(
                    (*path, key.value), f"the key stands twice (first at {first})", at_key=True
                )
            else:
                self.document.marks[(*path, key.value), True] = mark
                values[key.value] = self.build(value, (*path, key.value))
        return values

    def scalar(self, node: ScalarNode, path: Path) -> Any:
        if node.tag not in PLAIN | TYPED:
            return self.problem(path, f"YAML tags are not accepted (got {node.tag})")
        if "${env:" in node.value:
            text = VARIABLE.sub(lambda match: self.variable(match, path), node.value)
            whole = node.style is None and VARIABLE.fullmatch(node.value)
            return self.retyped(text) if whole else text
        if node.tag in PLAIN:
            return node.value
        try:
            return self.constructor.construct_object(node)
        except ValueError:
            return self.problem(path, f"not a value of type {node.tag.removeprefix(CORE)}")

    def variable(self, match: re.Match[str], path: Path) -> str:
        parts = NAME_AND_DEFAULT.fullmatch(match[1])
        if parts is None:
            self.problem(path, f"not a variable (got {match[0]})", "write ${env:NAME}")
            return ""
        name, default = parts[1], parts[2]
        if SECRET.search(name):
            self.problem(
                path,
                f"{name} looks like a secret, and a config is written into every record",
                "leave it in the environment: the hub libraries read HF_TOKEN there",
            )
            return ""
        value = os.environ.get(name, default)
        if value is None:
            self.problem(
                path,
                f"the environment variable {name} is not set",
                f"set it, or write ${{env:{name}:-default}}",
            )
            return ""
        return value

    def retyped(self, text: str) -> Any:
        """A value that is one variable has the type its text would have in the file."""
        part = Document(self.document.origin)
        root = _compose(text, part)
        if isinstance(root, ScalarNode) and root.tag in TYPED and "${env:" not in text:
            return self.constructor.construct_object(root)
        return text

    def problem(self, path: Path, message: str, advice: str = "", at_key: bool = False) -> None:
        if len(self.document.problems) < 100:
            self.document.problems.append(Problem(path, message, advice, at_key))


def read_text(file: FilePath) -> str:
    """The text of a config file.

    Raises:
        OSError, UnicodeDecodeError: told by the caller, with the file's name.
    """
    return file.read_text(encoding="utf-8-sig")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
