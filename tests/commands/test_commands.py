"""The program as a user meets it: exit codes, what goes where, and what is never imported."""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from nlpbench.commands.init import TEMPLATES
from nlpbench.config import registry
from nlpbench.config.document import parse
from nlpbench.config.errors import ConfigError, RunError, UserError
from nlpbench.config.load import load, loads

HEAVY = "torch transformers datasets evaluate pandas sklearn scipy pyarrow".split()
CONFIG = "model: m\ndata: d.csv\ntask: text-classification\n"

# Runs many command lines in one process each after the other, as the program does, and says for
# each what it returned, printed and imported.
DRIVER = """
import contextlib, io, json, sys
from nlpbench.commands import main

lines, told = json.loads(sys.argv[1]), []
for line in lines:
    sys.argv[1:] = line
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main.main()
        except SystemExit as end:
            code = end.code or 0
    told.append({"code": code, "out": out.getvalue(), "err": err.getvalue(), "modules": list(sys.modules)})
json.dump(told, sys.stdout)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("commands")
    (folder / "run.yaml").write_text(CONFIG)
    (folder / "wrong.yaml").write_text(CONFIG + "sede: 1\ntraining: {learning_rate: fast}\n")
    (folder / "latin.yaml").write_bytes(b"model: caf\xe9\n")
    (folder / "utf16.yaml").write_bytes(CONFIG.encode("utf-16"))
    (folder / "bom.yaml").write_bytes(b"\xef\xbb\xbf" + CONFIG.encode())
    (folder / "binary.yaml").write_bytes(bytes(range(256)))
    (folder / "null.yaml").write_bytes(b"model: a\0b\n")
    (folder / "empty.yaml").touch()
    (folder / "broken.yaml").write_text("model: [a\n")
    (folder / "no_run").mkdir()
    (folder / "run_dir").mkdir()
    (folder / "run_dir/config.yaml").write_text(CONFIG + "seed: 9\n")
    (folder / "taken.yaml").write_text("mine\n")
    return folder


def run(place: Path, *lines: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, json.dumps([line.split(" ") for line in lines])],
        cwd=place,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


LIGHT = [
    "--help",
    "--version",
    *(
        f"{command} --help"
        for command in (
            "finetune evaluate compress compare score calibrate check results gate list init show "
            "schema"
        ).split()
    ),
    "check run.yaml",
    "check wrong.yaml",
    "check run_dir",
    "list tasks",
    "list metrics",
    "list methods",
    "list perturbations",
    "list samples",
    "schema",
    *(f"init {task}" for task in registry.names("task")),
    "init ci",
    "show run.yaml",
]


def test_light_commands_import_nothing_heavy(place):
    for line, told in zip(LIGHT, run(place, *LIGHT), strict=True):
        assert told["code"] == (2 if "wrong" in line else 0), (line, told["err"])
        assert not set(HEAVY) & set(told["modules"]), line


def test_help_imports_no_pydantic_models_of_ours(place):
    [told] = run(place, "--help")
    ours = {name for name in told["modules"] if name.startswith("nlpbench.")}
    assert {name.split(".")[1] for name in ours} <= {"commands", "config"}
    assert "ruamel.yaml" not in told["modules"]


def test_help_comes_soon():
    """Of the time that `import typer` takes, at most three times: medians, one after the other."""

    def seconds(*arguments: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], capture_output=True, check=True, timeout=60)
        return time.perf_counter() - start

    pairs = [
        (seconds("-c", "import typer"), seconds("-m", "nlpbench.commands.main", "--help"))
        for _ in range(7)
    ]
    imported, helped = (statistics.median(column) for column in zip(*pairs, strict=True))
    assert helped <= 3 * imported


# A mistake and what is said about it.
MISTAKES = [
    ("finetune", "Missing argument 'CONFIG'"),
    ("evaluate", "Missing argument 'CONFIG'"),
    ("check", "Missing argument 'CONFIG'"),
    ("show", "Missing argument 'CONFIG'"),
    ("results", "Missing argument 'DIR"),
    ("init", "Missing argument 'TASK'"),
    ("fintune run.yaml", "No such command 'fintune'. Did you mean 'finetune'?"),
    ("finetune run.yaml --ouput-dir x", "No such option: --ouput-dir"),
    ("finetune run.yaml --output-dir", "Option '--output-dir' requires an argument"),
    ("check run.yaml --limit 0", "Invalid value for '--limit'"),
    ("check run.yaml --limit many", "Invalid value for '--limit'"),
    (
        "list nothing",
        "error: there is no list of nothing  allowed: methods, metrics, perturbations, samples, tasks\n",
    ),
    ("list metric", "error: there is no list of metric  did you mean metrics?\n"),
    ("init nothing", "error: no template for the task nothing  allowed: "),
    (
        "init text-classification -o taken.yaml",
        "error: taken.yaml exists; nothing is overwritten\n",
    ),
    ("init text-classification -o no_run", "error: no_run exists; nothing is overwritten\n"),
    (
        "init text-classification -o no/x.yaml",
        "error: cannot write no/x.yaml: No such file or directory\n",
    ),
    ("check nowhere.yaml", "error: there is no config nowhere.yaml (in {place})\n"),
    ("check no_run", "error: no_run is a directory without a config.yaml, so no run directory\n"),
    ("check empty.yaml", "error: empty.yaml:1:1  the file holds no config  see nlpbench init\n"),
    (
        "check latin.yaml",
        "error: latin.yaml:1:11  byte 0xe9 is not UTF-8  save the file as UTF-8\n",
    ),
    ("check utf16.yaml", "error: utf16.yaml:1:1  byte 0xff is not UTF-8  save the file as UTF-8\n"),
    (
        "check binary.yaml",
        "error: binary.yaml:2:118  byte 0x80 is not UTF-8  save the file as UTF-8\n",
    ),
    (
        "check null.yaml",
        "error: null.yaml:1:9  not valid YAML: the character U+0000 may not stand here  take it away\n",
    ),
    (
        "check broken.yaml",
        "error: broken.yaml:1:8  not valid YAML: a bracket is never closed  close it\n",
    ),
    (
        "check wrong.yaml seed=x",
        'error: seed=x  seed  must be a whole number (got "x")\n'
        "error: wrong.yaml:4:1  sede  unknown key  did you mean seed?\n"
        'error: wrong.yaml:5:27  training.learning_rate  must be a number (got "fast")\n',
    ),
    ("show run.yaml sede=1", "error: sede=1  sede  unknown key  did you mean seed?\n"),
    ("finetune wrong.yaml", "error: wrong.yaml:4:1  sede  unknown key  did you mean seed?\n"),
    (
        "evaluate wrong.yaml --model x",
        "error: wrong.yaml:4:1  sede  unknown key  did you mean seed?\n",
    ),
    ("finetune run.yaml seed", "error: seed  an override is written dotted.key=value  such as "),
    ("results nowhere", "error: "),
]


def test_a_mistake_is_told_on_stderr_and_returns_2(place):
    before = sorted(place.rglob("*"))
    for (line, message), told in zip(
        MISTAKES, run(place, *(line for line, _ in MISTAKES)), strict=True
    ):
        assert (told["code"], told["out"]) == (2, ""), (line, told)
        assert message.format(place=place) in told["err"], (line, told["err"])
        assert "Traceback" not in told["err"]
    assert sorted(place.rglob("*")) == before
    assert (place / "taken.yaml").read_text() == "mine\n"


ALIKE = [
    (
        "finetune wrong.yaml --output-dir x --dry-run",
        "finetune wrong.yaml --output_dir x --dry_run",
    ),
    ("init text-classification", "init text_classification"),
    ("check run.yaml --limit 5", "check run.yaml seed=1 --limit 5"),
    ("show run.yaml seed=1", "show run.yaml seed=2 seed=1"),
    ("-h", "--help"),
]


def test_spellings_that_mean_the_same(place):
    lines = [line for pair in ALIKE for line in pair]
    told = run(place, *lines)
    for one, other in zip(told[::2], told[1::2], strict=True):
        assert "No such option" not in one["err"]
        assert (one["code"], one["out"], one["err"]) == (other["code"], other["out"], other["err"])


def test_results_go_to_stdout_and_the_rest_to_stderr(place):
    checked, shown, schema, listed = run(
        place, "check bom.yaml", "show run_dir training.max_steps=3", "schema", "list metrics"
    )
    assert (checked["out"], checked["err"]) == ("bom.yaml: ok\n", "")
    values = parse(shown["out"], "shown").values
    assert (values["seed"], values["training"]["max_steps"], shown["err"]) == (9, 3, "")
    assert json.loads(schema["out"])["title"] == "nlpbench config"
    assert "yaml-language-server" in schema["err"]
    lines = listed["out"].splitlines()
    assert [line.split()[0] for line in lines] == list(registry.names("metric"))
    assert all(line.endswith(".") for line in lines)


def test_what_show_prints_loads_again(place):
    [shown] = run(place, "show run.yaml evaluation.metrics=[mcc]")
    assert loads(shown["out"]).metrics[0].name == "mcc"


def test_the_version_is_that_of_the_package(nlpbench):
    assert nlpbench("--version").stdout == f"nlpbench {version('nlpbench')}\n"


def test_without_a_command_there_is_help(nlpbench):
    done = nlpbench(check=2)
    assert "finetune" in done.stdout + done.stderr


def test_an_installed_program_does_the_same(place):
    program = Path(sys.executable).with_name("nlpbench")
    done = subprocess.run(
        [program, "check", "run.yaml"], cwd=place, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "run.yaml: ok\n", "")


# init


# `key: value`, or `# key: value`, with what is said of it behind.
KEY = re.compile(r"( *)(?:# ( *))?([a-z0-9_]+):(?: +(.*?))??(?: +# .*)?")
# Why an option that is commented out may not go with the others that are not.
CHOICES = ("excludes ", "needs ", "is of BEIR's layout", "does not score ")


def keys(template: str) -> Iterator[tuple[tuple[str, ...], bool, str | None]]:
    """Each key of a template with its path, whether it is commented out, and its value."""
    above: list[tuple[int, str]] = []
    for line in template.splitlines():
        found = KEY.fullmatch(line)
        if found is None:
            continue
        margin, inner, key, value = found.groups()
        depth = len(margin + (inner or ""))
        above = [*(outer for outer in above if outer[0] < depth), (depth, key)]
        yield tuple(name for _, name in above), inner is not None, value


@pytest.mark.parametrize("task", registry.names("task"))
def test_every_task_has_a_template_with_all_its_options(task: str):
    template = (TEMPLATES / f"{task}.yaml").read_text(encoding="utf-8")
    assert "# yaml-language-server: $schema=nlpbench.schema.json" in template
    assert loads(template, f"{task}.yaml").task.name == task
    shown = {path[1] for path, _, _ in keys(template) if path[0] == "task" and len(path) > 1}
    assert shown == set(registry.load("task", task).model_fields)


@pytest.mark.parametrize("task", registry.names("task"))
def test_what_a_template_comments_out_can_be_used(task: str):
    """A key whose # is taken away is read, or told to exclude or need another one."""
    file = TEMPLATES / f"{task}.yaml"
    for path, commented, value in keys(file.read_text(encoding="utf-8")):
        if not commented:
            continue
        try:
            load(file, [f"{'.'.join(path)}={value}"])
        except ConfigError as error:
            for problem in str(error).splitlines():
                assert any(choice in problem for choice in CHOICES), problem


