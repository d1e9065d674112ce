"""Every shipped config loads, and those that need nothing from outside can start."""

from __future__ import annotations

from pathlib import Path

import pytest

from nlpbench.config import registry
from nlpbench.config.load import load
from nlpbench.config.run_config import RunConfig

CONFIGS = Path(__file__).parent.parent / "configs"
FILES = sorted(CONFIGS.rglob("*.yaml"))
TASKS = {task.replace("-", "_"): task for task in registry.names("task")}  # by their folders


def test_there_are_configs():
    assert CONFIGS / "quickstart.yaml" in FILES


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(CONFIGS)))
def test_a_shipped_config_loads_and_explains_itself(file, monkeypatch):
    monkeypatch.setenv("NLPBENCH_DATA", "/somewhere")
    config = load(file)
    assert file.read_text(encoding="utf-8").startswith("# "), "begins with what it is for"
    resolved = config.resolved()
    assert RunConfig.model_validate(resolved).resolved() == resolved


@pytest.mark.parametrize(
    "file",
    [file for file in FILES if file.parent.name in TASKS],
    ids=lambda file: str(file.relative_to(CONFIGS)),
)
def test_a_config_is_of_the_task_that_its_folder_names(file, monkeypatch):
    monkeypatch.setenv("NLPBENCH_DATA", "/somewhere")
    assert load(file).task.name == TASKS[file.parent.name]
