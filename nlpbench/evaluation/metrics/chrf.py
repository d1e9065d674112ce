"""chrF and chrF++."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from nlpbench.evaluation.sacrebleu_score import SacrebleuScore

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric as Scorer


class Chrf(SacrebleuScore):
    """The F-score of character n-grams, of the whole corpus, from 0 to 100.

    chrF: Popović 2015, "chrF: character n-gram F-score for automatic MT evaluation"; with
    `word_order: 2` chrF++: Popović 2017, "chrF++: words helping character n-grams". Arithmetic and
    signature: sacrebleu. A text counts against the reference that it scores best with. It needs
    no tokenizer, so it suits every script. The keys are `chrf` and `chrf_pp`, a p for each word
    order.

    ```yaml
    metrics:
      - chrf
      - {name: chrf, word_order: 2}
      - {name: chrf, char_order: 4, beta: 3, lowercase: true}
      - {name: chrf, whitespace: true, eps_smoothing: true}
    ```
    """

    char_order: int = Field(6, ge=1, le=20, description="longest n-gram of characters")
    word_order: int = Field(
        0, ge=0, le=5, description="longest n-gram of words: 0 is chrF, 2 is chrF++"
    )
    beta: int = Field(2, ge=1, le=10, description="weight of recall against precision")
    lowercase: bool = Field(False, description="ignore case")
    whitespace: bool = Field(False, description="count spaces as characters")
    eps_smoothing: bool = Field(
        False, description="a tiny score for an order without a match, as chrF++.py and NLTK give"
    )

    @property
    def keys(self) -> tuple[str, ...]:
        return (f"{self.key}_{'p' * self.word_order}" if self.word_order else self.key,)

    def scorer(self) -> Scorer:
        from sacrebleu.metrics.chrf import CHRF

        return CHRF(
            char_order=self.char_order,
            word_order=self.word_order,
            beta=self.beta,
            lowercase=self.lowercase,
            whitespace=self.whitespace,
            eps_smoothing=self.eps_smoothing,
        )

    def not_in_signature(self) -> list[str]:
        return [f"beta:{self.beta}"] if self.beta != 2 else []
