"""Has a model and its tokenizer write as the task asks."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError
from nlpbench.models.generation import generation_settings
from nlpbench.models.languages import has_languages, set_languages
from nlpbench.models.token_ids import token_id
from nlpbench.tasks import Task

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

logger = logging.getLogger("nlpbench")


def settle(
    task: Task, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> dict[str, Any]:
    """Gives the tokenizer the languages and the model the settings to write with.

    Returns:
        what a record says of it: the final settings, and those of the checkpoint that are not
        used; nothing for a task that writes nothing.

    Raises:
        UserError: languages that the tokenizer does not have, or settings that cannot be.
    """
    asked = task.generation_settings
    if asked is None:
        return {}
    language = _settle_languages(task, tokenizer)
    ends = {"eos_token_id": _ends(model, tokenizer)}
    settings = generation_settings(model, {**ends, **language, **asked})
    settings.put_onto(model)
    if not settings.differs:
        return {"generation": settings.told}
    told = ", ".join(f"{name} {value}" for name, value in sorted(settings.differs.items()))
    logger.info(
        "what the checkpoint says of generation is not used (%s); write task.generation to use it",
        told,
    )
    return {"generation": settings.told, "generation_of_checkpoint": settings.differs}


def _settle_languages(task: Task, tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    source, target = task.languages
    if not has_languages(tokenizer):
        return {}
    known: Any = tokenizer
    if task.name == "translation" and (source is None or target is None):
        raise UserError(
            "this tokenizer marks texts with their language; write task.source_language and "
            "task.target_language with codes that it has, such as "
            f"{', '.join(map(str, tokenizer.extra_special_tokens[:3]))}"
        )
    source = source or known.src_lang
    return set_languages(tokenizer, source, target or known.tgt_lang or source)


def _ends(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int | list[int] | None:
    """Where the model stops: where it always did, and where its targets end."""
    own = getattr(model.generation_config, "eos_token_id", None)
    ends = list(own) if isinstance(own, list) else [] if own is None else [own]
    found = token_id(tokenizer, "eos")
    if found is not None and found not in ends:
        ends.append(found)
    return ends[0] if len(ends) == 1 else ends or None
