"""BLEU."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from nlpbench.config.problems import Invalid, Problem, show
from nlpbench.evaluation.sacrebleu_score import SacrebleuScore
from nlpbench.evaluation.text_checks import WRITTEN_WITHOUT_SPACES, check_spaceless

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sacrebleu.metrics.base import Metric as Scorer

    Array = NDArray[Any]

Tokenizer = Literal[
    "13a",
    "intl",
    "zh",
    "char",
    "none",
    "ja-mecab",
    "ko-mecab",
    "flores101",
    "flores200",
    "spBLEU-1K",
]
OF_LANGUAGE: dict[str, Tokenizer] = {"zh": "zh", "ja": "ja-mecab", "ko": "ko-mecab"}
UNREADABLE = {"th": "Thai", "lo": "Lao", "km": "Khmer", "my": "Burmese"}
ADVICE = {
    "Chinese": "set tokenize: zh or target_language: zh",
    "Japanese": "set tokenize: ja-mecab or target_language: ja",
}
READS = {
    "zh": {"Chinese"},
    "ja-mecab": {"Chinese", "Japanese"},
    "char": set(WRITTEN_WITHOUT_SPACES),
    "flores101": set(WRITTEN_WITHOUT_SPACES),
    "flores200": set(WRITTEN_WITHOUT_SPACES),
    "spBLEU-1K": set(WRITTEN_WITHOUT_SPACES),
}


class Bleu(SacrebleuScore):
    """How many word n-grams of the predictions stand in the references, with a brevity penalty.

    From 0 to 100, of the whole corpus: Papineni et al. 2002, "BLEU: a Method for Automatic
    Evaluation of Machine Translation". Arithmetic and signature: sacrebleu (Post 2018, "A Call for
    Clarity in Reporting BLEU Scores"). Predictions and references are raw text: sacrebleu
    tokenises both. The tokenizer must know the script: `target_language` picks one, or `tokenize`
    names it (`none` for text that is tokenised on purpose).

    ```yaml
    metrics:
      - bleu
      - {name: bleu, target_language: zh}
      - {name: bleu, tokenize: intl, lowercase: true}
      - {name: bleu, smooth_method: floor, smooth_value: 0.05, max_ngram_order: 2}
      - {name: bleu, effective_order: true}
    ```
    """

    tokenize: Tokenizer | None = Field(
        None, description="sacrebleu's tokenizer; that of target_language, else 13a, unless told"
    )
    target_language: str | None = Field(
        None, description="ISO 639-1 code of the texts' language, such as zh: picks the tokenizer"
    )
    lowercase: bool = Field(False, description="ignore case")
    smooth_method: Literal["exp", "floor", "add-k", "none"] = Field(
        "exp", description="what becomes of an n-gram order without a match"
    )
    smooth_value: float | None = Field(
        None, gt=0, description="value of floor (0.1 unless told) or of add-k (1 unless told)"
    )
    max_ngram_order: int = Field(4, ge=1, le=20, description="longest n-gram, in tokens")
    effective_order: bool = Field(
        False, description="leave out orders longer than the texts; for single short texts"
    )

    @model_validator(mode="after")
    def one_thing_picks_the_tokenizer(self) -> Bleu:
        code = self.target_language
        if code is None:
            return self
        if self.tokenize is not None:
            raise Invalid(
                Problem(
                    ("target_language",),
                    f"picks the tokenizer, as tokenize: {self.tokenize} does already",
                    "leave one of them out",
                    at_key=True,
                )
            )
        if not (len(code) == 2 and code.isascii() and code.islower()):
            raise Invalid(
                Problem(
                    ("target_language",),
                    f"must be an ISO 639-1 code of two small letters (got {show(code)})",
                    "write zh, ja, ko, de or the like",
                )
            )
        if code in UNREADABLE:
            raise Invalid(
                Problem(
                    ("target_language",),
                    f"sacrebleu has no tokenizer of its own for {UNREADABLE[code]}",
                    "write tokenize: flores200 or tokenize: char instead",
                )
            )
        return self

    @model_validator(mode="after")
    def smooth_value_goes_with_its_method(self) -> Bleu:
        if self.smooth_value is not None and self.smooth_method in ("exp", "none"):
            raise Invalid(
                Problem(
                    ("smooth_value",),
                    "applies to smooth_method: floor and add-k only "
                    f"(got smooth_method: {self.smooth_method})",
                    at_key=True,
                )
            )
        return self

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that the options pick."""
        return self.tokenize or OF_LANGUAGE.get(self.target_language or "", "13a")

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key,)

    def scorer(self) -> Scorer:
        from nlpbench.evaluation.bleu_tokenizer import bleu_scorer

        return bleu_scorer(
            self.tokenizer,
            lowercase=self.lowercase,
            smooth_method=self.smooth_method,
            smooth_value=self.smooth_value,
            max_ngram_order=self.max_ngram_order,
            effective_order=self.effective_order,
        )

    def not_in_signature(self) -> list[str]:
        return [f"order:{self.max_ngram_order}"] if self.max_ngram_order != 4 else []

    def check(self, predictions: Array, references: Array) -> list[str]:
        return super().check(predictions, references) + check_spaceless(
            chain.from_iterable(references),
            f"which bleu's tokenizer {self.tokenizer} takes for one long word",
            "set tokenize: flores200 or tokenize: char",
            ADVICE,
            readable=READS.get(self.tokenizer, ()),
        )
