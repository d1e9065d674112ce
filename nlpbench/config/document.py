"""YAML 1.2 text to plain values, with the place of every key and value; no tags, no duplicates."""

from __future__ import annotations

import os
import re
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath
from typing import Any

from ruamel.yaml.error import MarkedYAMLError, YAMLStreamError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from nlpbench.config.errors import ConfigError, UserError
from nlpbench.config.problems import Mark, Path, Problem, find_mark, show
from nlpbench.config.yaml12 import CORE, SCALARS, reader_and_writer

MOST_NODES = 100_000
MOST_LEVELS = 50
MOST_DIGITS = 300
VARIABLE = re.compile(r"\$\{env:([^}]*)\}")
NAME_AND_DEFAULT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
SECRET = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|API_?KEY|PRIVATE_?KEY", re.IGNORECASE)

WORDS = {"null": "null", "bool": "true or false", "int": "a whole number", "float": "a number"}
# What the parser says, what it means, and what to do; the first that fits is taken.
SYNTAX = (
    ("'\\t'", "a tab where spaces are due", "indent with spaces"),
    ("that cannot start any token", "a value cannot begin with this character", "put it in quotes"),
    (
        "mapping values are not allowed",
        'a ": " where no key may stand',
        "put the text in quotes, or mend the indentation",
    ),
    ("found duplicate key", "a key stands twice", "keep one of them"),
    ("<stream end>", "a bracket is never closed", "close it"),
    ("unexpected end of stream", "a quote is never closed", "close it"),
    (
        "<block end>",
        "this does not continue what stands above",
        "mend the indentation, or a bracket",
    ),
    (
        "expected ','",
        "a comma or a closing bracket is missing here",
        "put a text with brackets in quotes",
    ),
    ("could not find expected ':'", "a key without a colon", "write key: value"),
    ("another document", "a second document begins here", "keep one document in the file"),
    ("undefined alias", "an alias that nothing defines", "put a text that begins with * in quotes"),
    ("incompatible YAML document", "a YAML version before or after 1", "take the %YAML line away"),
)


@dataclass
class Document:
    """Values, and the marks of keys `(path, True)` and values `(path, False)`."""

    origin: str
    values: dict[str, Any] = field(default_factory=dict)
    marks: dict[tuple[Path, bool], Mark] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    readable: bool = True  # whether all that belongs to it could be read, what it extends too

    def report(self, problem: Problem, mark: Mark | None = None) -> None:
        """Keeps a problem with the place it has now; marks may still come to stand elsewhere."""
        if len(self.problems) < 100:
            self.problems.append(replace(problem, mark=mark or self.mark(problem)))

    def mark(self, problem: Problem) -> Mark:
        return problem.mark or find_mark(problem.path, problem.at_key, self.marks, self.origin)


def parse(text: str, origin: str) -> Document:
    """Parses a whole config file; what is wrong with the text is in the document's problems."""
    document = Document(origin)
    root = _compose(text, document)
    if root is None:
        if not document.problems:
            document.report(Problem((), "the file holds no config", "see nlpbench init"))
        document.readable = False
        return document
    value = _build(root, document)
    if isinstance(value, dict):
        document.values = value
    else:
        if not document.problems:
            message = f"the file must hold a mapping of keys (got {show(value)})"
            document.report(Problem((), message, "write key: value"))
        document.readable = False
    return document


def parse_value(text: str, path: Path, document: Document, mark: Mark) -> Any:
    """The typed value of an override; all its marks are the override itself."""
    part = Document(str(mark))
    root = _compose(text, part)
    value = None if root is None else _build(root, part)
    for problem in part.problems:
        document.report(problem.inside(path), mark)
    document.marks.update({((*path, *inner), key): mark for inner, key in part.marks})
    document.marks[path, True] = document.marks[path, False] = mark
    return value


def _compose(source: str, document: Document) -> Node | None:
    reader = reader_and_writer()
    reader.allow_duplicate_keys = True  # told by _Builder, with both places
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an anchor may be used again; unknown directives
            return reader.compose(source)  # type: ignore[no-any-return]
    except MarkedYAMLError as error:
        place = error.problem_mark or error.context_mark
        if any(end in str(error.problem) for end in ("<stream end>", "unexpected end of stream")):
            place = error.context_mark or place  # where it opens
        what = str(error.problem or error.context)
        mark = place and Mark(document.origin, place.line + 1, place.column + 1)
        told = [(text, advice) for part, text, advice in SYNTAX if part in what]
        text, advice = told[0] if told else (what, "")
        there = source.splitlines()[place.line :][:1] if place else []
        if "${env:" in "".join(there):
            advice = "a variable cannot stand inside { } or [ ]: give its key a line of its own"
        document.report(Problem((), f"not valid YAML: {text}", advice), mark)
    except ReaderError as error:
        before = source[: error.position]
        line, column = before.count("\n") + 1, error.position - before.rfind("\n")
        message = (
            f"not valid YAML: the character U+{ord(source[error.position]):04X} may not stand here"
        )
        document.report(Problem((), message, "take it away"), Mark(document.origin, line, column))
    except RecursionError:
        document.report(Problem((), "not valid YAML: nested too deeply"))
    except (YAMLStreamError, ValueError) as error:
        document.report(Problem((), f"not valid YAML: {' '.join(str(error).split())}"))
    return None


