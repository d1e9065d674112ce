"""What a tokenizer makes of a text, in one word: the same digest, the same tokens."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# What a call sets and the next one sets again.
STATE = ("truncation", "padding")


def tokenizer_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """The sha256 of the vocabulary, the rules, the special tokens and the library that reads them."""
    import tokenizers
    import transformers

    content: dict[str, Any] = {
        "class": type(tokenizer).__name__,
        "inputs": tokenizer.model_input_names,
        "pad": tokenizer.pad_token_id,
        "truncation_side": tokenizer.truncation_side,
        "versions": [transformers.__version__, tokenizers.__version__],
    }
    backend = getattr(tokenizer, "backend_tokenizer", None)
    content["rules"] = _saved(tokenizer) if backend is None else _rules(backend.to_str())
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _rules(text: str) -> dict[str, Any]:
    return {key: value for key, value in json.loads(text).items() if key not in STATE}


def _saved(tokenizer: PreTrainedTokenizerBase) -> dict[str, str]:
    """A tokenizer in Python knows only by its files what it is."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        return {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(Path(folder).iterdir())
        }
