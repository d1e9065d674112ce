"""`nlpbench schema`: the JSON Schema of a config, for editors."""

from __future__ import annotations

import typer


def schema() -> None:
    """Print the JSON Schema of a config; editors then complete and check while you type.

    Save it with `nlpbench schema > nlpbench.schema.json` and begin a config with the line
    `# yaml-language-server: $schema=nlpbench.schema.json`.
    """
    import json

    from nlpbench.config.schema import json_schema

    typer.echo(json.dumps(json_schema(), indent=2))
    typer.echo(
        "begin a config with: # yaml-language-server: $schema=nlpbench.schema.json", err=True
    )
