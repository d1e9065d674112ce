"""Features of several texts each: S lists of tokens, which become tensors (n, S, L)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from nlpbench.tasks import Collate


def check_room(tokenizer: PreTrainedTokenizerBase, max_length: int, pair: bool = False) -> None:
    """Raises UserError where the special tokens leave no room for any other."""
    special = tokenizer.num_special_tokens_to_add(pair=pair)
    if special >= max_length:
        raise UserError(
            f"task.max_length is {max_length}, and {special} tokens of every text are special "
            "ones; make it longer"
        )


def encode(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[Sequence[str]],
    max_length: int,
    pairs: Sequence[Sequence[str]] | None = None,
) -> dict[str, list[Any]]:
    """The columns of n features: what the model takes, S lists of tokens each, and the lengths.

    `length` is the sum over the S texts, and so is `whole_length`, which counts what was cut off.

    Args:
        texts: n rows of S texts; not one row may have another S.
        pairs: as many second texts. The longer one of a pair is cut first.
    """
    size = len(texts[0])
    firsts = list(chain.from_iterable(texts))
    seconds = None if pairs is None else list(chain.from_iterable(pairs))
    # Every text is encoded whole once, so that what is cut off can be counted.
    whole = tokenizer(firsts, seconds, truncation=False, verbose=False)
    columns = {key: list(whole[key]) for key in tokenizer.model_input_names if key in whole}
    whole_lengths = [max(1, len(ids)) for ids in whole["input_ids"]]
    long = [place for place, length in enumerate(whole_lengths) if length > max_length]
    if long:
        cut = tokenizer(
            [firsts[place] for place in long],
            None if seconds is None else [seconds[place] for place in long],
            truncation=True,
            max_length=max_length,
        )
        for key, column in columns.items():
            for number, place in enumerate(long):
                column[place] = cut[key][number]
    _fill_empty(tokenizer, columns)
    lengths = [len(ids) for ids in columns["input_ids"]]
    return {
        **{key: _stacked(column, size) for key, column in columns.items()},
        "length": [sum(stack) for stack in _stacked(lengths, size)],
        "whole_length": [sum(stack) for stack in _stacked(whole_lengths, size)],
    }


def collate(tokenizer: PreTrainedTokenizerBase) -> Collate:
    """Makes batches of such features: (n, S, L) for what the model takes, and `labels`."""
    import torch
    from transformers import DataCollatorWithPadding

    pad = DataCollatorWithPadding(tokenizer)

    def stack(features: list[dict[str, Any]]) -> Mapping[str, torch.Tensor]:
        keys = [key for key in tokenizer.model_input_names if key in features[0]]
        texts = [
            dict(zip(keys, text, strict=True))
            for row in features
            for text in zip(*(row[key] for key in keys), strict=True)
        ]
        padded = pad(texts)
        batch = {
            key: value.view(len(features), -1, value.shape[-1]) for key, value in padded.items()
        }
        if "labels" in features[0]:
            batch["labels"] = torch.tensor([row["labels"] for row in features])
        return batch

    return stack


def _stacked(column: Sequence[Any], size: int) -> list[list[Any]]:
    return [list(column[start : start + size]) for start in range(0, len(column), size)]


def _fill_empty(tokenizer: PreTrainedTokenizerBase, columns: Mapping[str, list[Any]]) -> None:
    # A tokenizer without special tokens, such as GPT-2's, makes nothing of an empty text, and a
    # model cannot read nothing: it reads one end-of-text token.
    only = {"input_ids": tokenizer.pad_token_id, "attention_mask": 1}
    for place in [place for place, ids in enumerate(columns["input_ids"]) if not ids]:
        for key, column in columns.items():
            column[place] = [only.get(key, 0)]