class _TooManyValuesError(Exception):
    """The document is larger than any config."""


def _build(root: Node, document: Document) -> Any:
    try:
        return _Builder(document).build(root, ())
    except _TooManyValuesError:
        message = f"the aliases expand to more than {MOST_NODES:,} values"
        document.report(Problem((), message, "write fewer of them"), Mark(document.origin, 1, 1))
        return None


class _Builder:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.nodes = 0
        self.open: set[int] = set()

    def build(self, node: Node, path: Path) -> Any:
        if not _is_left_out(node) or (path, True) not in self.document.marks:
            mark = Mark(self.document.origin, node.start_mark.line + 1, node.start_mark.column + 1)
            self.document.marks[path, False] = mark
        self.nodes += 1
        if self.nodes > MOST_NODES:
            raise _TooManyValuesError
        if id(node) in self.open:
            return self.problem(path, "an alias stands inside the value it names")
        if len(path) > MOST_LEVELS:
            return self.problem(path[:3], f"nested more than {MOST_LEVELS} levels deep")
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
        return self.tag_problem(node, path)

    def mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, value in node.value:
            mark = Mark(self.document.origin, key.start_mark.line + 1, key.start_mark.column + 1)
            if not isinstance(key, ScalarNode):
                self.document.report(
                    Problem(path, "a key must be a word, not a list or mapping"), mark
                )
                continue
            inside = (*path, key.value)
            if key.tag == CORE + "merge":
                advice = "write the keys out, or use extends"
                self.document.report(Problem(inside, "YAML 1.2 has no merge key", advice), mark)
            elif inside[-1] in values:
                first = self.document.marks[inside, True]
                message = f"the key stands twice (first at {first})"
                self.document.report(Problem(inside, message, "keep one of them"), mark)
            elif not _is_text(key.value):
                self.document.report(
                    Problem(path, f"a key is no text (got {show(key.value)})"), mark
                )
            else:
                self.document.marks[inside, True] = mark
                values[key.value] = self.build(value, inside)
        return values

    def scalar(self, node: ScalarNode, path: Path) -> Any:
        name = str(node.tag).removeprefix(CORE)
        if name not in SCALARS and name not in ("str", "merge"):
            return self.tag_problem(node, path)
        if not _is_text(node.value):
            return self.problem(path, f"holds half a character (got {show(node.value)})")
        if "${env:" in node.value:
            text = VARIABLE.sub(lambda match: self.variable(match, path), node.value)
            if "${env:" in VARIABLE.sub("", node.value):
                self.problem(
                    path, f"a variable is not closed (got {show(text)})", "write ${env:NAME}"
                )
            whole = node.style is None and VARIABLE.fullmatch(node.value)
            return self.retyped(text, path) if whole else text
        return self.typed(name, node.value, path)

    def typed(self, name: str, text: str, path: Path) -> Any:
        if name not in SCALARS:
            return text
        pattern, _, convert = SCALARS[name]
        if not pattern.match(text):
            return self.problem(path, f"not {WORDS[name]} (got {show(text)})")
        if len(text) > MOST_DIGITS and name == "int":
            return self.problem(path, f"has more than {MOST_DIGITS} digits")
        return convert(text)

    def tag_problem(self, node: Node, path: Path) -> None:
        tag = str(node.tag).replace(CORE, "!!")
        self.problem(path, f"YAML tags are not accepted (got {tag})", "take it away")

    def variable(self, match: re.Match[str], path: Path) -> str:
        parts = NAME_AND_DEFAULT.fullmatch(match[1])
        if parts is None:
            self.problem(
                path,
                f"not a variable (got {match[0]})",
                "write ${env:NAME} or ${env:NAME:-default}",
            )
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
        if value is not None and not _is_text(value):
            self.problem(path, f"the environment variable {name} is not UTF-8 text")
            return ""
        if value is None:
            self.problem(
                path,
                f"the environment variable {name} is not set",
                f"set it, or write ${{env:{name}:-default}}",
            )
            return ""
        return value

    def retyped(self, text: str, path: Path) -> Any:
        """A value that is one variable has the type its text would have in the file."""
        for name, (pattern, _, _) in SCALARS.items():
            if pattern.match(text):
                return self.typed(name, text, path)
        return text

    def problem(self, path: Path, message: str, advice: str = "") -> None:
        self.document.report(Problem(path, message, advice))


def read_text(file: FilePath) -> str:
    """The text of a config file; a byte order mark is left out.

    Raises:
        ConfigError: bytes that are not UTF-8, with their place.
        UserError: a file that cannot be read.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        byte = f"byte 0x{error.object[error.start]:02x} is not UTF-8"
        place = Mark(str(file), line, column)
        raise ConfigError([f"{place}  {byte}  save the file as UTF-8"]) from error


def _is_left_out(node: Node) -> bool:
    """Whether a value is missing, as in `key:`; its place is then where the next thing begins."""
    return isinstance(node, ScalarNode) and node.style is None and not node.value


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
