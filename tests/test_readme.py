"""What the README shows works: its configs load, its commands are CI's, its errors are real."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nlpbench.config.errors import ConfigError
from nlpbench.config.load import load, loads

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BROKEN = """\
model: {name_or_path: bert-base-uncased}
data:
  train_file: train.csv
task: {name: text-clasification}
training:
  learning_rate: "5e-5"
  warmup_ratio: 0.1
  per_device_train_batch_size: 12
evaluation: {metrics: [accuracy, {name: f1, averge: macro}]}
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("text", blocks("yaml"))
def test_its_configs_load(text):
    loads(text)


def test_its_test_command_is_what_ci_runs():
    [command] = [block for block in blocks("bash") if "pytest" in block]
    install, _, test = command.strip().partition(" && ")
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert f"{install.replace('install', 'install -q')}\n{test}\n" in ci


def test_its_example_of_errors_is_real(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(BROKEN, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load("mine.yaml")
    shown = "\n".join(f"error: {line}" for line in caught.value.problems)
    assert f"```text\n$ nlpbench check mine.yaml\n{shown}\n```" in README


def test_every_path_it_names_exists():
    for path in re.findall(r"\]\(((?:configs|tests|scripts)/[^)]*)\)", README):
        assert (ROOT / path).exists(), path
