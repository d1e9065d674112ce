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
    # A base may hold what is required, the name of the task too.
    schema.pop("required", None)
    for task in schema["properties"]["task"]["anyOf"]:
        task.pop("required", None)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "nlpbench config",
    }
