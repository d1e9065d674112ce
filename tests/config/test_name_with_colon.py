"""A component that is written NAME:REST, where REST is one of its options."""

from __future__ import annotations

from pathlib import Path

import pytest

from nlpbench.config.load import load, loads

BASE = "model: m\ndata: d.csv\ntask: text-classification\nevaluation:\n  metrics:\n    - "


@pytest.mark.parametrize(
    "text",
    [
        "evaluate:scripts/overlap.py",
        '"evaluate:scripts/overlap.py"',
        "{name: evaluate:scripts/overlap.py}",
        "{name: evaluate, module: scripts/overlap.py}",
    ],
)
def test_it_is_the_option(text: str) -> None:
    [metric] = loads(BASE + text).metrics
    assert metric.name == "evaluate"
    assert metric.module == "scripts/overlap.py"  # type: ignore[attr-defined]


def test_the_rest_may_hold_colons() -> None:
    [metric] = loads(BASE + '"evaluate:C:/overlap.py"').metrics
    assert metric.module == "C:/overlap.py"  # type: ignore[attr-defined]


def test_the_resolved_config_reads_itself() -> None:
    config = loads(BASE + "{name: evaluate:overlap.py, arguments: {k: 2}}")
    [values] = config.resolved()["evaluation"]["metrics"]
    assert values["name"] == "evaluate"
    assert values["module"] == "overlap.py"
    assert type(config).model_validate(config.resolved()) == config


def test_an_override_adds_to_it(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(BASE + "evaluate:meteor")
    override = "evaluation.metrics[0].trust_remote_code=true"
    [metric] = load(str(file), [override]).metrics
    assert metric.trust_remote_code  # type: ignore[attr-defined]
    assert metric.module == "meteor"  # type: ignore[attr-defined]
