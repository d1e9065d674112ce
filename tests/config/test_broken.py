"""Broken configs, each with the exact errors; the cases are the tables in broken/*.yaml.

A case has a `title`, a `config` and the `errors`, and may have other `files` beside the config, the
`env` and the `overrides`. What the config leaves out of model, data and task is added below it,
so that a case shows only what it is about; `whole: true` says that nothing is added. The names
that nlpbench has are written `{metrics}`, `{tasks}`, `{keys}`, `{keys of training}` and
`{metrics of labels}`, so that a new metric or key is no reason to come here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from nlpbench.config import registry
from nlpbench.config.errors import ConfigError, UserError
from nlpbench.config.load import load, loads
from nlpbench.config.run_config import RunConfig
from nlpbench.config.sections import EvaluationSection
from nlpbench.config.training import TrainingSection

REST = {"model": "model: some-model", "data": "data: some.csv", "task": "task: text-classification"}
TABLES = sorted((Path(__file__).parent / "broken").glob("*.yaml"))
CASES = [
    pytest.param(case, id=f"{table.stem}: {case['title']}")
    for table in TABLES
    for case in YAML(typ="safe").load(table.read_text(encoding="utf-8"))
]
# What only a Python programmer or a reader of pydantic's manual understands.
JARGON = re.compile(
    r"Error\b|Traceback|pydantic|NoneType|\bdict\b|\bstr\b|\bint\b|\bfloat\b|\bbool\b|\bNone\b|"
    r"\bTrue\b|\bFalse\b|[Ii]nput should|instance of|after validation|<[a-z ]+>|tag:yaml"
)


def names() -> dict[str, list[str]]:
    metrics = registry.names("metric")
    found = {
        "metrics": metrics,
        "tasks": registry.names("task"),
        "keys": RunConfig.model_fields,
        "keys of training": TrainingSection.model_fields,
        "keys of evaluation": EvaluationSection.model_fields,
    }
    for answer in ("labels", "label-sets", "values"):
        fit = [name for name in metrics if answer in registry.load("metric", name).answers]
        found[f"metrics of {answer}"] = fit
    return {key: sorted(value) for key, value in found.items()}


def filled_in(errors: str) -> str:
    for key, value in names().items():
        errors = errors.replace(f"{{{key}}}", ", ".join(value))
    return errors.rstrip("\n")


def completed(case: dict[str, Any]) -> str:
    text = case["config"]
    if case.get("whole"):
        return text
    missing = [line for key, line in REST.items() if not re.search(rf"^{key}:", text, re.M)]
    return "\n".join([text.rstrip("\n"), *missing, ""])


@pytest.mark.parametrize("case", CASES)
def test_broken_config(case: dict[str, Any], tmp_path, monkeypatch):
    assert set(case) <= {"title", "config", "whole", "files", "env", "overrides", "errors"}
    monkeypatch.chdir(tmp_path)
    for name, value in case.get("env", {}).items():
        monkeypatch.setenv(name, value)
    for name, text in {**case.get("files", {}), "run.yaml": completed(case)}.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load("run.yaml", case.get("overrides", []))
    assert str(caught.value) == filled_in(case["errors"])


@pytest.mark.parametrize("case", CASES)
def test_an_error_speaks_to_the_user(case: dict[str, Any]):
    for line in case["errors"].splitlines():
        place, *rest = line.split("  ")
        assert rest, line
        assert re.fullmatch(r"[\w./]+:\d+:\d+", place) or place in case.get("overrides", []), line
        assert not JARGON.search("  ".join(rest)), line


def test_there_are_enough_cases():
    assert len(CASES) >= 100
    assert len({param.id for param in CASES}) == len(CASES)


BYTES = [
    (b"", "run.yaml:1:1  the file holds no config  see nlpbench init"),
    (b"\n# only a comment\n", "run.yaml:1:1  the file holds no config  see nlpbench init"),
    (b"\xef\xbb\xbf", "run.yaml:1:1  the file holds no config  see nlpbench init"),
    (b"seed: 1\nmodel: caf\xe9\n", "run.yaml:2:11  byte 0xe9 is not UTF-8  save the file as UTF-8"),
    (
        "seed: 1\n".encode("utf-16"),
        "run.yaml:1:1  byte 0xff is not UTF-8  save the file as UTF-8",
    ),
    (
        b"PK\x03\x04\x14\x00",
        "run.yaml:1:3  not valid YAML: the character U+0003 may not stand here  take it away",
    ),
    (
        b"seed: 1\nmodel: a\x00b\n",
        "run.yaml:2:9  not valid YAML: the character U+0000 may not stand here  take it away",
    ),
    (
        b"\tseed: 1\n",
        "run.yaml:1:1  not valid YAML: a tab where spaces are due  indent with spaces",
    ),
    (
        b'seed: "\\ud800"\n',
        'run.yaml:1:7  seed  holds half a character (got "\\ud800")',
    ),
    (b"seed: " + b"9" * 5000, "run.yaml:1:7  seed  has more than 300 digits"),
    (b"[" * 1000, "run.yaml:1:1  not valid YAML: nested too deeply"),
    (b"seed: " + b"{a: " * 3000, "run.yaml:1:1  not valid YAML: nested too deeply"),
]


@pytest.mark.parametrize(("content", "message"), BYTES, ids=lambda value: repr(value)[:30])
def test_broken_bytes(content: bytes, message: str, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = content + b"\nmodel: m\ndata: d.csv\ntask: text-classification\n"
    Path("run.yaml").write_bytes(
        whole if b"digits" in message.encode() or b"ud800" in content else content
    )
    with pytest.raises(ConfigError) as caught:
        load("run.yaml")
    assert str(caught.value) == message


def test_exploding_aliases_end_soon():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for level in range(1, 12):
        inner = ", ".join([f"*a{level - 1}"] * 10)
        lines.append(f"a{level}: &a{level} [{inner}]")
    with pytest.raises(ConfigError) as caught:
        loads("\n".join(lines), "run.yaml")
    message = "run.yaml:1:1  the aliases expand to more than 100,000 values  write fewer of them"
    assert str(caught.value) == message


def test_unreadable_file(tmp_path, monkeypatch):
    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "run.yaml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(UserError, match=r"^cannot read run\.yaml: Permission denied$"):
        load("run.yaml")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere.yaml", "there is no config nowhere.yaml (in {cwd})"),
        ("x" * 5000, "there is no config " + "x" * 5000 + " (in {cwd})"),
        ("a\0b", "there is no config a\0b (in {cwd})"),
        (".", ". is a directory without a config.yaml, so no run directory"),
    ],
    ids=["missing", "too long a name", "null byte", "no run directory"],
)
def test_no_file(path: str, message: str, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        load(path)
    assert str(caught.value) == message.format(cwd=tmp_path)


def test_an_error_of_a_base_stands_at_its_place_in_the_base(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text("seed: 1\nseed: 2\ntraining: {learning_rate: fast}\nmodel: m\n")
    Path("run.yaml").write_text(
        "extends: base.yaml\nseed: 3\ndata: d.csv\ntask: text-classification\n"
    )
    with pytest.raises(ConfigError) as caught:
        load("run.yaml", ["evaluation.split=dev"])
    assert caught.value.problems == [
        "base.yaml:2:1  seed  the key stands twice (first at base.yaml:1:1)  keep one of them",
        'base.yaml:3:27  training.learning_rate  must be a number (got "fast")',
        'evaluation.split=dev  evaluation.split  unknown value (got "dev")  '
        "allowed: test, train, validation",
    ]
