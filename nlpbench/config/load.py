"""Loads a config: reads the file, what it extends and the overrides, then checks everything."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path as FilePath
from typing import Any, TypeVar

from pydantic import ValidationError

from nlpbench.config.component import Section
from nlpbench.config.document import Document, parse, parse_value, read_text
from nlpbench.config.errors import ConfigError, UserError
from nlpbench.config.homes import with_home
from nlpbench.config.problems import Mark, Path, Problem, dotted, flatten, show
from nlpbench.config.run_config import RunConfig

AnySection = TypeVar("AnySection", bound=Section)

RESOLVED = "config.yaml"
EXTENDS = "extends"
FROM_HERE = "a path is relative to the file it stands in"
RIVALS = {"seed": "seeds", "seeds": "seed", "model": "models", "models": "model"}
# Of rivals the later one stands.
LISTS = {"models": "model", "data": "data"}  # where several may stand, and what an item is
SHORTHANDS: dict[Path, str] = {
    ("model",): "name_or_path",
    ("model", "tokenizer"): "name_or_path",
    ("data",): "source",
    ("task",): "name",
}


def load(path: str | FilePath, overrides: Sequence[str] = ()) -> RunConfig:
    """The checked config of a YAML file or of a run directory.

    Args:
        path: a YAML file, or a run directory, whose `config.yaml` is taken.
        overrides: `dotted.key=value` each, the value as it would stand in the file.

    Raises:
        ConfigError: with every problem, each as `file:line:column  key  what  advice`.
        UserError: a file that cannot be read.
    """
    return validate(read(path, overrides))


def read(path: str | FilePath, overrides: Sequence[str] = ()) -> Document:
    """What `load` checks: a file with what it extends and the overrides over it."""
    document = _read(config_file(path), ())
    for override in overrides:
        _apply(override, document)
    return document


def loads(text: str, origin: str = "<config>") -> RunConfig:
    """The checked config of a YAML text; `extends` is relative to the current directory."""
    document = parse(text, origin)
    _extend(document, FilePath.cwd(), ())
    return validate(document)


def config_file(path: str | FilePath) -> FilePath:
    """The YAML file that a CONFIG argument means."""
    file = FilePath(path)
    if _exists(file) and file.is_dir():
        if not (file / RESOLVED).is_file():
            raise UserError(f"{file} is a directory without a {RESOLVED}, so no run directory")
        return file / RESOLVED
    if not _exists(file):
        raise UserError(f"there is no config {file} (in {FilePath.cwd()})")
    return file


def validate(document: Document) -> RunConfig:
    """The config of a document.

    Raises:
        ConfigError: with every problem of the text and of the values, in their order.
    """
    if document.readable and _refuse_matrix(document):
        raise ConfigError(in_order(document))
    return validate_as(RunConfig, document)


def validate_as(
    section: type[AnySection],
    document: Document,
    further: Callable[[AnySection], list[Problem]] | None = None,
) -> AnySection:
    """The section that a document holds, and what `further` finds wrong with it.

    Raises:
        ConfigError: as `validate`.
    """
    found = examine(section, document, further) if document.readable else None
    if found is None or document.problems:
        raise ConfigError(in_order(document))
    return found


def examine(
    section: type[AnySection],
    document: Document,
    further: Callable[[AnySection], list[Problem]] | None = None,
) -> AnySection | None:
    """As `validate_as`; what is wrong with the values is told in the document, and not raised."""
    told = [problem.path for problem in document.problems]
    try:
        found = section.model_validate(document.values)
    except ValidationError as error:
        for problem in flatten(error, section.model_fields):
            if not any(_follows(problem.path, path) for path in told):
                document.report(with_home(problem))
        return None
    for problem in further(found) if further is not None else []:
        document.report(problem)
    return found


def _refuse_matrix(document: Document) -> bool:
    """Tells of lists that only `nlpbench evaluate` takes; says whether there is one."""
    several = "stands for several {}, and this takes one; nlpbench evaluate scores them all"
    found = []
    if "models" in document.values:
        message = several.format("models")
        found.append(Problem(("models",), message, "write model", at_key=True))
    if isinstance(document.values.get("data"), list):
        message = several.format("data sets")
        found.append(Problem(("data",), message, "write one of them", at_key=True))
    for problem in found:
        document.report(problem)
    return bool(found)


def _follows(path: Path, told: Path) -> bool:
    """Whether a problem at a path may only follow from one told before, there or inside."""
    return path == told or (bool(path) and path == told[: len(path)])


def _read(file: FilePath, seen: tuple[FilePath, ...]) -> Document:
    document = parse(read_text(file), str(file))
    _extend(document, file.parent, (*seen, file.resolve()))
    return document


def _extend(document: Document, folder: FilePath, seen: tuple[FilePath, ...]) -> None:
    """Puts what the document extends under it; a later base wins over an earlier one."""
    if EXTENDS not in document.values:
        return
    bases = document.values.pop(EXTENDS)
    several = isinstance(bases, list)
    below = Document(document.origin)
    for number, base in enumerate(bases if several else [bases]):
        path: Path = (EXTENDS, number) if several else (EXTENDS,)
        problem = None
        if not isinstance(base, str):
            problem = Problem(path, f"must be a file or a list of files (got {show(base)})")
        elif not _exists(file := folder / base):
            problem = Problem(path, f"there is no file {show(str(file))}", FROM_HERE)
        elif file.is_dir():
            problem = Problem(path, f"{file} is a directory", "name the file in it")
        elif file.resolve() in seen:
            start = seen.index(file.resolve())
            chain = " -> ".join(item.name for item in (*seen[start:], file))
            problem = Problem(path, f"goes in a circle: {chain}")
        if problem is None:
            _merge(below, _read(file, seen))
        else:
            document.report(problem)
            document.readable = False
    _merge(below, document)
    document.values, document.marks, document.problems, document.readable = (
        below.values,
        below.marks,
        below.problems,
        below.readable,
    )


def _merge(below: Document, above: Document) -> None:
    """Mappings are merged, all else replaced; so is a component that gets another name."""
    _merge_mapping(below, below.values, above.values, ())
    below.marks.update(above.marks)
    below.problems += above.problems
    below.readable &= above.readable


def _merge_mapping(below: Document, old: dict[str, Any], new: dict[str, Any], path: Path) -> None:
    for key, value in new.items():
        inside = (*path, key)
        if path == () and RIVALS.get(key, key) not in new:
            old.pop(RIVALS[key], None)
        before = old.get(key)
        if isinstance(value, dict) and isinstance(before, str):
            before = old[key] = _spelled_out(inside, before)
        if isinstance(before, dict) and isinstance(value, dict) and _same_name(before, value):
            _merge_mapping(below, before, value, inside)
        else:
            forget_marks(below, inside)
            old[key] = copy.deepcopy(value)


def _same_name(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return bool(one.get("name", other.get("name")) == other.get("name", one.get("name")))


def _apply(override: str, document: Document) -> None:
    key, equals, text = override.partition("=")
    mark = Mark(show(override).strip('"'))
    parts = _split_key(key)
    if not equals or parts is None:
        advice = "such as training.learning_rate=3e-5"
        document.report(Problem((), "an override is written dotted.key=value", advice), mark)
        return
    if parts[0] == EXTENDS:
        document.report(Problem(parts, "stands in files only", "override single keys"), mark)
        return
    target: Any = document.values
    for number, part in enumerate(parts):
        inside = parts[: number + 1]
        missing = _missing(target, part, parts[:number])
        if missing:
            document.report(Problem(inside, missing), mark)
            return
        if inside == parts:
            break
        found = target.get(part) if isinstance(target, dict) else target[part]
        if found is None:
            found = {}
            document.marks[inside, True] = document.marks[inside, False] = mark
        elif isinstance(found, str):
            found = _spelled_out(inside, found)
        target[part] = found
        target = found
    if len(parts) == 1 and parts[0] in RIVALS:
        document.values.pop(RIVALS[parts[0]], None)
    forget_marks(document, parts)
    target[parts[-1]] = parse_value(text, parts, document, mark)


def _missing(target: Any, part: str | int, path: Path) -> str:
    """Why there is no such part in the value at a path; empty if there is, or can be."""
    place = dotted(path) or "the config"
    if isinstance(target, dict):
        return "" if isinstance(part, str) else f"{place} is a mapping, and has keys"
    if isinstance(target, list):
        if not isinstance(part, int):
            return f"{place} is a list, and has numbers from 0 on, such as {place}[0]"
        count = len(target)
        return (
            ""
            if part < count
            else f"{place} has items 0 to {count - 1}"
            if count
            else f"{place} is empty"
        )
    return f"{place} is neither a mapping nor a list (got {show(target)})"


def forget_marks(document: Document, path: Path) -> None:
    """Drops the marks of what stood at a path and inside it."""
    for place in [mark for mark in document.marks if mark[0][: len(path)] == path]:
        del document.marks[place]


def _split_key(key: str) -> Path | None:
    """`a.b[0].c` and `a.b.0.c` to a path; None if it is neither."""
    parts: list[str | int] = []
    for part in key.replace("[", ".").replace("]", "").strip().split("."):
        if not part:
            return None
        parts.append(int(part) if part.isascii() and part.isdigit() and len(part) < 10 else part)
    return tuple(parts)


def _spelled_out(path: Path, text: str) -> Any:
    """The mapping that a name stands for, where the section or component at the path has one."""
    if path[:2] == ("evaluation", "metrics") and len(path) == 3:
        return {"name": text}
    if len(path) == 2 and str(path[0]) in LISTS and isinstance(path[1], int):
        path = (LISTS[str(path[0])],)
    return {SHORTHANDS[path]: text} if path in SHORTHANDS else text


def _exists(file: FilePath) -> bool:
    try:
        return file.exists()
    except (OSError, ValueError):  # a name that is too long, or holds a null byte
        return False


def in_order(document: Document) -> list[str]:
    """The problems of a document as lines, in the order of their places, each once."""

    def place(item: tuple[Mark, str]) -> tuple[str, int, int]:
        return item[0].source, item[0].line or 0, item[0].column or 0

    found = [(mark, problem.render(mark)) for mark, problem in _marked(document)]
    return list(dict.fromkeys(text for _, text in sorted(found, key=place)))


def _marked(document: Document) -> list[tuple[Mark, Problem]]:
    return [(document.mark(problem), problem) for problem in document.problems]
