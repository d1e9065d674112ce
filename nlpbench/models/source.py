"""Where a model's files are: a directory, a run, an installed package or the hub."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path

from nlpbench.config.errors import UserError

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
COMPRESSED_WEIGHTS = "compressed.safetensors"  # in nlpbench's own format
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
GGUF_NOTE = "gguf.json"  # beside weights that were unpacked from a GGUF file
GGUF = ".gguf"
TOKENIZERS = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
    "source.spm",
)


@dataclass(frozen=True)
class ModelSource:
    """What to hand to `from_pretrained`; `directory` is None for a hub id.

    Attributes:
        gguf_file: the file in it that holds the whole model, where it is not converted yet.
    """

    name: str
    directory: Path | None
    revision: str | None = None
    gguf_file: str | None = None

    @property
    def location(self) -> str:
        return self.name if self.directory is None else str(self.directory)


def find(
    name_or_path: str, revision: str | None = None, tokenizer_only: bool = False
) -> ModelSource:
    """The source of a model by name; a local one is checked for what can be told from its files.

    Args:
        name_or_path: may end in the name of a GGUF file.
        tokenizer_only: the model's configuration is not needed.

    Raises:
        UserError: no such directory or package, or one that holds no loadable model.
    """
    place, gguf_file = _parted(name_or_path)
    directory = _directory(place)
    if directory is None:
        return ModelSource(place, None, revision, gguf_file)
    if revision is not None:
        raise UserError(f"model.revision belongs to a hub model, and {name_or_path} is local")
    if gguf_file is not None and not (directory / gguf_file).is_file():
        found = _gguf_files(directory)
        advice = f"; it has {', '.join(found)}" if found else ""
        raise UserError(f"{directory} holds no file {gguf_file}{advice}")
    if tokenizer_only and gguf_file is None and _holds_tokenizer(directory):
        return ModelSource(name_or_path, directory)
    if gguf_file is None and not holds_model(directory):
        gguf_file = _only_gguf(directory)
    if gguf_file is None and not tokenizer_only:
        _check_configuration(directory)
    return ModelSource(name_or_path, directory, gguf_file=gguf_file)


def _parted(name_or_path: str) -> tuple[str, str | None]:
    """The directory, package or hub id, and the GGUF file in it if the name ends in one."""
    if not name_or_path.lower().endswith(GGUF):
        return name_or_path, None
    place, _, file = name_or_path.rpartition("/")
    return place or ".", file


def _directory(place: str) -> Path | None:
    """Where a local model is; None for a hub id."""
    if place.startswith("pkg://"):
        return _in_package(place)
    path = Path(place).expanduser()
    if path.is_dir():
        inner = path / "model"
        return inner if inner.is_dir() and not holds_model(path) else path
    if path.is_file():
        raise UserError(f"the model {place} is a file; name its directory")
    if place.startswith(("/", "./", "../", "~")) or place.count("/") > 1:
        raise UserError(f"there is no model directory {path.absolute()}")
    return None


def _check_configuration(directory: Path) -> None:
    if not holds_model(directory):
        found = (directory / "checkpoints").is_dir()
        advice = "; the run is unfinished: nlpbench finetune … --resume" if found else ""
        raise UserError(f"{directory} holds no config.json, so no model{advice}")
    for name in ("config.json", ADAPTER_CONFIG):
        if (directory / name).is_file():
            _check_config(directory / name)


def _only_gguf(directory: Path) -> str | None:
    """The GGUF file of a directory without another model.

    Raises:
        UserError: there are several.
    """
    found = _gguf_files(directory)
    if len(found) > 1:
        raise UserError(
            f"{directory} holds several GGUF files; set model.gguf_file to one of {', '.join(found)}"
        )
    return found[0] if found else None


def _gguf_files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if path.name.lower().endswith(GGUF))


def holds_model(directory: Path) -> bool:
    """Whether a model's configuration, or that of adapters for a model, is in a directory."""
    return any((directory / name).is_file() for name in ("config.json", ADAPTER_CONFIG))