def test_every_template_is_of_a_task():
    assert {file.stem for file in TEMPLATES.glob("*.yaml")} <= set(registry.names("task"))


def test_init_writes_a_config_that_check_accepts(nlpbench, tmp_path):
    told = nlpbench("init", "text_classification", "-o", "mine.yaml")
    assert told.stdout == ""
    assert told.stderr == "wrote mine.yaml; check it with: nlpbench check mine.yaml\n"
    assert (tmp_path / "mine.yaml").read_text() == nlpbench("init", "text-classification").stdout
    assert nlpbench("check", "mine.yaml", "seed=3").stdout == "mine.yaml: ok\n"
    again = nlpbench("init", "text-classification", "--output", "mine.yaml", check=2)
    assert again.stderr == "error: mine.yaml exists; nothing is overwritten\n"


# Options that a config and the command line share


def test_limit_lowers_the_caps_of_the_splits(tmp_path):
    from nlpbench.commands import options

    file = tmp_path / "run.yaml"
    file.write_text(CONFIG.replace("d.csv", "{source: d.csv, max_samples: {train: 5, test: 50}}"))
    caps = options.load(file, None, limit=20).data.max_samples
    assert (caps.train, caps.validation, caps.test) == (5, 20, 20)
    assert options.load(file, ["data.max_samples.train=9"], limit=None).data.max_samples.train == 9


