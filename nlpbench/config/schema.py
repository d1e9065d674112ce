"""The JSON Schema of a config file."""

from __future__ import annotations

from typing import Any

from nlpbench.config.run_config import RunConfig


def json_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of a config as it is written, `extends` included."""
    schema = RunConfig.model_json_schema(mode="validation")
    files = {"type": "array", "items": {"type": "string"}}
    schema["properties"]["extends"] = {
        "anyOf": [{"type": "string"}, files],
        "description": "configs that this one builds on, relative to it",
    }
    properties = schema["properties"]
    properties["models"] = {
        "type": "array",
        "minItems": 1,
        "items": _one_of(properties["model"]),
        "description": "instead of model, for nlpbench evaluate: every model on every data set",
    }
    several = {"type": "array", "minItems": 1, "items": _one_of(properties["data"])}
    properties["data"] = {
        "anyOf": [_one_of(properties["data"]), several],
        "description": f"{properties['data']['description']}; a list for nlpbench evaluate",
    }
    # A base may hold what is required, the name of the task too.
    schema.pop("required", None)
    for task in schema["properties"]["task"]["anyOf"]:
        task.pop("required", None)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "nlpbench config",
    }


def _one_of(section: dict[str, Any]) -> dict[str, Any]:
    """The schema of a section by itself, without what is said of its key."""
    return {key: value for key, value in section.items() if key not in ("description", "default")}
