"""Reads a file of rules: a mapping of rules, or one with the keys `gate` and `baseline`."""

from __future__ import annotations

from pathlib import Path as FilePath

from nlpbench.config.document import parse, read_text
from nlpbench.config.errors import UserError
from nlpbench.config.gate import GateFile
from nlpbench.config.load import validate_as
from nlpbench.config.run_config import RunConfig

GATE = "gate"


def read(file: FilePath, config: RunConfig | None = None) -> GateFile:
    """The checked rules of a file.

    Args:
        config: of the run that the rules are for, if it is known; its metrics tell which scores
            there can be.

    Raises:
        ConfigError: with every problem, each as `file:line:column  key  what  advice`.
        UserError: a file that cannot be read.
    """
    if file.is_dir():
        raise UserError(f"{file} is a directory; --gate takes a file of rules")
    document = parse(read_text(file), str(file))
    if document.readable and GATE not in document.values:
        document.values = {GATE: document.values}
        document.marks = {
            ((GATE, *path), key): mark for (path, key), mark in document.marks.items()
        }
        document.problems = [problem.inside((GATE,)) for problem in document.problems]
    return validate_as(
        GateFile, document, lambda found: config.of_gate(found.gate) if config is not None else []
    )
