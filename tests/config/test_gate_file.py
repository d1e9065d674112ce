"""A file of rules: its two forms, and where its mistakes stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from nlpbench.config.errors import ConfigError, UserError
from nlpbench.config.gate_file import read
from nlpbench.config.load import loads

CONFIG = loads(
    "model: m\ndata: d.csv\ntask: text-classification\nevaluation: {metrics: [accuracy, f1]}\n"
)
ACCURACY = {"accuracy": {"min": 0.9}}


@pytest.mark.parametrize(
    ("text", "baseline"),
    [
        ("accuracy: {min: 0.9}\n", None),
        ("gate: {accuracy: {min: 0.9}}\n", None),
        ("baseline: runs/a\ngate: {accuracy: {min: 0.9}}\n", "runs/a"),
        ("accuracy:\n  min: ${env:LEAST}\n", None),
    ],
)
def test_both_forms(tmp_path, monkeypatch, text, baseline):
    monkeypatch.setenv("LEAST", "0.9")
    (tmp_path / "gate.yaml").write_text(text)
    found = read(tmp_path / "gate.yaml", CONFIG)
    assert {key: rule.model_dump(exclude_defaults=True) for key, rule in found.gate.items()} == (
        ACCURACY
    )
    assert found.baseline == baseline


MISTAKES = [
    ("", "gate.yaml:1:1  the file holds no config  see nlpbench init"),
    ("gate:\n", "gate.yaml:1:1  gate  must be a mapping (got null)"),
    ("accuracy: 0.9\n", "gate.yaml:1:11  gate.accuracy  must be a mapping (got 0.9)"),
    ("accuracy: {mim: 1}\n", "gate.yaml:1:12  gate.accuracy.mim  unknown key  did you mean min?"),
    (
        "gate: {accuracy: {min: 1}}\nbaselin: a\n",
        "gate.yaml:2:1  baselin  unknown key  did you mean baseline?",
    ),
    (
        "baseline: a\naccuracy: {min: 1}\n",
        'gate.yaml:1:11  gate.baseline  must be a mapping (got "a")',
    ),
    (
        "acuracy: {min: 1}\nbrir: {max: 1}\n",
        "gate.yaml:1:1  gate.acuracy  is neither a score of evaluation.metrics nor a cost  did you "
        "mean accuracy?\ngate.yaml:2:1  gate.brir  is neither a score of evaluation.metrics nor "
        "a cost  allowed: accuracy, examples_per_second, f1, ",
    ),
    (
        "accuracy: {every_slice: {min: 1}}\n",
        "gate.yaml:1:12  gate.accuracy.every_slice  needs slices to be scored  write "
        "evaluation.slices",
    ),
    (
        "accuracy: {min: 1}\naccuracy: {min: 2}\n",
        "gate.yaml:2:1  gate.accuracy  the key stands twice (first at gate.yaml:1:1)  keep one",
    ),
    ("accuracy: {min: 1\n", "gate.yaml:1:11  not valid YAML: a bracket is never closed  close it"),
]


@pytest.mark.parametrize(("text", "message"), MISTAKES, ids=[text for text, _ in MISTAKES])
def test_mistakes_with_their_places(tmp_path, monkeypatch, text, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gate.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read(Path("gate.yaml"), CONFIG)
    assert message in str(caught.value)


def test_without_a_config_any_score_may_be_named(tmp_path):
    (tmp_path / "gate.yaml").write_text("whatever: {min: 1, every_slice: {min: 0.5}}\n")
    assert list(read(tmp_path / "gate.yaml").gate) == ["whatever"]


def test_no_file(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        read(tmp_path / "gate.yaml")
    with pytest.raises(UserError, match="is a directory; --gate takes a file of rules"):
        read(tmp_path)
