"""The ROUGE scores of one row, by rouge-score."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rouge_score.rouge_scorer import RougeScorer

from nlpbench.evaluation.rouge_tokens import Tokenizer
from nlpbench.evaluation.sentence_splitting import split_sentences


@dataclass(frozen=True)
class Options:
    """What the scores of a row depend on, besides its texts."""

    types: tuple[str, ...]
    tokenizer: str
    stem: bool
    sentences: str


@lru_cache(maxsize=8)
def _scorer(options: Options) -> Any:
    tokenizer = Tokenizer(options.tokenizer, options.stem)
    return RougeScorer(list(options.types), tokenizer=tokenizer)


# Scores and their intervals come from the same rows, and common subsequences are slow to find.
@lru_cache(maxsize=1 << 16)
def row_scores(
    prediction: str, references: tuple[str, ...], options: Options
) -> tuple[tuple[float, float, float], ...]:
    """F-measure, precision and recall by type, each of the reference with the best F-measure."""
    lines = [one_sentence_a_line(text, options.sentences) for text in references]
    found = _scorer(options).score_multi(lines, one_sentence_a_line(prediction, options.sentences))
    return tuple(
        (float(score.fmeasure), float(score.precision), float(score.recall))
        for score in (found[key] for key in options.types)
    )


def one_sentence_a_line(text: str, sentences: str) -> str:
    """The text as rougeLsum reads it; `auto` leaves a text be that has lines already."""
    if sentences == "newline" or (sentences == "auto" and "\n" in text.strip()):
        return text
    return "\n".join(split_sentences(text))
