"""Models of one GGUF file: converted to a plain directory once, and read from there ever after."""

from __future__ import annotations

import atexit
import functools
import hashlib
import json
import logging
import shutil
import tempfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpbench.config.cache_home import ENVIRONMENT, cache_home
from nlpbench.config.errors import UserError
from nlpbench.models.blank_tokenizer import wrapped
from nlpbench.models.hub import told_clearly
from nlpbench.models.source import GGUF_NOTE, ModelSource, check_weights

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

logger = logging.getLogger("nlpbench")
MAGIC = b"GGUF"
VERSION = 1  # of what a directory holds; a new one forgets all
BLOCK = 1 << 20


def converted(source: ModelSource) -> ModelSource:
    """The source itself, or for a GGUF file the directory that it was converted to.

    transformers unpacks the quantised weights of a GGUF file to float32 at each loading, which
    takes many times as long as reading them. They are unpacked once, into the cache, in a
    directory named after the file's content, so that two files never share one; a directory is
    renamed into place when it is whole.

    Raises:
        UserError: the package gguf is missing, or the file is damaged or of an unknown kind.
    """
    if source.gguf_file is None:
        return source
    file = _fetched(source)
    check(file)
    key = _digest(file)
    try:
        directory = _kept(cache_home() / "models", key, file, source)
    except OSError as error:
        _note_once(str(error))
        directory = _kept(_temporary(), key, file, source)
    return replace(source, directory=directory, gguf_file=None)


def check(file: Path) -> None:
    """Raises UserError for a file that cannot be converted, as far as its first bytes tell."""
    if find_spec("gguf") is None:
        raise UserError(f"{file.name} needs the package gguf; pip install 'nlpbench[gguf]'")
    with file.open("rb") as stream:
        if stream.read(len(MAGIC)) != MAGIC:
            raise UserError(f"{file} is no GGUF file; copy or download it again")


def _fetched(source: ModelSource) -> Path:
    from transformers.utils.hub import cached_file

    assert source.gguf_file is not None
    if source.directory is not None:
        return source.directory / source.gguf_file
    with told_clearly(source, "GGUF file"):
        revision = source.revision or "main"
        return Path(str(cached_file(source.name, source.gguf_file, revision=revision)))


def _digest(file: Path) -> str:
    """Of the content, and of what made something else of it."""
    import transformers

    digest = hashlib.sha256(f"{VERSION} {transformers.__version__} ".encode())
    with file.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _kept(folder: Path, key: str, file: Path, source: ModelSource) -> Path:
    from filelock import FileLock

    place = folder / key
    if _is_whole(place, source):
        return place
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{key}.lock"):
        if _is_whole(place, source):
            return place
        if place.exists():
            logger.info("%s is damaged and is made again", place)
            shutil.rmtree(place)
        logger.info("unpacking %s into %s, which is done once", file, place)
        with tempfile.TemporaryDirectory(dir=folder, prefix=f"{key}.") as workshop:
            part = Path(workshop) / "model"
            _convert(file, part, source)
            part.rename(place)
    return place


def _is_whole(place: Path, source: ModelSource) -> bool:
    if not (place / GGUF_NOTE).is_file():
        return False
    try:
        check_weights(replace(source, directory=place, gguf_file=None))
    except UserError:
        return False
    return True


def _convert(file: Path, directory: Path, source: ModelSource) -> None:
    import torch
    from transformers import AutoConfig, AutoTokenizer

    where: dict[str, Any] = {
        "pretrained_model_name_or_path": str(file.parent),
        "gguf_file": file.name,
    }
    with told_clearly(source, "GGUF file"):
        config = AutoConfig.from_pretrained(**where)
        loader = _loader(config)
        unpacked = loader.from_pretrained(**where, dtype=torch.float32)
        # transformers takes it for a quantised model, which it does not save.
        model: PreTrainedModel = loader.from_config(config, dtype=torch.float32)
        model.load_state_dict(unpacked.state_dict())
        model.generation_config = unpacked.generation_config
        model.save_pretrained(directory)
        tokenizer = _own_tokens(AutoTokenizer.from_pretrained(**where), config.vocab_size)
        tokenizer.save_pretrained(directory)
    note = {"file": file.name, "bytes": file.stat().st_size}
    (directory / GGUF_NOTE).write_text(json.dumps(note) + "\n", encoding="utf-8")


def _own_tokens(tokenizer: PreTrainedTokenizerBase, entries: int) -> PreTrainedTokenizerBase:
    """The tokenizer without what transformers adds where a file names no unknown token."""
    if len(tokenizer) <= entries:
        return tokenizer
    rules = json.loads(tokenizer.backend_tokenizer.to_str())
    rules["added_tokens"] = [token for token in rules["added_tokens"] if token["id"] < entries]
    known = {token["content"] for token in rules["added_tokens"]}
    named = {role: one for role, one in tokenizer.special_tokens_map.items() if one in known}
    return wrapped(rules, [], named, chat_template=tokenizer.chat_template)


def _loader(config: Any) -> Any:
    """The class with as much of a head as the file can have."""
    from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    for loader in (AutoModelForSeq2SeqLM, AutoModelForCausalLM):
        if type(config) in loader._model_mapping:
            return loader
    return AutoModel


@functools.cache
def _note_once(reason: str) -> None:
    logger.warning(
        "the cache cannot be written (%s): a GGUF file is unpacked into a temporary directory, and "
        "the next run does it again; set %s to a directory that can be written",
        reason,
        ENVIRONMENT,
    )


@functools.cache
def _temporary() -> Path:
    """A directory that goes when the process ends."""
    place = tempfile.mkdtemp(prefix="nlpbench-")
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return Path(place)
