"""Data sets of the Hugging Face hub, from the cache where there is no connection."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show, suggest
from nlpbench.config.sections import DataSection
from nlpbench.data.origin import Original, Part
from nlpbench.data.split_names import SPLITS, choose, refuse_ambiguous

if TYPE_CHECKING:
    import datasets


class HubSource:
    """A hub data set; with data.train and so on, a split is any expression `datasets` knows."""

    def __init__(self, config: DataSection) -> None:
        assert config.source is not None
        self.config = config
        self.name = config.source if config.subset is None else f"{config.source} {config.subset}"

    @cached_property
    def splits(self) -> dict[str, datasets.Dataset]:
        return dict(fetch(self.config, None))

    @cached_property
    def chosen(self) -> dict[str, list[str]]:
        given = {split: getattr(self.config, split) for split in SPLITS}
        named = {split: name for split, name in given.items() if name is not None}
        # Names of splits, or expressions over them: which of the two, `datasets` will say.
        rest = self.config.model_copy(update=dict.fromkeys(SPLITS))
        found = choose(self.splits, rest, self.name)
        found |= {split: [name] for split, name in named.items()}
        if not found:
            raise UserError(
                f"data.source: {self.name} has no split train, validation or test "
                f"(splits: {', '.join(self.splits)}); name one with data.train"
            )
        return found

    def available(self) -> list[str]:
        return list(self.chosen)

    def read(self, split: str) -> Original:
        names = self.chosen[split]
        refuse_ambiguous(names, split, self.name)
        name = "+".join(names)
        if name in self.splits:
            rows = self.splits[name]
        else:
            check_names(name, split, self)
            rows = fetch(self.config, name)
        return Original(rows, (Part(f"{self.name} {name}", rows.num_rows),))


def check_names(expression: str, split: str, source: HubSource) -> None:
    """The splits that an expression such as train[:10%]+test names must be there."""
    for term in expression.split("+"):
        name = term.partition("[")[0].strip()
        if name not in source.splits and name != "all":
            raise UserError(
                f"data.{split}: {source.name} has no split {show(name)}; "
                f"{suggest(name, source.splits)}"
            )


def fetch(config: DataSection, split: str | None) -> Any:
    """`load_dataset`, with its errors told in our words."""
    import datasets

    source, subset, revision = config.source, config.subset, config.revision
    assert source is not None
    offline = not connected()
    with quiet(offline):
        try:
            return datasets.load_dataset(source, name=subset, revision=revision, split=split)
        except datasets.exceptions.DatasetNotFoundError as error:
            raise UserError(
                f"data.source: {source} is not on the hub, or not open to you "
                f"({first_line(error)}); log in with hf auth login if it is private or gated. "
                f"There is no such path here either ({Path(source).absolute()})"
            ) from None
        except ValueError as error:
            raise UserError(explain(config, split, error)) from None
        except (OSError, datasets.exceptions.DatasetsError, RuntimeError) as error:
            if offline or isinstance(error, ConnectionError):
                raise UserError(not_cached(config)) from None
            raise UserError(
                f"data.source: {source} cannot be loaded from the hub ({first_line(error)})"
            ) from None


def not_cached(config: DataSection) -> str:
    assert config.source is not None
    wanted = config.source if config.subset is None else f"{config.source} ({config.subset})"
    revision = f" --revision {config.revision}" if config.revision else ""
    return (
        f"data.source: the hub data set {wanted} is not in the cache, and the hub cannot be "
        "reached (offline). On a connected machine run: "
        f"hf download --repo-type dataset {config.source}{revision} --local-dir DIR  "
        "then copy DIR here and set data.source to it. "
        f"There is no such path here either ({Path(config.source).absolute()})"
    )


def explain(config: DataSection, split: str | None, error: ValueError) -> str:
    text = str(error)
    listed = re.search(r"\[(.*?)\]", text, re.DOTALL)
    names = re.findall(r"'([^']+)'", listed.group(1)) if listed else []
    subset = config.subset
    if "Config name is missing" in text:
        return (
            f"data.source: {config.source} has several subsets; "
            f"choose one with data.subset ({', '.join(names)})"
        )
    if subset is not None and ("BuilderConfig" in text or "config" in text.lower()):
        if "cache" in text.lower():
            return not_cached(config)
        return f"data.subset: {config.source} has no subset {show(subset)}; " + (
            suggest(subset, names) or first_line(error)
        )
    key = next((name for name in SPLITS if split and getattr(config, name) == split), "source")
    return f"data.{key}: {config.source} cannot be loaded ({first_line(error)})"


def first_line(error: Exception) -> str:
    return (str(error).strip().partition("\n")[0] or type(error).__name__).rstrip(".")


def connected() -> bool:
    """Whether the hub answers: without this, `datasets` tries six times in 24 seconds."""
    import datasets
    import huggingface_hub

    if datasets.config.HF_HUB_OFFLINE or huggingface_hub.constants.HF_HUB_OFFLINE:
        return False
    if any(os.environ.get(name) for name in ("https_proxy", "HTTPS_PROXY", "ALL_PROXY")):
        return True  # the proxy knows
    address = urlsplit(huggingface_hub.constants.ENDPOINT)
    port = address.port or (80 if address.scheme == "http" else 443)
    try:
        socket.create_connection((address.hostname or "", port), timeout=5).close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def quiet(offline: bool) -> Iterator[None]:
    """Neither progress bars nor warnings of the libraries; where offline, no requests either."""
    import datasets
    import huggingface_hub

    loggers = [logging.getLogger(name) for name in ("datasets", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    modules: Any = (datasets.config, huggingface_hub.constants) if offline else ()
    flags = [module.HF_HUB_OFFLINE for module in modules]
    bars = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        for module in modules:
            module.HF_HUB_OFFLINE = True
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        for module, flag in zip(modules, flags, strict=True):
            module.HF_HUB_OFFLINE = flag
        if not bars:
            datasets.enable_progress_bars()
