"""The JUnit file of a gate, read back by a parser of its own."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from fixed_records import make_record
from hypothesis import given
from hypothesis import strategies as st
from junitparser import JUnitXml

from nlpbench.config.errors import UserError
from nlpbench.results import junit
from nlpbench.results.finished_run import FinishedRun
from nlpbench.results.record import CheckedRule, Gate

HOLDS = CheckedRule(
    key="f1", bound="min", limit=0.8, value=0.85, holds=True, told="f1 0.85 is at least min 0.8"
)
BROKEN = CheckedRule(
    key="f1",
    slice='length<=16 & label="a"',
    bound="max_degradation",
    limit=0.01,
    value=0.5,
    baseline=0.6,
    holds=False,
    told='f1 on length<=16 & label="a" fell by 0.1 from 0.6 to 0.5, more than max_degradation 0.01',
)


def run(name: str, *rules: CheckedRule) -> FinishedRun:
    gate = Gate(passed=all(rule.holds for rule in rules), rules=list(rules), baseline={"path": "b"})
    return FinishedRun(name, Path(name, "record.json"), make_record(gate=gate))


def test_a_parser_reads_every_rule(tmp_path):
    junit.write(tmp_path / "gate.xml", [run("one", HOLDS, BROKEN), run("two", HOLDS)])
    found = JUnitXml.fromfile(str(tmp_path / "gate.xml"))
    assert (found.tests, found.failures, found.errors) == (3, 1, 0)
    one, two = found
    assert (one.name, one.tests, one.failures, two.name, two.failures) == ("one", 2, 1, "two", 0)
    holds, broken = one
    assert (holds.name, holds.classname, holds.is_passed) == ("f1: min 0.8", "one", True)
    assert holds.system_out == HOLDS.told
    assert broken.name == 'f1 on length<=16 & label="a": max_degradation 0.01'
    [failure] = broken.result
    assert (failure.message, failure.text, failure.type) == (
        BROKEN.told,
        BROKEN.told,
        "max_degradation",
    )
    assert {each.name: each.value for each in one.properties()} == {
        "model": "sentence-transformers/all-MiniLM-L6-v2",
        "task": "text-classification",
        "split": "test",
        "rows": "180",
        "fingerprint": "aaaa",
        "baseline": "b",
    }


# What the schema of Jenkins, which pytest keeps too, allows: children and attributes by element.
CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"properties", "testcase", "system-out", "system-err"},
    "properties": {"property"},
    "property": set(),
    "testcase": {"skipped", "error", "failure", "system-out", "system-err"},
    "failure": set(),
    "system-out": set(),
}
ATTRIBUTES = {
    "testsuites": {"name", "time", "tests", "failures", "disabled", "errors"},
    "testsuite": {
        *("name", "tests", "failures", "errors", "time", "disabled", "skipped", "timestamp"),
        *("hostname", "id", "package"),
    },
    "properties": set(),
    "property": {"name", "value"},
    "testcase": {"name", "assertions", "time", "classname", "status"},
    "failure": {"type", "message"},
    "system-out": set(),
}
REQUIRED = {"testsuite": {"name", "tests"}, "testcase": {"name"}, "property": {"name", "value"}}


@given(st.text(), st.text())
def test_it_is_valid_whatever_names_hold(tmp_path_factory, name: str, told: str):
    file = tmp_path_factory.mktemp("junit") / "gate.xml"
    rule = BROKEN.model_copy(update={"slice": name, "told": told})
    junit.write(file, [run("one", HOLDS, rule)])
    root = ElementTree.parse(file).getroot()
    assert root.tag == "testsuites"
    for element in root.iter():
        assert {child.tag for child in element} <= CHILDREN[element.tag]
        assert set(element.keys()) <= ATTRIBUTES[element.tag]
        assert REQUIRED.get(element.tag, set()) <= set(element.keys())


def test_a_run_without_a_gate_is_left_out(tmp_path):
    bare = FinishedRun("bare", Path("record.json"), make_record())
    junit.write(tmp_path / "gate.xml", [bare])
    assert (JUnitXml.fromfile(str(tmp_path / "gate.xml")).tests or 0) == 0


def test_a_place_that_cannot_be_written(tmp_path):
    with pytest.raises(UserError, match=r"^cannot write .*gate\.xml: No such file or directory$"):
        junit.write(tmp_path / "nowhere" / "gate.xml", [run("one", HOLDS)])