def check(name_or_path: str, revision: str | None = None) -> None:
    """Raises UserError unless a model can be loaded, as far as its files tell without being read."""
    source = find(name_or_path, revision)
    check_weights(source)
    check_tokenizer(source)


def run_of(name_or_path: str) -> Path | None:
    """The run directory that a model belongs to, if it is of a run."""
    directory = Path(name_or_path).expanduser()
    for place in (directory, directory.parent):
        if (place / "config.yaml").is_file() and (place / "model").is_dir():
            return place
    return None


def check_weights(source: ModelSource) -> None:
    """Raises UserError unless a local model has whole safetensors files."""
    directory = source.directory
    if directory is None or source.gguf_file is not None:
        return
    if (directory / ADAPTER_CONFIG).is_file():
        _check_whole(directory / ADAPTER_WEIGHTS)
        return
    if not any((directory / name).is_file() for name in (*WEIGHTS, COMPRESSED_WEIGHTS)):
        if any((directory / name).is_file() for name in PICKLES):
            raise UserError(
                f"{directory} has its weights as a pickle (pytorch_model.bin), which can run code "
                "when it is read; convert it where you trust it: "
                "AutoModel.from_pretrained(DIR).save_pretrained(DIR)"
            )
        raise UserError(f"{directory} holds no weights (no {WEIGHTS[0]})")
    for file in weight_files(directory):
        _check_whole(file)


def check_tokenizer(source: ModelSource) -> None:
    """Raises UserError unless a local model has the files of a tokenizer."""
    directory = source.directory
    if directory is None or source.gguf_file is not None:
        return
    if not _holds_tokenizer(directory):
        raise UserError(
            f"{directory} holds no tokenizer (none of {', '.join(TOKENIZERS)}); "
            "name one with model.tokenizer"
        )


def _holds_tokenizer(directory: Path) -> bool:
    return any((directory / name).is_file() for name in TOKENIZERS)


def weight_files(directory: Path) -> list[Path]:
    """The safetensors files of a model directory, all shards; of adapters their own alone."""
    if (directory / ADAPTER_CONFIG).is_file():
        return [directory / ADAPTER_WEIGHTS]
    index = directory / WEIGHTS[1]
    if index.is_file():
        try:
            names = sorted(
                set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
            )
        except (ValueError, KeyError, AttributeError) as error:
            raise UserError(f"{index} is damaged: {error}") from error
        return [directory / name for name in names]
    return [
        directory / name
        for name in (WEIGHTS[0], COMPRESSED_WEIGHTS)
        if (directory / name).is_file()
    ]


def weights_hash(directory: Path) -> str:
    """`sha256:…` over the weight files of a model directory."""
    digest = hashlib.sha256()
    for file in weight_files(directory):
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return f"sha256:{digest.hexdigest()}"


def _check_config(file: Path) -> None:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file} is damaged: {error}") from error
    if not isinstance(values, dict):
        raise UserError(f"{file} is damaged: it holds no mapping")


def _check_whole(file: Path) -> None:
    from safetensors import SafetensorError, safe_open

    if not file.is_file():
        raise UserError(f"the weights file {file} is missing")
    try:
        with safe_open(file, framework="numpy"):
            pass
    except SafetensorError as error:
        raise UserError(
            f"{file} is damaged or cut short ({file.stat().st_size} bytes): {error}; "
            "copy or download it again"
        ) from error


def _in_package(url: str) -> Path:
    package, _, inner = url.removeprefix("pkg://").partition("/")
    try:
        spec = importlib.util.find_spec(package) if package.isidentifier() else None
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            f"{url}: the package {package} is not installed; "
            f"pip install {package.replace('_', '-')}"
        )
    directory = Path(spec.submodule_search_locations[0], inner)
    if not directory.is_dir():
        raise UserError(f"{url}: the package {package} holds no folder {inner}")
    return directory
