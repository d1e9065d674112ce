"""Several models and data sets in one config: a short way to write one run for each pair of them."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import Any

from nlpbench.config.document import Document, parse_value
from nlpbench.config.errors import ConfigError
from nlpbench.config.load import LISTS, examine, forget_marks, in_order, read
from nlpbench.config.problems import Mark, Path, Problem, show
from nlpbench.config.run_config import RunConfig
from nlpbench.config.sections import ModelSection, data_label

MODELS, DATA = "models", "data"
# Keys of a model that say how to fine-tune it; a fine-tuned one is loaded as it was saved.
OF_FINETUNING = ("config", "tokenizer", "dropout")
UNSAFE = re.compile(r"[^\w.+-]+")


@dataclass(frozen=True)
class MatrixCell:
    """One model on one data set.

    Attributes:
        config: of the run that the cell is.
        place: its directory in that of the whole evaluation, such as bert/sst2; a dimension of
            one is left out, so it is empty for a single cell.
        model, data: what a table calls them; no two of a matrix are called alike.
    """

    config: RunConfig
    place: str
    model: str
    data: str


def load(
    path: str | FilePath,
    overrides: Sequence[str] = (),
    models: Sequence[str] = (),
    data: Sequence[str] = (),
) -> list[MatrixCell]:
    """The cells of a config, data set by data set: those of `models` and `data`, or a single one.

    Args:
        path: a YAML file or a run directory.
        overrides: `dotted.key=value` each.
        models: names in place of those in the file.
        data: in place of the data in the file; a source each, or a mapping such as
            `{source: glue, subset: mrpc}`.

    Raises:
        ConfigError: with every problem of all cells, each once and where it stands in the list.
        UserError: a file that cannot be read.
    """
    document = read(path, overrides)
    if models:
        named = [({"name_or_path": name}, Mark(f"--model {name}")) for name in models]
        _replace(document, MODELS, named)
    if data:
        _replace(document, DATA, [(text, Mark(f"--data {show(text)}")) for text in data])
    return expand(document)


def expand(document: Document) -> list[MatrixCell]:
    """The cells of a document.

    Raises:
        ConfigError: as `load`.
    """
    if document.readable:
        counts = {key: _count(document, key) for key in LISTS}
        _check_models(document, counts[MODELS])
    if not document.readable or 0 in counts.values():
        raise ConfigError(in_order(document))
    told = list(document.problems)
    configs = [_examine(document, told, where) for where in _pairs(counts)]
    if not document.problems:
        _check_names(document, [config for config in configs if config], counts)
    if document.problems:
        raise ConfigError(in_order(document))
    return cells([config for config in configs if config])


def cells(configs: Sequence[RunConfig]) -> list[MatrixCell]:
    """Configs that differ in model and data, each with its place and its name."""
    models = list(dict.fromkeys(_model_name(config) for config in configs))
    data = list(dict.fromkeys(_data_name(config) for config in configs))
    of_models = dict(zip(models, _directories(models), strict=True))
    of_data = dict(zip(data, _directories(data), strict=True))
    found = []
    for config in configs:
        parts = [of_models[_model_name(config)]] if len(models) > 1 else []
        parts += [of_data[_data_name(config)]] if len(data) > 1 else []
        found.append(MatrixCell(config, "/".join(parts), _model_name(config), _data_name(config)))
    return found


def to_score(cell: MatrixCell) -> MatrixCell:
    """The cell with no more of the model than an evaluation takes: where it is."""
    model = cell.config.model
    if model.name_or_path is None:
        return cell
    section = ModelSection(name_or_path=model.address, revision=model.revision)
    return replace(cell, config=cell.config.model_copy(update={"model": section}))


def resolved(cells: Sequence[MatrixCell]) -> dict[str, Any]:
    """All keys of a matrix with their values; loading them gives the cells again."""
    each = [cell.config.resolved() for cell in cells]
    values: dict[str, Any] = {}
    for key, value in each[0].items():
        of_cells = [one[key] for one in each] if key in LISTS.values() else [value]
        items = [item for number, item in enumerate(of_cells) if item not in of_cells[:number]]
        if len(items) > 1:
            values[MODELS if key == "model" else key] = items
        else:
            values[key] = value
    return values


Where = dict[str, int | None]  # the number of the item in each list; None where there is no list


def _pairs(counts: dict[str, int | None]) -> Iterator[Where]:
    for data in [None] if counts[DATA] is None else range(counts[DATA] or 0):
        for model in [None] if counts[MODELS] is None else range(counts[MODELS] or 0):
            yield {MODELS: model, DATA: data}


def _count(document: Document, key: str) -> int | None:
    """How many items a list has, 0 with a problem told; None where it is none."""
    value = document.values.get(key)
    if key == DATA and not isinstance(value, list):
        return None
    if key not in document.values:
        return None
    if not isinstance(value, list):
        advice = f"write {LISTS[key]} for a single one"
        document.report(Problem((key,), f"must be a list (got {show(value)})", advice))
        return 0
    if not value:
        document.report(Problem((key,), "must hold at least 1 item (got [])"))
    return len(value)


def _check_models(document: Document, count: int | None) -> None:
    if count is None:
        return
    if "model" in document.values:
        problem = Problem((MODELS,), "excludes model", "keep one of them", at_key=True)
        document.report(problem)
        del document.values["model"]
    for number in range(count):
        item = document.values[MODELS][number]
        for key in OF_FINETUNING:
            if isinstance(item, dict) and key in item:
                message = "is for fine-tuning; a model is scored as it was saved"
                problem = Problem((MODELS, number, key), message, "take it away", at_key=True)
                document.report(problem)


def _replace(document: Document, key: str, items: Sequence[tuple[Any, Mark]]) -> None:
    """Puts what the command line names in place of what the file does."""
    for name in {key, LISTS[key]}:
        document.values.pop(name, None)
        forget_marks(document, (name,))
    values = []
    for number, (value, mark) in enumerate(items):
        path: Path = (key, number) if len(items) > 1 else (LISTS[key],)
        document.marks[path, True] = document.marks[path, False] = mark
        if isinstance(value, str) and value.lstrip().startswith("{"):
            value = parse_value(value, path, document, mark)
        values.append(value)
    if len(items) > 1:
        document.values[key] = values
    else:
        document.values[LISTS[key]] = values[0]


def _examine(document: Document, told: Sequence[Problem], where: Where) -> RunConfig | None:
    """The config of one cell; its problems are told in the document, where they stand there."""
    cell = Document(document.origin, copy.copy(document.values))
    for key, number in where.items():
        if number is not None:
            cell.values[LISTS[key]] = cell.values.pop(key)[number]
    for (path, at_key), mark in document.marks.items():
        inside = _inward(path, where)
        if inside is not None:
            cell.marks[inside, at_key] = mark
    for problem in told:
        inside = _inward(problem.path, where)
        if inside is not None:
            cell.report(replace(problem, path=inside))
    known = len(cell.problems)
    config = examine(RunConfig, cell)
    for problem in cell.problems[known:]:
        outside = replace(problem, path=_outward(problem.path, where))
        if outside not in document.problems:
            document.report(outside)
    return config


def _inward(path: Path, where: Where) -> Path | None:
    """The path in the cell's own config; None for what belongs to other cells."""
    number = where.get(str(path[0])) if path else None
    if number is None:
        return path
    return (LISTS[str(path[0])], *path[2:]) if path[1:2] == (number,) else None


