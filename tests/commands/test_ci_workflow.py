"""The workflow that `nlpbench init ci` writes: valid YAML, safe, and of commands that there are."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML

from nlpbench.commands.init import TEMPLATES
from nlpbench.commands.main import app

TEXT = (TEMPLATES / "ci.yml").read_text(encoding="utf-8")
WORKFLOW: dict[str, Any] = YAML(typ="safe", pure=True).load(TEXT)
[JOB] = WORKFLOW["jobs"].values()


def lines() -> list[str]:
    return [line.strip() for step in JOB["steps"] for line in step.get("run", "").splitlines()]


def commands() -> list[list[str]]:
    """The arguments of each nlpbench command, with the variables filled in."""
    found = []
    for line in [*lines(), *re.findall(r"^#\s+(nlpbench .*)$", TEXT, re.MULTILINE)]:
        for name, value in WORKFLOW["env"].items():
            line = line.replace(f"${name}", value)
        words = shlex.split(line.partition(" > ")[0])
        if words[0] == "nlpbench":
            found.append(words[1:])
    return found


def test_the_commands_of_the_workflow():
    assert [words[0] for words in commands()] == ["check", "evaluate", "compare", "evaluate"]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_each_command_is_one_of_the_program(words):
    group = typer.main.get_command(app)
    context = group.make_context("nlpbench", list(words))  # raises what the program would say
    name, command, rest = group.resolve_command(context, list(words))
    parsed = command.make_context(name, rest, parent=context)
    assert parsed.args == []


def test_the_evaluation_holds_to_the_gate_and_writes_what_is_kept():
    [words] = [words for words in commands() if "--junit" in words]
    env = WORKFLOW["env"]
    assert words[1] == env["CONFIG"]
    assert words[words.index("--baseline") + 1] == env["BASELINE"]
    assert words[words.index("--output-dir") + 1] == env["RUN"]
    kept = JOB["steps"][-1]["with"]["path"].split()
    assert words[words.index("--junit") + 1] in kept
    assert f"{env['RUN']}/record.json" in kept


def test_it_has_few_rights_and_pinned_actions():
    assert WORKFLOW["permissions"] == {"contents": "read", "pull-requests": "write"}
    actions = [step["uses"] for step in JOB["steps"] if "uses" in step]
    assert len(actions) == 4
    for action in actions:
        assert re.fullmatch(r"actions/[a-z-]+@v\d+", action)
    assert "pull_request_target" not in TEXT
    # What a stranger may choose, such as a title or a branch, never stands in a command.
    for line in lines():
        assert "${{" not in line


def test_torch_is_that_of_the_cpu():
    assert "pip install torch --index-url https://download.pytorch.org/whl/cpu" in lines()


def test_the_gate_of_its_comment_is_one():
    from nlpbench.config.gate import GateFile

    shown = re.search(r"^#     gate:\n((?:#       .*\n)+)", TEXT, re.MULTILINE)
    assert shown is not None
    values = YAML(typ="safe", pure=True).load(re.sub(r"^#", "", shown[0], flags=re.MULTILINE))
    assert set(GateFile.model_validate(values).gate) == {"f1_macro", "size_mb"}


def test_init_writes_it(nlpbench, tmp_path):
    assert nlpbench("init", "ci").stdout == TEXT
    told = nlpbench("init", "ci", "-o", "nlpbench.yml")
    assert told.stderr == "wrote nlpbench.yml\n"
    assert (tmp_path / "nlpbench.yml").read_text(encoding="utf-8") == TEXT
