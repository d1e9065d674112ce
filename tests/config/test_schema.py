"""The JSON Schema that editors read; a small reader of it checks real configs against it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nlpbench.config import registry
from nlpbench.config.document import parse
from nlpbench.config.schema import json_schema

SCHEMA = json_schema()
ROOT = Path(__file__).parents[2]
KEYWORDS = {
    *("$schema", "$defs", "$ref", "title", "description", "default", "type", "properties", "items"),
    *("required", "additionalProperties", "enum", "const", "anyOf", "minimum", "maximum"),
    *("exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "minItems", "maxItems"),
    *("minProperties", "pattern"),
}
TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
    "number": (int, float),
    "integer": int,
}


def subschemas(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    inner = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values()]
    inner += schema.get("anyOf", [])
    inner += [
        schema[key]
        for key in ("items", "additionalProperties")
        if isinstance(schema.get(key), dict)
    ]
    for part in inner:
        yield from subschemas(part)


def resolve(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        assert schema["$ref"].startswith("#/$defs/")
        schema = SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    return schema


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a value is valid, by the keywords that our schema has."""
    schema = resolve(schema)
    if "anyOf" in schema:
        return any(fits(value, part) for part in schema["anyOf"])
    kind = schema.get("type")
    if kind and not isinstance(value, TYPES[kind]):
        return False
    if isinstance(value, bool) and kind in ("number", "integer"):
        return False
    if ("const" in schema and value != schema["const"]) or value not in schema.get("enum", [value]):
        return False
    if isinstance(value, dict):
        known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
        if not set(schema.get("required", [])) <= set(value):
            return False
        if others is False and not set(value) <= set(known):
            return False
        if len(value) < schema.get("minProperties", 0):
            return False
        rest = others if isinstance(others, dict) else {}
        return all(fits(item, known.get(key, rest)) for key, item in value.items())
    if isinstance(value, list):
        return len(value) >= schema.get("minItems", 0) and all(
            fits(item, schema.get("items", {})) for item in value
        )
    if isinstance(value, str):
        long_enough = schema.get("minLength", 0) <= len(value)
        short_enough = len(value) <= schema.get("maxLength", len(value))
        return long_enough and short_enough and bool(re.search(schema.get("pattern", ""), value))
    if isinstance(value, int | float):
        return schema.get("minimum", value) <= value <= schema.get("maximum", value) and schema.get(
            "exclusiveMinimum", value - 1
        ) < value < schema.get("exclusiveMaximum", value + 1)
    return True


def test_it_is_json_schema():
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert json.loads(json.dumps(SCHEMA, allow_nan=False)) == SCHEMA
    for schema in subschemas(SCHEMA):
        assert set(schema) <= KEYWORDS
        assert schema.get("type", "null") in TYPES
        resolve(schema)
        for key in schema.get("required", []):
            assert key in schema["properties"]


def test_every_option_has_a_description():
    for schema in subschemas(SCHEMA):
        for key, option in schema.get("properties", {}).items():
            assert option.get("description"), key


@pytest.mark.parametrize("kind", ["task", "metric"])
def test_every_component_is_there_with_its_options(kind: str):
    where = SCHEMA["properties"]["task"]
    if kind == "metric":
        metrics = resolve(SCHEMA["properties"]["evaluation"])["properties"]["metrics"]
        where = next(part for part in metrics["anyOf"] if part.get("type") == "array")["items"]
    names, *choices = where["anyOf"]
    assert names["enum"] == list(registry.names(kind))
    by_name = {
        choice["properties"]["name"]["const"]: choice
        for choice in choices
        if "const" in choice.get("properties", {}).get("name", {})
    }
    assert list(by_name) == list(registry.names(kind))
    for name, choice in by_name.items():
        assert set(choice["properties"]) == set(registry.load(kind, name).model_fields)
        assert choice["properties"]["name"]["description"] == registry.load(kind, name).summary()
        assert choice["additionalProperties"] is False


CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))
CONFIGS += sorted((ROOT / "nlpbench/commands/templates").glob("*.yaml"))


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_every_shipped_config_fits(file: Path):
    text = re.sub(r"\$\{env:[^}]*\}", "x", file.read_text(encoding="utf-8"))
    assert fits(parse(text, str(file)).values, SCHEMA)


@pytest.mark.parametrize(
    "text",
    [
        "model: m\ndata: d.csv\ntask: text-classification\nevaluation: {metrics: [f1]}",
        "extends: base.yaml\nseeds: [1, 2]\ntask: {max_length: 5}",
        "extends: [a.yaml, b.yaml]\nmodel: {config: {model_type: bert}, tokenizer: t}",
        "data: {source: d, max_samples: {train: 5}}\ntraining: {arguments: {optim: adafactor}}",
        "evaluation: {metrics: ['evaluate:meteor', {name: 'evaluate:a/b.py', scores: [f1]}]}",
        "evaluation: {metrics: [{name: evaluate, module: meteor, trust_remote_code: true}]}",
        "models: [a, {name_or_path: b, revision: v1}]\n"
        "data: [x, {source: y, name: Y, rename_columns: {sentence: text}}]",
    ],
)
def test_what_a_config_may_say(text: str):
    assert fits(parse(text, "a.yaml").values, SCHEMA)


@pytest.mark.parametrize(
    "text",
    [
        "sede: 1",
        "seed: one",
        "seed: true",
        "seeds: []",
        "task: translations",
        "task: {max_lenght: 5}",
        "evaluation: {metrics: [{average: macro}]}",
        "training: {learning_rate: 0}",
        "training: {precision: int8}",
        "evaluation: {metrics: [acuracy]}",
        "evaluation: {metrics: [{name: f1, averag: macro}]}",
        "data: {source: d, delimiter: ;;}",
        "evaluation: {metrics: ['f1:macro']}",
        "evaluation: {metrics: ['evaluate:']}",
        "evaluation: {metrics: [{name: evaluate, scores: [f1]}]}",
        "evaluation: {metrics: [{name: 'evaluate:meteor', module: bleu}]}",
        "evaluation: {metrics: [{name: 'evaluate:meteor', score: [f1]}]}",
        "extends: 5",
        "models: a",
        "models: []",
        "data: []",
        "data: [x, {sorce: y}]",
    ],
)
def test_what_it_may_not(text: str):
    assert not fits(parse(text, "a.yaml").values, SCHEMA)
