"""How much of a right answer a text holds, by the rules of SQuAD (Rajpurkar et al. 2016, 2018)."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def normalise(answer: str) -> str:
    """Lower case, no ASCII punctuation, no English articles, single spaces."""
    bare = answer.lower().translate(_WITHOUT_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def token_f1(prediction: str, answer: str) -> float:
    """F1 of the words that two normalised answers share; two empty answers agree."""
    predicted, actual = prediction.split(), answer.split()
    if not predicted or not actual:
        return float(predicted == actual)
    shared = sum((Counter(predicted) & Counter(actual)).values())
    return 2 * shared / (len(predicted) + len(actual))


def best_f1(prediction: str, answers: Sequence[str]) -> float:
    """F1 with the closest of the right answers; an empty prediction is right where there is none."""
    right = [answer for answer in map(normalise, answers) if answer] or [""]
    guess = normalise(prediction)
    return max(token_f1(guess, answer) for answer in right)