def test_the_run_directory_is_named_after_the_config(place, monkeypatch):
    from nlpbench.commands import options

    monkeypatch.chdir(place)
    config = loads(CONFIG)
    name: Callable[..., Path] = options.output_dir
    assert name(None, config, Path("run.yaml")) == Path("runs/run")
    assert name(None, config, Path("run_dir"), suffix="-evaluate") == Path("runs/run_dir-evaluate")
    assert name(Path("x"), config, Path("run.yaml")) == Path("x")
    assert name(None, loads(CONFIG + "output_dir: y\n"), Path("run.yaml")) == Path("y")
    monkeypatch.chdir("run_dir")
    assert name(None, config, Path(), suffix="-evaluate") == Path("runs/run_dir-evaluate")


# What an exception of a command becomes


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (UserError("one\ntwo"), 2, "error: one\nerror: two\n"),
        (RunError("the loss is nan"), 3, "error: the loss is nan\n"),
        (
            ZeroDivisionError("by zero\nat once"),
            3,
            "error: ZeroDivisionError: by zero\nrun it again with --verbose for the traceback\n",
        ),
        (
            KeyboardInterrupt(),
            130,
            "interrupted; start it again to go on (finetune: with --resume)\n",
        ),
    ],
    ids=["user", "run", "unforeseen", "interrupt"],
)
def test_an_exception_and_its_exit_code(error, code, told, monkeypatch, capsys):
    import logging

    from nlpbench.commands import main

    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(main, "app", fail)
    monkeypatch.setattr(logging.getLogger("nlpbench"), "level", logging.INFO)
    logging.getLogger("nlpbench").manager._clear_cache()  # type: ignore[attr-defined]
    with pytest.raises(SystemExit) as caught:
        main.main()
    assert caught.value.code == code
    assert capsys.readouterr() == ("", told)


def test_verbose_shows_the_traceback_of_what_was_unforeseen(monkeypatch, capsys):
    import logging

    from nlpbench.commands import main

    def fail(**_: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(main, "app", fail)
    monkeypatch.setattr(logging.getLogger("nlpbench"), "level", logging.DEBUG)
    logging.getLogger("nlpbench").manager._clear_cache()  # type: ignore[attr-defined]
    with pytest.raises(SystemExit):
        main.main()
    assert "Traceback" in capsys.readouterr().err
