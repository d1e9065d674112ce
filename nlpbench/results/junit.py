"""The rules of a gate as JUnit XML, which CI servers show: a test suite a run, a test case a rule."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from nlpbench.results.files import write_text
from nlpbench.results.finished_run import FinishedRun
from nlpbench.results.record import Gate

# Of XML 1.0, section 2.2: what may not stand in a document, not even as a reference.
NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write(file: Path, runs: Sequence[FinishedRun]) -> None:
    """Writes the checked gates of runs, in the form of the schema that Jenkins and pytest share."""
    gates = [(run, run.record.gate) for run in runs if run.record.gate is not None]
    root = ElementTree.Element("testsuites", name="nlpbench gate")
    for key, total in _counts([gate for _, gate in gates]).items():
        root.set(key, total)
    for run, gate in gates:
        root.append(_suite(run, gate))
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    write_text(file, f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n')


def _counts(gates: Sequence[Gate]) -> dict[str, str]:
    return {
        "tests": str(sum(len(gate.rules) for gate in gates)),
        "failures": str(sum(len(gate.broken) for gate in gates)),
        "errors": "0",
    }


def _suite(run: FinishedRun, gate: Gate) -> ElementTree.Element:
    record = run.record
    split = record.data[record.split]
    counts = {**_counts([gate]), "skipped": "0"}
    suite = ElementTree.Element("testsuite", {"name": _text(run.name), **counts})
    facts = {
        "model": record.model.get("name"),
        "task": record.task,
        "split": record.split,
        "rows": split.rows,
        "fingerprint": split.fingerprint,
        "baseline": (gate.baseline or {}).get("path"),
    }
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in facts.items():
        if value is not None:
            ElementTree.SubElement(properties, "property", name=name, value=_text(str(value)))
    for rule in gate.rules:
        case = ElementTree.SubElement(
            suite, "testcase", name=_text(rule.rule), classname=_text(run.name)
        )
        if rule.holds:
            ElementTree.SubElement(case, "system-out").text = _text(rule.told)
        else:
            failure = ElementTree.SubElement(
                case, "failure", message=_text(rule.told), type=rule.bound
            )
            failure.text = _text(rule.told)
    return suite


def _text(text: str) -> str:
    return NO_XML.sub("\ufffd", text)
