"""Saves a model as a plain Hugging Face directory."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from nlpbench.config.sections import ModelSection
from nlpbench.models import adapted
from nlpbench.models.source import GGUF_NOTE, weight_files

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def save(
    model: PreTrainedModel | PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    directory: Path,
    section: ModelSection | None = None,
) -> None:
    """Writes configuration, safetensors weights and tokenizer, as `from_pretrained` reads them.

    Args:
        section: where the base of adapters was loaded from; only these are written then.
    """
    from accelerate.utils import is_peft_model

    _drop_unset(model.config)
    with disk_errors(directory):
        if is_peft_model(model):
            assert section is not None
            adapted.save(cast(Any, model), section, directory)
        else:
            cast(Any, model).save_pretrained(directory)
        tokenizer.save_pretrained(directory)
    # safetensors makes files that only their owner can read; the others are as the umask says.
    mode = (directory / "tokenizer_config.json").stat().st_mode
    for file in weight_files(directory):
        file.chmod(mode)


def _drop_unset(config: Any) -> None:
    """Takes nlpbench's own entries out of a configuration where they say nothing."""
    for key in [key for key in vars(config) if key.startswith("nlpbench_")]:
        if getattr(config, key) is None:
            delattr(config, key)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Raises OSError for a full disk, which the writers of weights tell in words of their own."""
    from safetensors import SafetensorError

    try:
        yield
    except SafetensorError as error:
        found = re.search(r"os error (\d+)", str(error))
        if found is None:
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1])), str(path)) from error
    except RuntimeError as error:
        if "PytorchStreamWriter" not in str(error) and "inline_container" not in str(error):
            raise
        # torch.save loses the system's reason; there is hardly another.
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error


def size_mb(directory: Path) -> float:
    """Megabytes (10^6 bytes) of the weight files; of a GGUF file's own, not as it was unpacked."""
    if (directory / GGUF_NOTE).is_file():
        note = json.loads((directory / GGUF_NOTE).read_text(encoding="utf-8"))
        return float(note["bytes"]) / 1e6
    return sum(file.stat().st_size for file in weight_files(directory)) / 1e6
