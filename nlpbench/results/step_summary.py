"""What a job of GitHub Actions shows on its page: the rules of the gate and the table of scores."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from nlpbench.results.files import told_clearly
from nlpbench.results.finished_run import FinishedRun
from nlpbench.results.render import MARKDOWN, render
from nlpbench.results.table import build

VARIABLE = "GITHUB_STEP_SUMMARY"


def append(runs: Sequence[FinishedRun], notes: Sequence[str] = ()) -> None:
    """Adds to the summary of the step that runs; does nothing outside GitHub Actions.

    Raises:
        UserError: the file of the summary cannot be written.
    """
    place = os.environ.get(VARIABLE)
    if not place:
        return
    with told_clearly(Path(place)), Path(place).open("a", encoding="utf-8") as stream:
        stream.write(markdown(runs, notes))


def markdown(runs: Sequence[FinishedRun], notes: Sequence[str] = ()) -> str:
    """The summary of checked runs."""
    rules = [(run, rule) for run in runs if run.record.gate for rule in run.record.gate.rules]
    broken = sum(not rule.holds for _, rule in rules)
    verdict = f"{broken} of {len(rules)} rules broken" if broken else f"{len(rules)} rules hold"
    several = len(runs) > 1
    lines = [f"### nlpbench gate: {verdict}" if rules else "### nlpbench", ""]
    if rules:
        lines += ["| | run | rule | found |" if several else "| | rule | found |"]
        lines += ["|---" * (4 if several else 3) + "|"]
    for run, rule in rules:
        cells = [run.name] * several + [rule.rule, rule.told]
        mark = "✅" if rule.holds else "❌"
        lines.append("| " + " | ".join([mark, *map(_cell, cells)]) + " |")
    lines += ["", *(_cell(note) for note in notes), ""] if notes else [""]
    table = render(build([(run.name, run.record) for run in runs]), "markdown")
    return "\n".join(lines) + "\n" + table + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).translate(MARKDOWN)
