"""Multilingual translators (mBART, M2M-100, NLLB), which are told the languages by tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError
from nlpbench.config.problems import suggest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def has_languages(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a tokenizer marks texts with their language."""
    return hasattr(tokenizer, "src_lang") and hasattr(tokenizer, "tgt_lang")


def set_languages(
    tokenizer: PreTrainedTokenizerBase, source: str | None, target: str | None
) -> dict[str, int]:
    """Has a tokenizer mark sources and targets with their languages, also once it is saved.

    Args:
        source: the code as the tokenizer has it, such as en_XX; its own stays where None.
        target: likewise.

    Returns:
        the token id that makes a model write in the target language, by its name among the
        generation settings: `forced_bos_token_id`, or for the first mBART, which begins with the
        language, `decoder_start_token_id`; empty where no target is told.

    Raises:
        UserError: a tokenizer without languages, or one that does not have these.
    """
    if not has_languages(tokenizer):
        raise UserError(
            "task.source_language and task.target_language: this tokenizer has no language codes; "
            "leave them out"
        )
    for name, key, code in (("src_lang", "source", source), ("tgt_lang", "target", target)):
        if code is not None:
            _token_id(tokenizer, code, f"task.{key}_language")
            setattr(tokenizer, name, code)
            tokenizer.init_kwargs[name] = code
    if target is None:
        return {}
    language = _token_id(tokenizer, target, "task.target_language")
    around: Any = tokenizer(text_target="")["input_ids"]
    begins = len(around) > 0 and around[0] == language
    return {"forced_bos_token_id" if begins else "decoder_start_token_id": language}


def _token_id(tokenizer: PreTrainedTokenizerBase, code: str, key: str) -> int:
    named = getattr(tokenizer, "lang_code_to_token", {}).get(code, code)  # M2M-100: __en__
    found: Any = tokenizer.convert_tokens_to_ids(named)
    if (
        found is None
        or found == tokenizer.unk_token_id
        or named not in tokenizer.all_special_tokens
    ):
        known = [str(token) for token in tokenizer.extra_special_tokens]
        raise UserError(f"{key}: the tokenizer has no language {code}; {suggest(code, known)}")
    return int(found)
