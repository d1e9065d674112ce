"""Arguments that several commands take, and how loud they are."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from nlpbench.config.matrix import MatrixCell
    from nlpbench.config.run_config import RunConfig

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file or a run directory.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Overrides, such as training.learning_rate=3e-5."),
]
OutputDir = Annotated[
    Path | None,
    typer.Option("--output-dir", "-o", help="The run directory (runs/NAME unless told)."),
]
Limit = Annotated[int | None, typer.Option(min=1, help="Use at most this many rows of each split.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check config, data and model, then stop.")]
Processes = Annotated[
    int, typer.Option(min=1, help="Train in this many processes, one a GPU or share of the cores.")
]
GateFile = Annotated[
    Path | None,
    typer.Option("--gate", metavar="FILE", help="Rules in place of the config's key gate."),
]
Baseline = Annotated[
    Path | None,
    typer.Option(metavar="RUN_OR_RECORD", help="What the rules of the gate compare with."),
]
Junit = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write what came of the rules as JUnit XML."),
]
UpdateBaseline = Annotated[
    bool,
    typer.Option(
        "--update-baseline",
        help="Copy record and predictions to the baseline if no rule is broken.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say only warnings and errors.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Say everything, tracebacks too.")]


def load(config: Path, overrides: Sequence[str] | None, limit: int | None = None) -> RunConfig:
    """The checked config, with `--limit` put over the caps of its splits."""
    from nlpbench.config.load import load as load_config

    return _limited(load_config(config, overrides or ()), limit)


def load_cells(
    config: Path,
    overrides: Sequence[str] | None,
    limit: int | None = None,
    models: Sequence[str] = (),
    data: Sequence[str] = (),
) -> list[MatrixCell]:
    """As `load`, of a config that may name several models and data sets, for `evaluate`."""
    from nlpbench.config import matrix

    cells = matrix.load(config, overrides or (), models, data)
    return [matrix.to_score(replace(cell, config=_limited(cell.config, limit))) for cell in cells]


def _limited(loaded: RunConfig, limit: int | None) -> RunConfig:
    if limit is None:
        return loaded
    caps = loaded.data.max_samples
    lower = {
        name: min(limit, getattr(caps, name) or limit) for name in ("train", "validation", "test")
    }
    data = loaded.data.model_copy(update={"max_samples": caps.model_copy(update=lower)})
    return loaded.model_copy(update={"data": data})


def set_loudness(quiet: bool, verbose: bool) -> None:
    """Log lines go to stderr; a level each for --quiet, nothing and --verbose."""
    logger = logging.getLogger("nlpbench")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_LevelFormatter())
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO)


def output_dir(
    given: Path | None, config: RunConfig, source: Path, resume: bool = False, suffix: str = ""
) -> Path:
    """The run directory: as told, or runs/NAME, with a number where that is taken."""
    from nlpbench.results.run_directory import free_name, state_of

    if given is not None or config.output_dir is not None:
        return given or Path(str(config.output_dir))
    base = directory_named_after(source, suffix)
    if not resume and not suffix and state_of(base, config.resolved()) == "unfinished":
        logging.getLogger("nlpbench").warning(
            "%s holds an unfinished run of this config; --resume goes on with it", base
        )
    return free_name(base, config.resolved(), resume)


def directory_named_after(source: Path, suffix: str = "") -> Path:
    """runs/NAME for a config file or a run directory."""
    from nlpbench.config.load import config_file

    file = config_file(source)
    name = file.resolve().parent.name if source.is_dir() else file.stem
    return Path("runs", name + suffix)


class _LevelFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        level = record.levelname.lower()
        return text if record.levelno == logging.INFO else f"{level}: {text}"
