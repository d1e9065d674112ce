"""Loads a metric of the Hugging Face `evaluate` library: a script of the user's or of the hub."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from nlpbench.config.errors import UserError

SEED = 0  # of what a metric draws at random
HUB_NAME = re.compile(r"\w[\w.-]*(/[\w.-]+)?")


@dataclass(frozen=True)
class Source:
    """Where a metric comes from.

    Attributes:
        module: a script, its directory, or a name on the hub.
        config_name: which of the metric's configurations.
        revision: of the hub's repository.
        trust_remote_code: whether a script of the hub may run.
    """

    module: str
    config_name: str | None = None
    revision: str | None = None
    trust_remote_code: bool = False

    def error(self, problem: str) -> UserError:
        return UserError(f"evaluate:{self.module}: {problem}")


def script_places(module: str) -> list[Path]:
    """The files of this machine that a module's name may mean."""
    path = Path(module).expanduser().absolute()
    return [path] if path.suffix == ".py" else [path / f"{path.name}.py"]


@lru_cache(maxsize=8)
def load(source: Source) -> Any:
    """The metric, ready to compute.

    Raises:
        UserError: it is neither here nor in the cache nor on the hub, it is the hub's and not
            trusted, or its code fails.
    """
    script = next((place for place in script_places(source.module) if place.is_file()), None)
    if script is None:
        _refuse_unless_of_the_hub(source)
    import evaluate

    from nlpbench.data.hub import connected

    offline = script is None and (evaluate.config.HF_EVALUATE_OFFLINE or not connected())
    with quiet(offline):
        try:
            found = evaluate.load(
                source.module if script is None else str(script),
                config_name=source.config_name,
                revision=None if script else source.revision,
                keep_in_memory=True,
            )
        except FileNotFoundError as error:
            if script is not None:
                raise source.error(f"its script needs what is not there ({told(error)})") from error
            raise source.error(_missing(source.module, offline)) from None
        except ImportError as error:
            raise source.error(told(error)) from error
        except Exception as error:
            raise source.error(
                f"cannot be loaded ({type(error).__name__}: {told(error)}); its script defines a "
                "class derived from evaluate.Metric"
            ) from error
    found.seed = SEED
    return found


def _refuse_unless_of_the_hub(source: Source) -> None:
    looked = " or ".join(map(str, script_places(source.module)))
    if source.module.endswith(".py") or not HUB_NAME.fullmatch(source.module):
        raise source.error(f"there is no metric script {looked}")
    if not source.trust_remote_code:
        raise source.error(
            f"there is no metric script {looked}, and one of the hub is code of others that would "
            "run on this machine: read it, then write trust_remote_code: true"
        )


def _missing(module: str, offline: bool) -> str:
    import evaluate

    looked = f"looked for {' or '.join(map(str, script_places(module)))}"
    cache = f"in the cache {evaluate.config.HF_MODULES_CACHE}"
    if not offline:
        return f"no such metric is on the hub or {cache}, nor here ({looked})"
    space = module if "/" in module else f"evaluate-metric/{module}"
    name = module.rpartition("/")[2]
    return (
        f"the metric is not {cache}, and the hub cannot be reached (offline). On a connected "
        f"machine run: hf download --repo-type space {space} --local-dir {name}  then copy "
        f"{name} here and write evaluate:{name}. No such script is here either ({looked})"
    )


def told(error: Exception) -> str:
    """An error's message on one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 400 else text[:397] + "..."


@contextlib.contextmanager
def quiet(offline: bool = False) -> Iterator[None]:
    """Lets a metric print to stderr alone; where offline, no request is tried."""
    import evaluate

    logger, config = logging.getLogger("evaluate"), evaluate.config
    level, flag = logger.level, config.HF_EVALUATE_OFFLINE
    counted = config.HF_UPDATE_DOWNLOAD_COUNTS
    with contextlib.redirect_stdout(sys.stderr):
        try:
            logger.setLevel(logging.ERROR)
            config.HF_EVALUATE_OFFLINE = offline or flag
            config.HF_UPDATE_DOWNLOAD_COUNTS = False
            yield
        finally:
            logger.setLevel(level)
            config.HF_EVALUATE_OFFLINE = flag
            config.HF_UPDATE_DOWNLOAD_COUNTS = counted
