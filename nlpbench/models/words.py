"""Tokenizers that read lists of words, and see each word as they would inside of a text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def for_words(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """The same tokenizer, which now can be called with `is_split_into_words=True`.

    Byte-level tokenizers (RoBERTa, BART, GPT-2, Llama, ModernBERT) take a word without a space in
    front of it for the inside of another word, so would never see the words that they know. They
    are set to put a space in front of every word, as in a text. The others mark where words begin
    already. The setting is saved with the tokenizer; setting it again does nothing.
    """
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return tokenizer
    rules = json.loads(backend.to_str())
    before = rules["pre_tokenizer"] or {}
    if before.get("type") == "ByteLevel":
        _put_space(tokenizer, rules)
    elif _is_byte_level(before) and not _prepends(rules["normalizer"]):
        # Behind another rule, ByteLevel would put spaces into words.
        from tokenizers import normalizers

        space = normalizers.Prepend(" ")
        own = [backend.normalizer] if backend.normalizer is not None else []
        backend.normalizer = normalizers.Sequence([*own, space])
    return tokenizer


def _put_space(tokenizer: PreTrainedTokenizerBase, rules: dict[str, Any]) -> None:
    from tokenizers import Tokenizer

    backend: Any = tokenizer.backend_tokenizer
    rules["pre_tokenizer"]["add_prefix_space"] = True
    after = rules["post_processor"]
    # What trims offsets must know which spaces are not of the text.
    for part in after.get("processors", [after]) if after else []:
        if "add_prefix_space" in part:
            part["add_prefix_space"] = True
    changed = Tokenizer.from_str(json.dumps(rules))
    backend.pre_tokenizer = changed.pre_tokenizer
    if after:
        backend.post_processor = changed.post_processor
    # Classes with rules of their own make these anew from their options.
    tokenizer.add_prefix_space = True
    tokenizer.init_kwargs["add_prefix_space"] = True


def _is_byte_level(rule: dict[str, Any]) -> bool:
    parts = rule.get("pretokenizers", [])
    return rule.get("type") == "ByteLevel" or any(map(_is_byte_level, parts))


def _prepends(rule: dict[str, Any] | None) -> bool:
    if rule is None:
        return False
    return rule["type"] == "Prepend" or any(map(_prepends, rule.get("normalizers", [])))
