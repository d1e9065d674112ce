"""Every shipped config loads, and those that need nothing from outside can start."""

from __future__ import annotations

from pathlib import Path

import pytest

from nlpbench.config.load import load

CONFIGS = Path(__file__).parent.parent / "configs"
FILES = sorted(CONFIGS.rglob("*.yaml"))


def test_there_are_configs():
    assert CONFIGS / "quickstart.yaml" in FILES


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(CONFIGS)))
def test_a_shipped_config_loads_and_explains_itself(file, monkeypatch):
    monkeypatch.setenv("NLPBENCH_DATA", "/somewhere")
    load(file)
    assert file.read_text(encoding="utf-8").startswith("# "), "begins with what it is for"
