"""Two systems that answered the same examples, with as much or as little between them as asked."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
from noisy_texts import SENTENCES, as_array, noisy

from nlpbench.evaluation.answered import Answered
from nlpbench.tasks import Predictions

LABELS = ["no", "yes"]


def labelled(
    references: Sequence[int] | np.ndarray,
    predictions: Sequence[int] | np.ndarray,
    labels: Sequence[str] = LABELS,
    **more: Any,
) -> Answered:
    return answered("labels", np.asarray(references), np.asarray(predictions), labels, **more)


def answered(
    answer: Any,
    references: np.ndarray,
    predictions: np.ndarray,
    labels: Sequence[str] = (),
    *,
    probabilities: np.ndarray | None = None,
    ids: Sequence[Any] | None = None,
    clusters: Sequence[Any] | None = None,
) -> Answered:
    return Answered(
        answer,
        list(labels),
        list(range(len(references)) if ids is None else ids),
        references,
        Predictions(predictions, probabilities),
        None if clusters is None else list(clusters),
    )


def of_accuracy(
    one: float, other: float, n: int, seed: int, **more: Any
) -> tuple[Answered, Answered]:
    """Systems that are right with these probabilities, each on its own, with two labels."""
    chance = np.random.default_rng(seed)
    references = chance.integers(0, 2, n)
    sides = [
        np.where(chance.random(n) < share, references, 1 - references) for share in (one, other)
    ]
    return labelled(references, sides[0], **more), labelled(references, sides[1], **more)


def translations(
    n: int, seed: int, extra: float = 0.0
) -> tuple[list[str], list[str], list[str], tuple[Answered, Answered]]:
    """References, the texts of two systems, and the same as answers.

    Args:
        extra: the share of texts that the second system spoils once more.
    """
    chance = random.Random(seed)
    right = [SENTENCES[number % len(SENTENCES)] for number in range(n)]
    one = [noisy(text, chance) for text in right]
    other = [noisy(text, chance) for text in right]
    other = [noisy(text, chance) if chance.random() < extra else text for text in other]
    references = as_array([[text] for text in right])
    pair = tuple(answered("texts", references, as_array(texts)) for texts in (one, other))
    return right, one, other, pair  # type: ignore[return-value]
