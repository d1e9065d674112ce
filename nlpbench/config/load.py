"""Loads a config: reads the file, what it extends and the overrides, then checks everything."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from nlpbench.config.document import Document, parse, parse_value, read_text
from nlpbench.config.errors import ConfigError, UserError
from nlpbench.config.problems import Mark, Path, Problem, flatten
from nlpbench.config.run_config import RunConfig

RESOLVED = "config.yaml"


def load(path: str | FilePath, overrides: Sequence[str] = ()) -> RunConfig:
    """The checked config of a YAML file or of a run directory.

    Args:
        path: a YAML file, or a run directory, whose `config.yaml` is taken.
        overrides: `dotted.key=value` each, the value as it would stand in the file.

    Raises:
        ConfigError: with every problem, each as `file:line:column  key  what  advice`.
        UserError: a file that cannot be read.
    """
    file = config_file(path)
    document = _read(file, ())
    for override in overrides:
        _apply(override, document)
    return validate(document)


def loads(text: str, origin: str = "<config>") -> RunConfig:
    """The checked config of a YAML text; `extends` is relative to the current directory."""
    document = parse(text, origin)
    _extend(document, FilePath.cwd(), ())
    return validate(document)


def config_file(path: str | FilePath) -> FilePath:
    """The YAML file that a CONFIG argument means."""
    file = FilePath(path)
    if file.is_dir():
        if not (file / RESOLVED).is_file():
            raise UserError(f"{file} is a directory without a {RESOLVED}, so no run directory")
        return file / RESOLVED
    if not file.exists():
        raise UserError(f"there is no config {file} (in {FilePath.cwd()})")
    return file


def validate(document: Document) -> RunConfig:
    if document.problems and not document.values:
        raise ConfigError(document.rendered_problems())
    try:
        config = RunConfig.model_validate(document.values)
    except ValidationError as error:
        told = {problem.path for problem in document.problems}
        document.problems += [problem for problem in flatten(error) if problem.path not in told]
    if document.problems:
        raise ConfigError(_in_file_order(document))
    return config


def _read(file: FilePath, seen: tuple[FilePath, ...]) -> Document:
    try:
        text = read_text(file)
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from error
    document = parse(text, str(file))
    _extend(document, file.parent, (*seen, file.resolve()))
    return document


def _extend(document: Document, folder: FilePath, seen: tuple[FilePath, ...]) -> None:
    """Puts what the document extends under it; a later base wins over an earlier one."""
    bases = document.values.pop("extends", [])
    if isinstance(bases, str):
        bases = [bases]
    if not isinstance(bases, list) or not all(isinstance(base, str) for base in bases):
        document.problems.append(Problem(("extends",), "must be a file or a list of files"))
        return
    below = Document(document.origin)
    for base in bases:
        file = folder / base
        if file.resolve() in seen:
            chain = " -> ".join(str(item.name) for item in (*seen, file))
            document.problems.append(Problem(("extends",), f"goes in a circle: {chain}"))
        elif not file.is_file():
            document.problems.append(Problem(("extends",), f"there is no file {file}"))
        else:
            _merge(below, _read(file, seen))
    if bases:
        _merge(below, document)
        document.values, document.marks, document.problems = (
            below.values,
            below.marks,
            below.problems,
        )


def _merge(below: Document, above: Document) -> None:
    """Mappings are merged, all else replaced; so is a component that gets another name."""
    _merge_mapping(below, below.values, above.values, ())
    below.marks.update(above.marks)
    below.problems += above.problems


def _merge_mapping(below: Document, old: dict[str, Any], new: dict[str, Any], path: Path) -> None:
    for key, value in new.items():
        before = old.get(key)
        both = isinstance(before, dict) and isinstance(value, dict)
        if both and before.get("name", value.get("name")) == value.get("name", before.get("name")):
            _merge_mapping(below, before, value, (*path, key))
        else:
            inside = (*path, key)
            for place in [mark for mark in below.marks if mark[0][: len(inside)] == inside]:
                del below.marks[place]
            old[key] = copy.deepcopy(value)


def _apply(override: str, document: Document) -> None:
    key, equals, text = override.partition("=")
    mark = Mark(override)
    parts = _split_key(key)
    if not equals or parts is None:
        path: Path = ("",)
        document.marks[path, True] = mark
        document.problems.append(
            Problem(path, "an override is written dotted.key=value", at_key=True)
        )
        return
    target: Any = document.values
    for number, part in enumerate(parts[:-1]):
        if isinstance(target, list) and isinstance(part, int) and part < len(target):
            target = target[part]
        elif isinstance(target, dict) and isinstance(part, str):
            if isinstance(target.get(part), str) and part in ("model", "data", "task"):
                target[part] = _spelled_out(part, target[part])
            if target.get(part) is None:
                target[part] = {}
            target = target[part]
        else:
            path = parts[: number + 1]
            document.marks[path, True] = mark
            document.problems.append(Problem(path, "no such place in the config", at_key=True))
            return
    for place in [mark for mark in document.marks if mark[0][: len(parts)] == parts]:
        del document.marks[place]
    last, value = parts[-1], parse_value(text, parts, document, mark)
    if (isinstance(target, dict) and isinstance(last, str)) or (
        isinstance(target, list) and isinstance(last, int) and last < len(target)
    ):
        target[last] = value
    else:
        document.marks[parts, True] = mark
        document.problems.append(Problem(parts, "no such place in the config", at_key=True))


def _split_key(key: str) -> Path | None:
    """`a.b[0].c` and `a.b.0.c` to a path; None if it is neither."""
    parts: list[str | int] = []
    for part in key.replace("[", ".").replace("]", "").strip().split("."):
        if not part:
            return None
        parts.append(int(part) if part.isascii() and part.isdigit() else part)
    return tuple(parts)


def _spelled_out(section: str, text: str) -> dict[str, str]:
    return {{"model": "name_or_path", "data": "source", "task": "name"}[section]: text}


def _in_file_order(document: Document) -> list[str]:
    def place(text: str) -> tuple[str, int, int]:
        source, _, _ = text.partition("  ")
        name, *numbers = source.rsplit(":", 2)
        if len(numbers) == 2 and all(number.isdigit() for number in numbers):
            return name, int(numbers[0]), int(numbers[1])
        return source, 0, 0

    return sorted(dict.fromkeys(document.rendered_problems()), key=place)
