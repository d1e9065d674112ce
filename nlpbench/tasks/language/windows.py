"""Which tokens a model sees, and which it is scored on, where a document is longer than its context."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Window:
    """Consecutive tokens of a document.

    Attributes:
        ids: what the model reads, all but the last one, and what it is to say, all but the first.
        scored: how many of the last ones are scored; what stands before them is context.
    """

    ids: list[int]
    scored: int


def strided(ids: list[int], context: int, stride: int) -> Iterator[Window]:
    """Windows that begin every `stride` tokens; each scores what none before it has.

    All tokens but the first one are scored once, those after the first window with `context` -
    `stride` + 1 tokens before them at least, and `context` at most.

    Args:
        context: tokens that the model reads at once.
        stride: from 1 to `context`.
    """
    done = 1
    for begin in range(0, max(1, len(ids)), stride):
        end = min(begin + context + 1, len(ids))
        if end > done:
            yield Window(ids[begin:end], end - done)
            done = end


def rolling(ids: list[int], prefix: int, context: int) -> Iterator[Window]:
    """Windows of `context` tokens side by side, all of them scored, as in lm-evaluation-harness.

    The first token is said after `prefix`, the first one of every later window after the token
    before it. The last window reaches back until it is full too: what is scored in it has
    context from the window before.
    """
    for begin in range(0, len(ids), context):
        end = min(begin + context, len(ids))
        before = ids[end - context - 1 : begin] if begin else [prefix]
        yield Window([*before, *ids[begin:end]], end - begin)


def most_tokens(model: Any) -> int | None:
    """The most tokens that a model with a left-to-right head reads at once; None without a limit."""
    config = model.config.get_text_config()
    limit = getattr(config, "max_position_embeddings", None)
    for name, table in model.named_modules():
        # RoBERTa's kind counts positions from the one after that of padding.
        if name.endswith("position_embeddings") and getattr(table, "padding_idx", None) is not None:
            limit = int(table.num_embeddings) - table.padding_idx - 1
    return limit if isinstance(limit, int) and limit > 0 else None
