"""What a language model writes after a prompt, for people to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show
from nlpbench.tasks.language.windows import most_tokens
from nlpbench.tasks.writing.generation_settings import Generation
from nlpbench.tasks.writing.sampling import SeededDraw, processors

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from nlpbench.tasks.language.packing import Borders

NEW_TOKENS = 64
# As transformers draws where nothing else is asked for.
DRAWING = {"temperature": 1.0, "top_k": 50, "top_p": 1.0}


def check(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    settings: Generation,
    borders: Borders,
) -> None:
    """Raises UserError for prompts that the model cannot go on from."""
    if not prompts:
        return
    if not model.can_generate():
        raise UserError(
            f"task.prompts: this {model.config.model_type} model writes no text; take the key away"
        )
    limit = most_tokens(model)
    for prompt in prompts:
        ids = _ids(tokenizer, prompt, borders)
        if not ids:
            raise UserError(
                f"task.prompts: {show(prompt)} has no token, and the tokenizer none to begin with"
            )
        new = settings.max_new_tokens or 1
        if limit is not None and len(ids) + new > limit:
            raise UserError(
                f"task.prompts: {show(prompt)} has {len(ids)} tokens, and with {new} new ones "
                f"(generation.max_new_tokens) there are more than the {limit} that the model has "
                "positions for; shorten one of them"
            )


def continuations(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    settings: Generation,
    borders: Borders,
) -> list[str]:
    """What follows each prompt, without special tokens; the same at every call.

    A prompt stands at the beginning of a document, so after the token that begins one. Unless told
    how many, a model writes `NEW_TOKENS`, or fewer where its positions end.
    """
    import torch
    from transformers import GenerationConfig, LogitsProcessorList

    asked = settings.asked(NEW_TOKENS)
    drawn = asked.pop("do_sample")
    drawing = {name: asked.pop(name, value) for name, value in DRAWING.items()}
    limit = most_tokens(model)
    tokens = {
        "bos_token_id": borders.begin,
        "eos_token_id": borders.end,
        "pad_token_id": tokenizer.pad_token_id,
    }
    texts = []
    for number, prompt in enumerate(prompts):
        ids = torch.tensor([_ids(tokenizer, prompt, borders)], device=model.device)
        new = settings.max_new_tokens or NEW_TOKENS
        new = new if limit is None else min(new, limit - ids.shape[1])
        steps = LogitsProcessorList()
        if drawn:
            options: Any = GenerationConfig(do_sample=True, **drawing)  # type: ignore[no-untyped-call]
            draw = SeededDraw([number], settings.seed or 0, new)
            steps = processors(options, draw)
        plain = GenerationConfig(**{**asked, **tokens, "max_new_tokens": new})  # type: ignore[no-untyped-call]
        with _generating(model, plain), torch.inference_mode():
            found = model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), logits_processor=steps
            )
        written = found[0, ids.shape[1] :].tolist()
        texts.append(str(tokenizer.decode(written, skip_special_tokens=True)))
    return texts


def _ids(tokenizer: PreTrainedTokenizerBase, prompt: str, borders: Borders) -> list[int]:
    ids: Any = tokenizer(prompt, add_special_tokens=False, verbose=False)["input_ids"]
    return [*([] if borders.begin is None else [borders.begin]), *ids]


@contextmanager
def _generating(model: Any, settings: Any) -> Iterator[None]:
    """The model with these settings alone: `generate` would fill gaps from its own."""
    own, training = model.generation_config, model.training
    model.generation_config = settings
    model.eval()
    try:
        yield
    finally:
        model.generation_config = own
        model.train(training)
