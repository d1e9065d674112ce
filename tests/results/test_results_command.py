"""`nlpbench results` in a process of its own."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fixed_records import fixed_records, make_record

from nlpbench.commands.results import short_names


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """The fixed records, each in its directory below runs/."""
    for name, record in fixed_records():
        place = tmp_path / "runs" / name
        place.mkdir(parents=True)
        (place / "record.json").write_text(record.to_json(), encoding="utf-8")
    return tmp_path / "runs"


def test_nested_directories(runs: Path, nlpbench: Callable) -> None:
    done = nlpbench("results", "runs")

    lines = done.stdout.splitlines()
    assert [line.split("  ")[0] for line in lines[2:8]] == [
        "evaluations/validation",
        "minilm/seed-1",
        "minilm/seed-2",
        "minilm/seed-3",
        "minilm (mean of 3 seeds)",
        "sweeps/100%_a|b",
    ]
    assert "0.8000 [0.7700, 0.8300]" in done.stdout
    assert done.stderr == ""


def test_one_run_is_named_by_its_directory(runs: Path, nlpbench: Callable) -> None:
    done = nlpbench("results", runs / "minilm" / "seed-1", "--columns", "run,f1")

    assert done.stdout.splitlines()[2].split() == ["seed-1", "0.8000", "[0.7700,", "0.8300]"]


def test_relative_and_absolute_directories_together(runs: Path, nlpbench: Callable) -> None:
    done = nlpbench("results", "runs/sweeps", runs / "minilm", "--columns=run", "--format=csv")

    assert done.stdout.splitlines()[:2] == ["run", "sweeps/100%_a|b"]
    assert "minilm/seed-2" in done.stdout


def test_columns_and_sort(runs: Path, nlpbench: Callable) -> None:
    done = nlpbench(
        "results", "runs", "--columns", "run, seed,", "--sort", "-f1", "--format", "csv"
    )

    assert list(csv.reader(io.StringIO(done.stdout))) == [
        ["run", "seed"],
        ["sweeps/100%_a|b", "42"],
        ["minilm/seed-1", "1"],
        ["minilm (mean of 3 seeds)", ""],
        ["minilm/seed-2", "2"],
        ["minilm/seed-3", "3"],
        ["evaluations/validation", "7"],
    ]


@pytest.mark.parametrize(
    ("form", "beginning"),
    [
        ("markdown", "| run | model |"),
        ("latex", "% "),
        ("json", '[\n {\n  "run":'),
        ("html", "<!doctype html>"),
    ],
)
def test_format(form: str, beginning: str, runs: Path, nlpbench: Callable) -> None:
    assert nlpbench("results", "runs", "--format", form).stdout.startswith(beginning)


def test_what_has_no_place_in_json_is_told_on_stderr(runs: Path, nlpbench: Callable) -> None:
    done = nlpbench("results", "runs", "--format", "json")

    assert len(json.loads(done.stdout)) == 6
    assert "(rows were scored on different data; do not compare them)\n" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["runs", "--columns", "run,f1_"], "error: no record has the column f1_  did you mean f1?"),
        (["runs", "--sort", "-parametres"], "the column parametres  did you mean parameters?"),
        (["empty"], "error: empty holds no finished run (no record.json in or below it)"),
        (["absent"], "error: there is no directory absent"),
        (["runs", "empty"], "error: empty holds no finished run"),
        (["damaged"], "error: damaged/run/record.json is damaged: Expecting value"),
        (["newer"], "error: newer/record.json has schema version 2, and this nlpbench reads"),
        (["runs", "--format", "excel"], "'excel' is not one of"),
        ([], "Missing argument 'DIR'"),
    ],
)
def test_mistakes(
    arguments: list[str], message: str, runs: Path, tmp_path: Path, nlpbench: Callable
) -> None:
    for name, text in {
        "damaged/run": "",
        "newer": make_record().to_json().replace('"schema_version": 1', '"schema_version": 2'),
    }.items():
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "record.json").write_text(text, encoding="utf-8")
    (tmp_path / "empty").mkdir()

    done = nlpbench("results", *arguments, check=2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_of_80_columns(runs: Path) -> None:
    import pty

    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "nlpbench.commands.main", "results", str(runs)]
    with subprocess.Popen(command, stdout=theirs, env={**os.environ, "COLUMNS": "80"}) as process:
        os.close(theirs)
        text = b""
        while True:
            try:
                text += os.read(ours, 65536)
            except OSError:  # the program has ended and closed its side
                break
    os.close(ours)
    lines = text.decode().splitlines()

    assert process.returncode == 0
    assert lines[0].split() == ["run", "f1", "mse"]
    assert max(map(len, lines)) <= 80
    assert "left out for width: model, split" in " ".join(lines)


@pytest.mark.parametrize(("columns", "widest"), [("80", 80), ("60", 60), ("", 400)])
def test_a_pipe_keeps_to_the_columns_that_are_told(
    columns: str, widest: int, runs: Path, nlpbench: Callable
) -> None:
    lines = nlpbench("results", "runs", COLUMNS=columns).stdout.splitlines()

    assert max(map(len, lines)) <= widest
    assert ("left out for width" in " ".join(lines)) == bool(columns)
    assert ("p50 ms" in lines[0]) == (not columns)


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["/r/a"], ["a"]),
        (["/r/a", "/r/b/c"], ["a", "b/c"]),
        (["/r/x/a", "/r/x/b"], ["a", "b"]),
        (["/r/a", "/r/a/b"], ["a", "a/b"]),
        (["/r/a", "/s/a"], ["r/a", "s/a"]),
    ],
)
def test_short_names(paths: list[str], names: list[str]) -> None:
    assert short_names([Path(path) for path in paths]) == names
