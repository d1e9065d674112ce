"""Whatever a config holds, it loads or is told in words; never another exception."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nlpbench.config.errors import UserError
from nlpbench.config.load import load, loads
from nlpbench.config.run_config import RunConfig
from nlpbench.config.yaml12 import dump

VALID = """\
# A config that uses much of what there is.
extends: base.yaml
seeds: [1, 2]
model:
  config: {model_type: bert, hidden_size: 32, id2label: {0: "no", 1: "yes"}}
  tokenizer: {train: {vocab_size: 300}}
data:
  source: "${env:NLPBENCH_TEST_UNSET:-sample}:support-tickets"
  max_samples: {train: 100}
  validation_share: 0.2
task: &task
  name: text-classification
  labels: ["no", "yes"]
training:
  learning_rate: 5e-5
  effective_batch_size: 32
  per_device_train_batch_size: 8
  eval_strategy: steps
  eval_steps: 10
  early_stopping_patience: 2
  metric_for_best_model: f1
  arguments: {optim: adafactor, adam_beta1: 0.8}
evaluation:
  split: test
  metrics:
    - {name: f1, average: binary, positive_label: "yes"}
    - accuracy
"""
BASE = "output_dir: runs/x\ntraining: {max_grad_norm: 2}\n"
quickly = settings(
    deadline=None,
    max_examples=200,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(autouse=True)
def base(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text(BASE)


def loads_or_tells(text: str, *overrides: str) -> None:
    try:
        if overrides:
            Path("run.yaml").write_text(text, encoding="utf-8")
            config = load("run.yaml", overrides)
        else:
            config = loads(text, "run.yaml")
    except UserError as error:
        assert str(error).strip()
        for line in str(error).splitlines():
            assert line.startswith(("run.yaml", "base.yaml", *overrides)), line
    else:
        assert isinstance(config, RunConfig)
        loads(dump(config.resolved()))


def valid_values() -> dict[str, Any]:
    from nlpbench.config.document import parse

    document = parse(VALID, "run.yaml")
    assert not document.problems
    return document.values


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every mapping or list with each of its keys or numbers."""
    keys = (
        list(value)
        if isinstance(value, dict)
        else range(len(value))
        if isinstance(value, list)
        else []
    )
    for key in keys:
        yield value, key
        yield from places(value[key])


def test_the_config_that_is_mutated_is_valid():
    assert loads(VALID).training.max_grad_norm == 2


WORDS = st.sampled_from(
    "name model data task training evaluation metrics seed seeds extends arguments optim config "
    "tokenizer f1 mse text-classification regression base.yaml no 5e-5 ${env:HOME} ${env: <<".split()
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -1, 0, 2**64])
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
    | WORDS
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(WORDS | st.text("ab", max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@quickly
@given(st.data())
def test_mutated_values(data: st.DataObject):
    values = copy.deepcopy(valid_values())
    for _ in range(data.draw(st.integers(1, 3))):
        container, key = data.draw(st.sampled_from(list(places(values)) or [(values, "seed")]))
        action = data.draw(st.sampled_from(["delete", "rename", "replace", "insert"]))
        if action == "replace":
            container[key] = data.draw(JSON)
        elif isinstance(container, list):
            container.insert(key, data.draw(JSON))
        elif action == "delete":
            container.pop(key, None)
        elif action == "rename":
            container[data.draw(WORDS | st.text("ab_", max_size=4))] = container.pop(key, None)
        else:
            container[data.draw(WORDS)] = data.draw(JSON)
    loads_or_tells(dump(values))


@quickly
@given(st.data())
def test_mutated_lines(data: st.DataObject):
    lines = VALID.splitlines()
    for _ in range(data.draw(st.integers(1, 4))):
        source, target = (data.draw(st.integers(0, len(lines) - 1)) for _ in range(2))
        action = data.draw(st.sampled_from(["copy", "move", "indent", "cut"]))
        if action == "copy":
            lines.insert(target, lines[source])
        elif action == "move":
            lines.insert(target, lines.pop(source))
        elif action == "indent":
            lines[source] = "  " + lines[source]
        else:
            lines[source] = lines[source][: data.draw(st.integers(0, len(lines[source])))]
    loads_or_tells("\n".join(lines))


SNIPPETS = [
    *"{}[]:,&*!|>%@`'\"#\n\t-?",
    ": ",
    "- ",
    "\n  ",
    "*task",
    "&task",
    "<<: *task",
    "!!int ",
]
SNIPPETS += [
    "---\n",
    "...\n",
    "${env:",
    "${env:HOME}",
    "\0",
    "\x85",
    "\ufeff",
    "\\ud800",
    "0x_",
    ".inf",
]
PIECES = st.text(max_size=3) | st.sampled_from(SNIPPETS)


@quickly
@given(
    st.lists(
        st.tuples(st.integers(0, len(VALID)), st.integers(0, 5), PIECES), min_size=1, max_size=4
    )
)
def test_mutated_characters(mutations: list[tuple[int, int, str]]):
    text = VALID
    for start, length, piece in mutations:
        text = text[:start] + piece + text[start + length :]
    loads_or_tells(text.encode("utf-8", "replace").decode())


@quickly
@given(st.text(max_size=40) | st.lists(PIECES | WORDS, max_size=12).map("".join))
def test_any_text(text: str):
    loads_or_tells(text)


KEYS = st.lists(WORDS | st.integers(0, 3).map(str) | st.text("ab.[]0=", max_size=3), max_size=4)


@quickly
@given(
    KEYS.map(".".join),
    st.sampled_from(["=", "", "=="]),
    JSON.map(repr) | st.lists(PIECES | WORDS, max_size=4).map("".join),
)
def test_any_override(key: str, equals: str, value: str):
    override = f"{key}{equals}{value}"
    Path("run.yaml").write_text(VALID, encoding="utf-8")
    try:
        load("run.yaml", [override])
    except UserError as error:
        assert str(error).strip()
