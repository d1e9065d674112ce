"""`nlpbench show`: a config with everything filled in."""

from __future__ import annotations

import typer

from nlpbench.commands import options


def show(config: options.Config, overrides: options.Overrides = None) -> None:
    """Print a config resolved: what it extends, overrides, variables and defaults filled in."""
    from nlpbench.config import matrix
    from nlpbench.config.yaml12 import dump

    cells = matrix.load(config, overrides or ())
    typer.echo(dump(matrix.resolved(cells)), nl=False)
