"""What a model writes for a batch of prompts or sources, as tokens and as text."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nlpbench.tasks import Bundle

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from transformers import PreTrainedModel


def is_encoder_decoder(model: PreTrainedModel) -> bool:
    return bool(model.config.is_encoder_decoder)


def write(bundle: Bundle, batch: Mapping[str, torch.Tensor], seed: int) -> list[NDArray[Any]]:
    """The tokens that a model writes for each row, up to its end token where it comes to it.

    Args:
        batch: `input_ids` and `attention_mask`; to sample, `example` too, the numbers of the rows.
        seed: of sampling.
    """
    import numpy as np

    model, settings = bundle.model, bundle.model.generation_config
    options: dict[str, Any] = {"generation_config": settings}
    if settings.do_sample:
        options = _drawing(settings, batch, seed)
    written = model.generate(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], **options
    )
    start = 1 if is_encoder_decoder(model) else batch["input_ids"].shape[1]
    ends = _ends(bundle)
    found = []
    for row in written[:, start:].cpu().numpy().astype(np.int32):
        stops = np.flatnonzero(np.isin(row, ends))
        found.append(row[: stops[0] + 1] if len(stops) else row)
    return found


def read(
    bundle: Bundle, written: NDArray[Any] | Sequence[NDArray[Any]]
) -> tuple[list[str], list[bool]]:
    """The texts of tokens that were written, and whether each came to its end."""
    import numpy as np

    ends = _ends(bundle)
    finished = [bool(len(ids) and np.isin(ids[-1], ends)) for ids in written]
    kept = [ids[:-1] if done else ids for ids, done in zip(written, finished, strict=True)]
    texts: Any = bundle.tokenizer.batch_decode(
        [ids.tolist() for ids in kept],
        skip_special_tokens=True,
        clean_up_tokenization_spaces=False,
    )
    return [text.strip() for text in texts], finished


def _drawing(settings: Any, batch: Mapping[str, torch.Tensor], seed: int) -> dict[str, Any]:
    """Sampling as greedy search among scores of which the draw has left one a row."""
    from nlpbench.tasks.writing.sampling import SeededDraw, processors

    greedy = copy.deepcopy(settings)
    greedy.do_sample = False
    greedy.temperature, greedy.top_k, greedy.top_p = 1.0, 50, 1.0  # what says nothing there
    draw = SeededDraw(batch["example"].tolist(), seed, settings.max_new_tokens)
    return {"generation_config": greedy, "logits_processor": processors(settings, draw)}


def _ends(bundle: Bundle) -> list[int]:
    """The tokens at which the model stops."""
    found = bundle.model.generation_config.eos_token_id
    return found if isinstance(found, list) else [] if found is None else [found]
