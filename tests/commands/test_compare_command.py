"""`nlpbench compare` as a user meets it."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys

import pytest
from two_systems import of_accuracy
from written_runs import edit_record, write_run


@pytest.fixture
def runs(tmp_path):
    one, other = of_accuracy(0.8, 0.9, 200, seed=1)
    write_run(tmp_path / "runs/a", one, ["accuracy", "f1"])
    write_run(tmp_path / "runs/b", other, ["accuracy", "f1"])
    return tmp_path / "runs"


def test_two_runs_are_compared(runs, nlpbench):
    done = nlpbench("compare", "runs/a", "runs/b", "--examples", "changed.jsonl", COLUMNS="80")
    lines = done.stdout.splitlines()
    assert lines[0] == "b against a: text-classification, 200 rows of test"
    assert max(map(len, lines)) <= 80
    assert done.stderr == "wrote changed.jsonl\n"
    found = json.loads(nlpbench("compare", "runs/a", "runs/b", "--format", "json").stdout)
    [rows] = found["by_row"]
    assert len((runs.parent / "changed.jsonl").read_text().splitlines()) == rows["changed_rows"]
    assert [score["key"] for score in found["scores"]] == ["accuracy", "f1"]


def test_markdown_and_metrics_and_baseline_can_be_chosen(runs, nlpbench):
    arguments = (
        "runs/a",
        "--baseline",
        "runs/b",
        "--metrics",
        "mcc,f1",
        "--metrics",
        "{name: f1, average: macro}",
    )
    done = nlpbench(
        "compare", *arguments, "--markdown", "--resamples", 300, "--confidence", 0.9, "--seed", 4
    )
    assert done.stdout.startswith("a against b: ")
    for title in ("mcc", "f1", "f1\\_macro"):
        assert (
            f"**{title} (higher is better; over rows: approximate randomisation)**" in done.stdout
        )
    assert "90 % interval of the paired bootstrap over examples, 300 resamples" in done.stdout
    assert (
        done.stdout
        == nlpbench(
            "compare",
            *arguments,
            "--format",
            "markdown",
            "--resamples",
            300,
            "--confidence",
            0.9,
            "--seed",
            4,
        ).stdout
    )


def test_mistakes_end_with_2_and_a_sentence(runs, nlpbench, tmp_path):
    one, _ = of_accuracy(0.8, 0.9, 150, seed=1)
    write_run(runs / "fewer", one)
    write_run(runs / "cut", one)
    (runs / "cut/predictions.jsonl").write_text("{")
    write_run(runs / "other", one)
    edit_record(runs / "other", lambda record: record.update(task="multiple-choice"))
    for arguments, message in [
        (["runs/a"], "a comparison takes two runs at least"),
        (["runs/a", "runs/a"], "are the same run"),
        (["runs/a", "runs/none"], "holds no record.json"),
        (["runs/a", "runs/fewer"], "they differ in data: 200 rows"),
        (["runs/fewer", "runs/cut"], "runs/cut/predictions.jsonl:1 is damaged"),
        (
            ["runs/fewer", "runs/other"],
            "they differ in task: text-classification and multiple-choice",
        ),
        (["runs/a", "runs/b", "--metrics", "acuracy"], "did you mean accuracy?"),
        (["runs/a", "runs/b", "--test", "mcnemar"], "which f1 does not say of them"),
        (["runs/a", "runs/b", "--confidence", "2"], "confidence must be less than 1"),
        (["runs/a", "runs/b", "--resamples", "5"], "resamples must be at least 100"),
        (
            ["runs/a", "runs/b", "--examples", "no/such/file.jsonl"],
            "cannot write no/such/file.jsonl",
        ),
    ]:
        done = nlpbench("compare", *arguments, check=2)
        assert message in done.stderr, done.stderr
        assert "Traceback" not in done.stderr


def test_no_model_library_is_loaded(runs):
    code = (
        "import sys\nfrom nlpbench.commands.main import app\n"
        "app(['compare', 'runs/a', 'runs/b'], standalone_mode=False)\n"
        "heavy = {'torch', 'transformers', 'datasets', 'evaluate', 'pandas', 'sklearn', 'scipy.stats'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=runs.parent,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == "[]"


def test_872_rows_take_less_than_three_seconds_of_the_processor(tmp_path, nlpbench):
    """Of the processor, as the clock tells what else the machine does."""
    for name, answers in zip("ab", of_accuracy(0.9, 0.92, 872, seed=1), strict=True):
        write_run(tmp_path / name, answers, ["accuracy", "f1", "mcc"])
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    nlpbench("compare", "a", "b", "--resamples", 1000)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 3
