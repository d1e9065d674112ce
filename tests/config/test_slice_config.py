"""How slicings are written, and what they are called."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter

from nlpbench.config.load import loads
from nlpbench.config.run_config import RunConfig
from nlpbench.config.slices import Slicing

CONFIG = """
model: m
data: d.csv
task: text-classification
evaluation:
  slices:
    - language
    - label
    - {column: group, values: [a, 1, true], min_rows: 5, max_values: 9}
    - {columns: [language, domain]}
    - {length: [16, 64]}
    - {length: [16], unit: words}
    - {pattern: "not", name: negation, column: text}
    - {pattern: "[?]"}
    - {column: target, fairness: true, positive_label: hateful}
"""


def test_every_form_has_a_title():
    slicings = loads(CONFIG, "c.yaml").evaluation.slices
    assert [slicing.title for slicing in slicings] == [
        "language", "label", "group", "language,domain", "length", "words", "negation", "/[?]/",
        "target",
    ]  # fmt: skip


def test_a_resolved_config_is_the_same_config():
    config = loads(CONFIG, "c.yaml")
    again = RunConfig.model_validate(config.resolved())
    assert again.evaluation.slices == config.evaluation.slices
    assert again.resolved() == config.resolved()


def test_the_columns_that_are_read_are_told_with_their_keys():
    assert loads(CONFIG, "c.yaml").columns_beside == {
        "language": "evaluation.slices[0]",
        "group": "evaluation.slices[2]",
        "domain": "evaluation.slices[3]",
        "text": "evaluation.slices[6]",
        "target": "evaluation.slices[8]",
    }


@pytest.mark.parametrize(
    ("short", "long"), [("label", {"label": True}), ("language", {"column": "language"})]
)
def test_a_string_is_a_column_or_the_label(short, long):
    assert Slicing.model_validate(short) == Slicing.model_validate(long)


def test_a_column_called_label_can_be_named():
    assert Slicing.model_validate({"column": "label"}).read_columns == ["label"]


def test_the_schema_takes_both_forms():
    assert len(TypeAdapter(Slicing).json_schema()["anyOf"]) == 2