def _outward(path: Path, where: Where) -> Path:
    for key, number in where.items():
        if number is not None and path[:1] == (LISTS[key],):
            return (key, number, *path[1:])
    return path


def _check_names(
    document: Document, configs: Sequence[RunConfig], counts: dict[str, int | None]
) -> None:
    """Tells of items that no table could tell apart."""
    models = counts[MODELS] or 1
    named = {
        MODELS: [_model_name(config) for config in configs[:models]],
        DATA: [_data_name(config) for config in configs[::models]],
    }
    for key, names in named.items():
        for number, name in enumerate(names):
            first = names.index(name)
            if first < number:
                message = f"is called {show(name)}, as {key}[{first}] is"
                advice = "give it a name of its own" if key == DATA else "take it away"
                document.report(Problem((key, number), message, advice))


def _model_name(config: RunConfig) -> str:
    revision = config.model.revision
    return config.model.label + (f"@{revision}" if revision else "")


def _data_name(config: RunConfig) -> str:
    return data_label(config.data.model_dump(), config.evaluation.split) or "data"


def _directories(names: Sequence[str]) -> list[str]:
    """A directory for each name, called as its last part; no two are one on any system."""
    found: list[str] = []
    for name in names:
        last = name.rstrip("/").rpartition("/")[2].rpartition(":")[2]
        base = UNSAFE.sub("-", last).strip("-.") or "unnamed"
        place, number = base, 1
        while place.casefold() in map(str.casefold, found):
            number += 1
            place = f"{base}-{number}"
        found.append(place)
    return found
