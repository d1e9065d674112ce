"""A metric of another package: one file and an entry point, usable from YAML at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
METRIC = '''\
"""The share of wrong answers."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from nlpbench.evaluation.metrics import Answer, Metric


class ErrorRate(Metric):
    """The share of examples with a wrong answer.

    ```yaml
    metrics:
      - error-rate
      - {name: error-rate, percent: true}
    ```
    """

    answers: ClassVar[tuple[Answer, ...]] = ("labels",)
    higher_is_better: ClassVar[bool] = False

    percent: bool = Field(False, description="from 0 to 100 instead of 0 to 1")

    def compute(self, predictions, references, labels=()):
        if not len(references):
            return {self.key: float("nan")}
        share = float((predictions != references).mean())
        return {self.key: 100 * share if self.percent else share}

    def signature(self, labels=(), answer=None):
        return f"percent:{self.percent}".lower()
'''
CONFIG = """\
model: m
data: d.csv
task: text-classification
evaluation:
  metrics:
    - {name: error-rate, percent: true}
"""


def package(folder: Path, entry_points: str, module: str = METRIC) -> Path:
    """A directory to put on PYTHONPATH, as pip would leave it."""
    info = folder / "error_rate_plugin-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: error-rate-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[nlpbench.plugins]\n{entry_points}\n")
    (folder / "error_rate_plugin.py").write_text(module)
    (folder / "run.yaml").write_text(CONFIG)
    return folder


def python(
    folder: Path, *arguments: str, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd or folder,
        env={**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def program(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return python(folder, "-m", "nlpbench.commands.main", *arguments)


@pytest.fixture(scope="module")
def plugin(tmp_path_factory) -> Path:
    return package(
        tmp_path_factory.mktemp("plugin"), "metric.error-rate = error_rate_plugin:ErrorRate"
    )


def test_a_config_may_name_it(plugin):
    done = program(plugin, "check", "run.yaml")
    assert (done.returncode, done.stdout) == (0, "run.yaml: ok\n"), done.stderr


def test_its_options_are_checked(plugin):
    done = program(plugin, "check", "run.yaml", "evaluation.metrics[0].percent=5")
    assert done.returncode == 2
    assert done.stderr == (
        "error: evaluation.metrics[0].percent=5  evaluation.metrics[0].percent  "
        "must be true or false (got 5)\n"
    )


def test_it_is_listed_and_in_the_schema(plugin):
    listed = program(plugin, "list", "metrics")
    assert "error-rate                  The share of examples with a wrong answer." in listed.stdout
    schema = json.loads(program(plugin, "schema").stdout)
    assert '{"const": "error-rate"' in json.dumps(schema)


def test_the_contract_tests_cover_it_unasked(plugin):
    contract = "tests/evaluation/metrics/test_metric_contract.py"
    done = python(plugin, "-m", "pytest", "-v", "-k", "error-rate", contract, cwd=ROOT)
    assert done.returncode == 0, done.stdout
    passed = [line.split("::")[1] for line in done.stdout.splitlines() if " PASSED " in line]
    assert any(
        line.startswith("test_the_signature_is_one_stable_line[error-rate()-labels]")
        for line in passed
    )
    assert any("[error-rate(percent=True)-labels]" in line for line in passed)
    assert any(
        line.startswith("test_the_inputs_are_left_as_they_are[error-rate") for line in passed
    )


BROKEN = [
    (
        "metric.error-rate = error_rate_plugin:NoSuchClass",
        METRIC,
        "the plugin error_rate_plugin:NoSuchClass (metric error-rate, of error-rate-plugin) cannot be "
        "imported: AttributeError: module 'error_rate_plugin' has no attribute 'NoSuchClass'",
    ),
    (
        "metric.error-rate = error_rate_plugin:ErrorRate",
        "import no_such_package\n",
        "the plugin error_rate_plugin:ErrorRate (metric error-rate, of error-rate-plugin) cannot be "
        "imported: ModuleNotFoundError: No module named 'no_such_package'",
    ),
    (
        "metric.error-rate = error_rate_plugin:ErrorRate",
        "class ErrorRate:\n    kind = 'metric'\n",
        "the plugin error_rate_plugin:ErrorRate (metric error-rate, of error-rate-plugin) is no "
        "subclass of nlpbench.config.component.Component",
    ),
    (
        "metric.error-rate = error_rate_plugin:ErrorRate",
        "from nlpbench.config.component import Component\n\n"
        "class ErrorRate(Component):\n    kind = 'task'\n",
        "the plugin error_rate_plugin:ErrorRate (metric error-rate, of error-rate-plugin) is no "
        "metric; its class is not derived from one",
    ),
    (
        "metric.error-rate = error_rate_plugin:ErrorRate",
        "from nlpbench.evaluation.metrics import Metric\n\nclass ErrorRate(Metric):\n    '''No.'''\n",
        "the plugin error_rate_plugin:ErrorRate (metric error-rate, of error-rate-plugin) does not "
        "define compute, signature",
    ),
]


@pytest.mark.parametrize(("entry_point", "module", "message"), BROKEN)
def test_a_broken_plugin(tmp_path, entry_point: str, module: str, message: str):
    folder = package(tmp_path, entry_point, module)
    done = program(folder, "check", "run.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: run.yaml:6:14  evaluation.metrics[0].name  {message}\n"
    # A config that does not name it is no worse for it.
    assert program(folder, "check", "run.yaml", "evaluation.metrics=[f1]").returncode == 0
