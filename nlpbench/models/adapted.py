"""Adapters on disk: their weights alone, and which model they belong to."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError
from nlpbench.config.sections import ModelSection
from nlpbench.models import source as sources
from nlpbench.models.hub import told_clearly

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PretrainedConfig, PreTrainedModel

BASE = "base.json"


@dataclass(frozen=True)
class Base:
    """The model that adapters were trained on.

    Attributes:
        name: hub id, pkg:// address or absolute directory.
        revision: commit of a hub model.
        weights: hash of its weight files, `sha256:…`.
        config: its configuration with the labels of the adapters' head.
    """

    name: str
    revision: str | None
    weights: str | None
    config: dict[str, Any]

    def source(self, adapter: Path) -> sources.ModelSource:
        """Where it is now.

        Raises:
            UserError: it is not where it was.
        """
        try:
            return sources.find(self.name, self.revision)
        except UserError as error:
            raise UserError(
                f"{adapter} holds adapters for the model {self.name}, which cannot be used: "
                f"{error}; bring it back, or write its new place as name into {adapter / BASE}"
            ) from error

    def check(self, weights: str, adapter: Path) -> None:
        """Raises UserError where the model there is another than the one trained on."""
        if self.weights is not None and weights != self.weights:
            raise UserError(
                f"{adapter} holds adapters for the model {self.name}, whose weights are no longer "
                "those it was trained on; bring these back, or train anew"
            )

    def configuration(self) -> PretrainedConfig:
        from transformers import CONFIG_MAPPING

        kind = CONFIG_MAPPING[self.config["model_type"]]
        return kind.from_dict(self.config)


def need_peft(key: str) -> None:
    """Raises UserError unless peft is installed."""
    if find_spec("peft") is None:
        raise UserError(f"{key} needs the package peft; pip install 'nlpbench[peft]'")


@contextmanager
def without_deprecations() -> Iterator[None]:
    """Keeps back that peft asks transformers by an older name, which users can do nothing about."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        yield


def is_adapter(directory: Path | None) -> bool:
    return directory is not None and (directory / sources.ADAPTER_CONFIG).is_file()


def save(model: PeftModel, section: ModelSection, directory: Path) -> None:
    """Writes adapters, head and what they belong to; the base model is not copied.

    Args:
        section: the model section that the base was loaded by.
    """
    assert section.name_or_path is not None
    source = sources.find(section.address, section.revision)
    local = source.directory is not None and not source.name.startswith("pkg://")
    name = source.name
    if local and source.directory is not None:
        name = str(source.directory.absolute() / (source.gguf_file or ""))
    commit = getattr(model.config, "_commit_hash", None) if source.directory is None else None
    settings: Any = model.active_peft_config
    trained_on = settings.base_model_name_or_path
    weights = None if trained_on is None else sources.weights_hash(Path(trained_on))
    settings.base_model_name_or_path = str(source.directory or name)
    settings.revision = commit
    # Otherwise peft asks the hub whether the vocabulary has grown.
    model.save_pretrained(str(directory), save_embedding_layers=False)
    (directory / "README.md").unlink(missing_ok=True)  # an empty form
    config = json.loads(model.config.to_json_string())
    base = Base(name, commit or source.revision, weights, config)
    text = json.dumps(asdict(base), indent=2)
    (directory / BASE).write_text(text + "\n", encoding="utf-8")


def read(directory: Path) -> Base:
    """The base of the adapters in a directory.

    Raises:
        UserError: nlpbench did not save them, or the file is damaged.
    """
    need_peft(f"the adapters in {directory}")
    file = directory / BASE
    if not file.is_file():
        raise UserError(
            f"{directory} holds adapters that do not say which model and labels they belong to (no "
            f"{BASE}); merge them with peft: PeftModel.from_pretrained(MODEL, "
            "DIR).merge_and_unload().save_pretrained(…)"
        )
    try:
        return Base(**json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise UserError(f"{file} is damaged: {error}") from error


def put_on(
    model: PreTrainedModel, fresh: Sequence[str], directory: Path
) -> tuple[PreTrainedModel, tuple[str, ...]]:
    """The base model with the adapters of a directory in it, and the trained head in its place.

    Returns:
        the model, and which of its `fresh` weights the adapters do not bring either.

    Raises:
        UserError: adapters that do not fit the model, or not all of them.
    """
    from peft import PeftModel
    from peft.utils import ModulesToSaveWrapper

    source = sources.ModelSource(str(directory), directory)
    with told_clearly(source, "adapters"), without_deprecations():
        warnings.filterwarnings("error", message="Found missing adapter keys")
        PeftModel.from_pretrained(model, str(directory))
    brought = []
    # The untrained head, which peft keeps beside the trained one, costs memory for nothing.
    for name, module in list(model.named_modules()):
        if isinstance(module, ModulesToSaveWrapper):
            parent, _, last = name.rpartition(".")
            [trained] = module.modules_to_save.values()
            setattr(model.get_submodule(parent), last, trained)
            brought.append(f"{name}.")
    return model, tuple(name for name in fresh if not name.startswith(tuple(brought)))
