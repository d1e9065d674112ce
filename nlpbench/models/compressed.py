"""Compressed models on disk: plain where transformers can express them, else in a format of our own.

Beside the weights stands compression.json: how the model was made, from which weights, and what its
configuration cannot say. Weights in our format have a name of their own, so that plain transformers
finds none rather than reads half of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError
from nlpbench.models.layout import Layout, blank
from nlpbench.models.source import COMPRESSED_WEIGHTS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NOTE = "compression.json"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Note:
    """What compression.json says.

    Attributes:
        original: name and weights hash of the model that the chain began with.
        steps: the methods with their options, in their order.
        format: `transformers` loads with from_pretrained, `nlpbench` with our own loader, `onnx` with
            onnxruntime.
        dtype: the model computes in this one, where it is not float32.
        facts: of the format, such as the layout or the inputs of an ONNX graph.
    """

    original: Mapping[str, Any]
    steps: Sequence[Mapping[str, Any]]
    format: str = "transformers"
    dtype: str | None = None
    facts: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "original": dict(self.original),
            "steps": [dict(step) for step in self.steps],
            "format": self.format,
            "dtype": self.dtype,
            "facts": dict(self.facts or {}),
        }


def read_note(directory: Path) -> Note | None:
    """The note of a compressed model; None where the model is none.

    Raises:
        UserError: a damaged one, or one of a newer version.
    """
    file = directory / NOTE
    if not file.is_file():
        return None
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        version = values.pop("schema_version")
        if version > SCHEMA_VERSION:
            raise UserError(f"{file} has schema version {version}; install a newer nlpbench")
        return Note(**{key: values[key] for key in Note.__dataclass_fields__})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{file} is damaged: {error}") from error


def write_note(directory: Path, note: Note) -> None:
    text = json.dumps(note.to_json(), indent=1, ensure_ascii=False)
    (directory / NOTE).write_text(text + "\n", encoding="utf-8")


def save(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    directory: Path,
    original: Mapping[str, Any],
    steps: Sequence[Mapping[str, Any]],
) -> None:
    """Writes a model after its last step: plain if its configuration says all, else our own format."""
    from safetensors.torch import save_model

    from nlpbench.models.save import disk_errors
    from nlpbench.models.save import save as save_plain

    dtype = str(model.dtype).removeprefix("torch.")
    told = None if dtype == "float32" else dtype
    layout = Layout.of(model)
    if not layout:
        save_plain(model, tokenizer, directory)
        write_note(directory, Note(original, steps, "transformers", told))
        return
    with disk_errors(directory):
        model.config.architectures = [type(model).__name__]
        model.config.save_pretrained(directory)
        if model.can_generate():
            model.generation_config.save_pretrained(directory)
        save_model(model, str(directory / COMPRESSED_WEIGHTS))
        tokenizer.save_pretrained(directory)
    mode = (directory / "config.json").stat().st_mode
    (directory / COMPRESSED_WEIGHTS).chmod(mode)
    write_note(directory, Note(original, steps, "nlpbench", told, {"layout": layout.to_json()}))


def load(directory: Path, note: Note, make: Callable[..., Any], config: Any, **options: Any) -> Any:
    """A model in our own format, ready to predict.

    Args:
        make: builds a model of the architecture from its configuration and the options.

    Raises:
        UserError: files that do not fit together.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_model
    from transformers import GenerationConfig

    model = blank(make, config, **options)
    facts = note.facts or {}
    Layout(**facts.get("layout", {})).put_on(model)
    model.tie_weights()
    try:
        load_model(model, str(directory / COMPRESSED_WEIGHTS))
    except (RuntimeError, SafetensorError, OSError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"{directory} is damaged: weights and compression.json differ: {reason}"
        ) from error
    if note.dtype is not None:
        model.to(getattr(torch, note.dtype))
    if model.can_generate() and (directory / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(directory)
    return model.eval()
