"""Arguments that several commands take, and how loud they are."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
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
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say only warnings and errors.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Say everything, tracebacks too.")]


def load(config: Path, overrides: Sequence[str] | None, limit: int | None = None) -> RunConfig:
    """The checked config, with `--limit` put over the caps of its splits."""
    from nlpbench.config.load import load as load_config

    loaded = load_config(config, overrides or ())
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
    from nlpbench.config.load import config_file
    from nlpbench.results.run_directory import free_name, state_of

    if given is not None or config.output_dir is not None:
        return given or Path(str(config.output_dir))
    file = config_file(source)
    name = file.resolve().parent.name if source.is_dir() else file.stem
    base = Path("runs", name + suffix)
    if not resume and not suffix and state_of(base, config.resolved()) == "unfinished":
        logging.getLogger("nlpbench").warning(
            "%s holds an unfinished run of this config; --resume goes on with it", base
        )
    return free_name(base, config.resolved(), resume)


class _LevelFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        level = record.levelname.lower()
        return text if record.levelno == logging.INFO else f"{level}: {text}"
