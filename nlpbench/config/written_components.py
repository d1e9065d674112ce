"""Components that arguments name: `accuracy,f1`, `evaluate:meteor` or `{name: bleu, tokenize: zh}`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field, ValidationError

from nlpbench.config.component import Component, ComponentField, Section
from nlpbench.config.document import Document, parse_value
from nlpbench.config.errors import ConfigError
from nlpbench.config.problems import Mark, flatten


class _Metrics(Section):
    metrics: list[Annotated[Component, ComponentField("metric")]] = Field(min_length=1)


class _Task(Section):
    task: Annotated[Component, ComponentField("task")]


def metrics(values: Sequence[Any], origin: str) -> list[Component]:
    """The metrics that names or mappings stand for.

    Args:
        origin: what messages call the place they were written.

    Raises:
        ConfigError: every problem of them.
    """
    return _validated(_Metrics, "metrics", list(values), origin).metrics  # type: ignore[no-any-return]


def task(value: Any, origin: str) -> Component:
    """The task that a name or a mapping stands for; raises ConfigError, as `metrics`."""
    return _validated(_Task, "task", value, origin).task  # type: ignore[no-any-return]


def written(text: str, origin: str) -> Any:
    """The value of an argument in YAML's flow style.

    Raises:
        ConfigError: it is not valid YAML.
    """
    mark, document = Mark(origin), Document(origin)
    value = parse_value(text, (), document, mark)
    if document.problems:
        raise ConfigError([problem.render(mark) for problem in document.problems])
    return value


def written_list(texts: Sequence[str], origin: str) -> list[Any]:
    """All that several arguments list: a YAML list each, or words with commas between them."""
    found: list[Any] = []
    for text in texts:
        value = written(text, origin)
        if isinstance(value, list):
            found += value
        elif isinstance(value, dict):
            found.append(value)
        else:
            found += [part.strip() for part in text.split(",") if part.strip()]
    return found


def _validated(kind: type[Section], key: str, value: Any, origin: str) -> Any:
    try:
        return kind.model_validate({key: value})
    except ValidationError as error:
        mark = Mark(origin)
        problems = flatten(error, kind.model_fields)
        raise ConfigError([problem.render(mark) for problem in problems]) from None
