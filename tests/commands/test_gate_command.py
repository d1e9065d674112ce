"""`nlpbench gate`, and the gate of `evaluate` and `finetune`: exit codes, reports, baselines."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gated_runs import COSTS, write_run
from junitparser import JUnitXml

from nlpbench.config.yaml12 import dump
from nlpbench.results.record import read

GATE = {"accuracy": {"min": 0.8, "max_degradation": 0.05}, "latency_ms_p50": {"max": 20}}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_run(tmp_path / "good", range(2))
    write_run(tmp_path / "bad", range(10))
    write_run(tmp_path / "base", ())
    (tmp_path / "gate.yaml").write_text(dump(GATE))
    return tmp_path


def in_process(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """The exit code and output of a command, as the program gives them."""
    from nlpbench.commands import main

    before = sys.argv
    sys.argv = ["nlpbench", *map(str, arguments)]
    try:
        main.main()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.argv = before
    told = capsys.readouterr()
    return code, told.out, told.err


@pytest.fixture
def call(place: Path, monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.chdir(place)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    return lambda *arguments: in_process(capsys, *arguments)


def test_exit_codes_through_the_real_command(place, nlpbench):
    held = nlpbench("gate", "good", "--gate", "gate.yaml", "--baseline", "base")
    assert held.stdout.splitlines() == [
        "holds   accuracy 0.95 is at least min 0.8",
        "holds   accuracy fell by 0.05 from 1 to 0.95, within max_degradation 0.05",
        "holds   latency_ms_p50 10 is at most max 20",
    ]
    assert held.stderr == "gate: 3 rules hold\n"

    broken = nlpbench("gate", "bad", "--gate", "gate.yaml", "--baseline", "base", check=1)
    assert broken.stderr.splitlines() == [
        "gate: accuracy 0.75 is below min 0.8",
        "gate: accuracy fell by 0.25 from 1 to 0.75, more than max_degradation 0.05",
        "gate: 2 of 3 rules broken",
    ]
    assert broken.stdout.count("\nbroken  ") + broken.stdout.startswith("broken  ") == 2

    missing = nlpbench("gate", "bad", "--gate", "gate.yaml", check=2)
    assert (missing.stdout, missing.stderr) == (
        "",
        "error: gate.accuracy.max_degradation needs a baseline; name one with --baseline, or write "
        "baseline beside gate\n",
    )


def test_nothing_heavy_is_imported(place):
    heavy = ["torch", "transformers", "datasets", "evaluate", "pandas"]
    (place / "paired.yaml").write_text("accuracy: {significant: true}\n")
    program = (
        "import sys\nfrom nlpbench.commands import main\n"
        "try:\n    main.main()\nexcept SystemExit as end:\n    code = end.code\n"
        f"print([name for name in {heavy} if name in sys.modules])\nsys.exit(code)"
    )
    line = ["gate", "bad", "--gate", "paired.yaml", "--baseline", "base"]
    done = subprocess.run(
        [sys.executable, "-c", program, *line],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1, done.stderr
    assert "a paired mcnemar test confirms it (p 0.00195)" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_record_keeps_what_came_of_the_gate(place, call):
    before = json.loads((place / "bad/record.json").read_text()) | {"of_a_later_version": 1}
    (place / "bad/record.json").write_text(json.dumps(before))
    assert call("gate", "bad", "--gate", "gate.yaml", "--baseline", "base")[0] == 1
    values = json.loads((place / "bad/record.json").read_text())
    assert values | {"gate": None} == before | {"gate": None}
    gate = read(place / "bad").gate
    assert gate is not None
    assert not gate.passed
    assert [(rule.rule, rule.holds) for rule in gate.rules] == [
        ("accuracy: min 0.8", False),
        ("accuracy: max_degradation 0.05", False),
        ("latency_ms_p50: max 20", True),
    ]
    assert gate.baseline is not None
    assert gate.baseline["path"] == "base/record.json"


def test_rules_and_baseline_of_the_run_s_own_config(place, call):
    write_run(place / "own", range(10), sections={"gate": GATE, "baseline": "base"})
    code, _, err = call("gate", "own")
    assert code == 1
    assert err.endswith("gate: 2 of 3 rules broken\n")
    (place / "loose.yaml").write_text("gate: {accuracy: {min: 0.1}}\n")
    assert call("gate", "own", "--gate", "loose.yaml")[0] == 0


def test_a_gate_file_may_name_the_baseline(place, call):
    (place / "both.yaml").write_text(dump({"baseline": "bad", "gate": GATE}))
    assert call("gate", "good", "--gate", "both.yaml")[0] == 0
    code, _, err = call("gate", "bad", "--gate", "both.yaml", "--baseline", "base/record.json")
    assert code == 1
    assert "fell by 0.25 from 1 to 0.75" in err


def test_several_runs_are_held_one_by_one(place, call):
    code, out, err = call(
        "gate", "good", "bad", "--gate", "gate.yaml", "--baseline", "base", "--junit", "gate.xml"
    )
    assert code == 1
    assert [line.split()[1] for line in out.splitlines()] == ["good:"] * 3 + ["bad:"] * 3
    assert err.splitlines()[0] == "gate: bad: accuracy 0.75 is below min 0.8"
    assert err.splitlines()[-1] == "gate: 2 of 6 rules broken"
    suites = list(JUnitXml.fromfile(str(place / "gate.xml")))
    assert [(suite.name, suite.tests, suite.failures) for suite in suites] == [
        ("good", 3, 0),
        ("bad", 3, 2),
    ]


def test_each_of_several_runs_has_its_own_baseline(place, call):
    other = {"test": {"rows": 40, "fingerprint": "bbbb"}}
    write_run(place / "olds/a", range(10))
    write_run(place / "olds/b", (), data=other)
    write_run(place / "news/a", range(10))
    write_run(place / "news/b", range(1), data=other)
    (place / "no_drop.yaml").write_text("accuracy: {max_degradation: 0}\n")
    code, out, _ = call("gate", "news", "--gate", "no_drop.yaml", "--baseline", "olds")
    assert code == 1
    assert out.splitlines() == [
        "holds   a: accuracy 0.75 is no worse than 0.75 of the baseline",
        "broken  b: accuracy fell by 0.025 from 1 to 0.975, more than max_degradation 0",
    ]
    write_run(place / "olds/c", range(3), model={"name": "another"})
    assert call("gate", "news", "--gate", "no_drop.yaml", "--baseline", "olds")[0] == 1
    write_run(place / "olds/d", range(3))
    assert call("gate", "news/a", "--gate", "no_drop.yaml", "--baseline", "olds")[0] == 0
    write_run(place / "news/e", range(3))
    code, _, err = call("gate", "news/e", "--gate", "no_drop.yaml", "--baseline", "olds")
    assert (code, err) == (
        2,
        "error: 2 baselines fit e: olds/a, olds/d; name one of them\n",
    )


# The page of a GitHub job


def test_step_summary(place, call, monkeypatch):
    summary = place / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    call("gate", "bad", "--gate", "gate.yaml", "--baseline", "base")
    text = summary.read_text()
    assert text.startswith("before\n### nlpbench gate: 2 of 3 rules broken\n\n| | rule | found |\n")
    assert "| ❌ | accuracy: min 0.8 | accuracy 0.75 is below min 0.8 |\n" in text
    assert "| ✅ | latency_ms_p50: max 20 | latency_ms_p50 10 is at most max 20 |\n" in text
    assert "| run | split | rows | accuracy |" in text
    call("gate", "good", "bad", "--gate", "gate.yaml", "--baseline", "base")
    assert "| ✅ | good | accuracy: min 0.8 | accuracy 0.95 is at least min 0.8 |" in (
        summary.read_text()
    )


# --update-baseline


def test_a_run_that_passes_becomes_the_baseline(place, call):
    line = ("--gate", "gate.yaml", "--baseline", "kept/base", "--update-baseline")
    code, _, err = call("gate", "good", *line)
    assert code == 0
    assert err.splitlines() == [
        "gate: 2 rules hold",
        "there is no baseline kept/base yet, so no rule that compares with it is held",
        "wrote the baseline kept/base: record.json and predictions.jsonl",
    ]
    kept = place / "kept/base"
    assert sorted(path.name for path in kept.iterdir()) == ["predictions.jsonl", "record.json"]
    for name in ("record.json", "predictions.jsonl"):
        assert (kept / name).read_bytes() == (place / "good" / name).read_bytes()

    code, _, err = call("gate", "bad", *line)
    assert code == 1
    assert err.splitlines()[-1] == "the baseline kept/base stays as it is"
    assert read(kept).scores["accuracy"].value == 0.95

    write_run(place / "better", ())
    code, out, err = call("gate", "better", *line)
    assert code == 0
    assert "accuracy 1 is no worse than 0.95 of the baseline" in out
    assert read(kept).scores["accuracy"].value == 1


def test_a_written_baseline_can_be_compared_with(place, call):
    (place / "min.yaml").write_text("accuracy: {min: 0.1}\n")
    line = ("--gate", "min.yaml", "--baseline", "kept", "--update-baseline")
    assert call("gate", "good", *line)[0] == 0
    code, out, err = call("compare", "bad", "--baseline", "kept", "--markdown")
    assert code == 0, err
    assert "-0.2000" in out


def test_a_broken_rule_makes_no_baseline(place, call):
    line = ("--gate", "gate.yaml", "--baseline", "kept", "--update-baseline")
    assert call("gate", "bad", *line)[0] == 1
    assert not (place / "kept").exists()


def test_several_runs_become_the_baseline_together(place, call):
    write_run(place / "runs/a")
    write_run(place / "runs/deeper/b", range(1))
    (place / "min.yaml").write_text("accuracy: {min: 0.1}\n")
    line = ("--gate", "min.yaml", "--baseline", "kept", "--update-baseline")
    assert call("gate", "runs", *line)[0] == 0
    assert sorted(str(file.relative_to(place / "kept")) for file in place.glob("kept/**/*.*")) == [
        "a/predictions.jsonl",
        "a/record.json",
        "deeper/b/predictions.jsonl",
        "deeper/b/record.json",
    ]


def test_a_baseline_is_no_run_directory(place, call):
    (place / "base/config.yaml").write_text("a: 1\n")
    line = ("--gate", "gate.yaml", "--update-baseline", "--baseline")
    code, _, err = call("gate", "good", *line, "base")
    assert code == 2
    assert err == (
        "error: --update-baseline writes a directory with record.json and predictions.jsonl alone, "
        "and base holds config.yaml as well; name another one with --baseline\n"
    )
    code, _, err = call("gate", "good", *line, "good")
    assert code == 2
    assert err == "error: the baseline good is the run itself; name a directory of its own\n"


# Mistakes

MISTAKES: list[tuple[tuple[str, ...], str]] = [
    (("gate",), "Missing argument 'RUN"),
    (("gate", "nowhere"), "error: there is no directory nowhere\n"),
    (
        ("gate", "good"),
        "error: the config of good/record.json has no gate; name a file of rules: --gate\n",
    ),
    (("gate", "good", "--gate", "none.yaml"), "error: cannot read none.yaml: No such file"),
    (("gate", "good", "--gate", "base"), "error: base is a directory; --gate takes a file"),
    (
        ("gate", "good", "--gate", "typo.yaml"),
        "error: typo.yaml:1:19  gate.accuracy.mim  unknown key  did you mean min?\n",
    ),
    (
        ("gate", "good", "--gate", "unknown.yaml"),
        "error: gate.acuracy: good has no score or cost acuracy  did you mean accuracy?\n",
    ),
    (
        ("gate", "good", "--gate", "gate.yaml", "--baseline", "none"),
        "error: there is no baseline none; --update-baseline writes one\n",
    ),
    (
        ("gate", "good", "--gate", "gate.yaml", "--baseline", "damaged"),
        "error: damaged/record.json is damaged: ",
    ),
    (
        ("gate", "good", "--gate", "gate.yaml", "--baseline", "newer"),
        "error: newer/record.json has schema version 99, and this nlpbench reads up to 1",
    ),
    (
        ("gate", "good", "--gate", "gate.yaml", "--baseline", "elsewhere"),
        "error: gate.latency_ms_p50: the baseline elsewhere/record.json was measured on Xeon with 9 "
        "threads, and good on Xeon with 2 threads; costs compare on the same hardware only\n",
    ),
    (
        ("gate", "good", "--gate", "gate.yaml", "--update-baseline"),
        "error: --update-baseline needs a place; name one with --baseline\n",
    ),
    (
        ("evaluate", "run.yaml", "--junit", "gate.xml"),
        "error: --junit goes with a gate; write gate in the config, or --gate\n",
    ),
    (
        ("evaluate", "run.yaml", "--gate", "unknown.yaml"),
        "error: unknown.yaml:1:1  gate.acuracy  is neither a score of evaluation.metrics nor a cost  "
        "did you mean accuracy?\n",
    ),
    (
        ("evaluate", "run.yaml", "--gate", "gate.yaml"),
        "error: gate.accuracy.max_degradation needs a baseline; name one with --baseline",
    ),
    (
        ("finetune", "run.yaml", "--gate", "gate.yaml", "--baseline", "validation"),
        "error: the baseline validation/record.json is of text-classification on the split "
        "validation, and this is text-classification on test\n",
    ),
    (
        ("finetune", "run.yaml", "--baseline", "base"),
        "error: --baseline goes with a gate; write gate in the config, or --gate\n",
    ),
]


@pytest.mark.parametrize(
    ("line", "message"), MISTAKES, ids=[" ".join(line) for line, _ in MISTAKES]
)
def test_a_mistake_is_told_before_any_work(line, message, place, call):
    (place / "run.yaml").write_text(
        "model: m\ndata: d.csv\ntask: text-classification\nevaluation: {metrics: [accuracy]}\n"
    )
    (place / "typo.yaml").write_text("gate: {accuracy: {mim: 0.9}}\n")
    (place / "unknown.yaml").write_text("acuracy: {min: 0.9}\n")
    write_run(place / "damaged").file.write_text("{")
    newer = write_run(place / "newer")
    newer.file.write_text(json.dumps(json.loads(newer.file.read_text()) | {"schema_version": 99}))
    if "elsewhere" in line:
        write_run(place / "elsewhere", costs=COSTS | {"threads": 9})
        (place / "gate.yaml").write_text("latency_ms_p50: {max_degradation: 1}\n")
    split = {"validation": {"rows": 40, "fingerprint": "aaaa"}}
    write_run(place / "validation", split="validation", data=split)
    code, out, err = call(*line)
    assert (code, out) == (2, "")
    assert message in err
    assert not (place / "runs").exists()


def test_runs_with_different_gates_need_one(place, call):
    write_run(place / "one", sections={"gate": {"accuracy": {"min": 0.1}}})
    write_run(place / "two", sections={"gate": {"accuracy": {"min": 0.2}}})
    code, _, err = call("gate", "one", "two")
    assert (code, err) == (
        2,
        "error: one/record.json and two/record.json have other gates; name one: --gate\n",
    )


def test_a_changed_gate_makes_no_other_run():
    from nlpbench.results.run_directory import identity

    bare = {"seed": 1, "model": {"name_or_path": "m"}}
    assert identity(bare | {"gate": GATE, "baseline": "a"}) == identity(bare)
    assert identity(bare | {"seed": 2}) != identity(bare)


# A whole run


def finetuned(tiny_config: dict[str, Any], gate: dict[str, Any]) -> dict[str, Any]:
    return tiny_config | {"gate": gate, "training": tiny_config["training"] | {"max_steps": 2}}


@pytest.mark.slow
def test_a_run_is_held_to_the_gate_of_its_config(tiny_config, write_config, nlpbench, tmp_path):
    file = write_config(finetuned(tiny_config, {"f1": {"min": 1.01}, "size_mb": {"max": 50}}))
    done = nlpbench("finetune", file, "-o", "run", "--junit", "gate.xml", check=1)
    assert done.stderr.splitlines()[-1] == "gate: 1 of 2 rules broken"
    assert "is below min 1.01" in done.stdout
    assert JUnitXml.fromfile(str(tmp_path / "gate.xml")).failures == 1
    gate = read(tmp_path / "run").gate
    assert gate is not None
    assert [rule.holds for rule in gate.rules] == [False, True]

    (tmp_path / "same.yaml").write_text(
        "f1: {max_degradation: 0, significant: true}\nsize_mb: {percent_max_degradation: 0}\n"
    )
    line = ("evaluate", "run", "--gate", "same.yaml", "--baseline", "kept", "-o")
    first = nlpbench(*line, "first", "--update-baseline")
    assert "wrote the baseline kept: record.json and predictions.jsonl" in first.stderr
    again = nlpbench(*line, "again")
    assert again.stderr.endswith("gate: 2 rules hold\n")
    assert again.stdout.count("is no worse than") == 2
    assert nlpbench("gate", "run", "--gate", "same.yaml", "--baseline", "kept").returncode == 0


@pytest.mark.slow
def test_the_gate_of_a_run_in_several_processes(tiny_config, write_config, nlpbench, tmp_path):
    file = write_config(finetuned(tiny_config, {"f1": {"min": 1.01}}))
    done = nlpbench("finetune", file, "-o", "run", "--processes", 2, check=1)
    assert done.stderr.splitlines()[-1] == "gate: 1 of 1 rules broken"
    assert done.stderr.count("gate: 1 of 1") == 1
