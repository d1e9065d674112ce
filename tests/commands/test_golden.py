"""Help, lists and a resolved config, word for word; tests/golden/README.md says how to refresh."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import typer.main
from golden.expected import golden
from typer.testing import CliRunner

from nlpbench.commands.main import app

COMMANDS = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
MINIMAL = {
    "model": {"name_or_path": "distilbert/distilbert-base-uncased"},
    "data": {"source": "sample:support-tickets"},
    "task": {"name": "text-classification", "label_column": "intent"},
}


def shown(*arguments: str) -> str:
    done = CliRunner().invoke(
        app, list(arguments), prog_name="nlpbench", env={"COLUMNS": "80"}, catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    return done.stdout


def test_help() -> None:
    text = shown("--help")

    assert text == golden("help.txt", text)
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_command(command: str) -> None:
    text = shown(command, "--help")

    assert text == golden(f"help_{command}.txt", text)


@pytest.mark.parametrize("what", ["metrics", "samples", "tasks"])
def test_list(what: str, nlpbench: Callable) -> None:
    text = nlpbench("list", what).stdout

    assert text == golden(f"list_{what}.txt", text)


def test_resolved_defaults(nlpbench: Callable, write_config: Callable) -> None:
    text = nlpbench("show", write_config(MINIMAL)).stdout

    assert text == golden("show.yaml", text)


def test_a_resolved_config_resolves_to_itself(nlpbench: Callable, write_config: Callable) -> None:
    once = nlpbench("show", write_config(MINIMAL)).stdout
    file = write_config(MINIMAL, "again.yaml")
    file.write_text(once, encoding="utf-8")

    assert nlpbench("show", file).stdout == once
