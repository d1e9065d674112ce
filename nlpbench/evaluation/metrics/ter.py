"""Translation edit rate."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, model_validator

from nlpbench.config.problems import Invalid, Problem
from nlpbench.evaluation.sacrebleu_score import SacrebleuScore
from nlpbench.evaluation.text_checks import check_spaceless

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sacrebleu.metrics.base import Metric as Scorer

    Array = NDArray[Any]


class Ter(SacrebleuScore):
    """Edits of words and shifts of phrases that make a prediction a reference, per reference word.

    In percent, of the whole corpus, 0 at best and above 100 at worst: Snover et al. 2006, "A Study
    of Translation Edit Rate with Targeted Human Annotation". The edits are those to the nearest
    reference, the length is the mean length of a text's references. Arithmetic and signature:
    sacrebleu. Slow on texts of hundreds of words.

    ```yaml
    metrics:
      - ter
      - {name: ter, normalized: true, case_sensitive: true}
      - {name: ter, no_punct: true}
      - {name: ter, normalized: true, asian_support: true}
    ```
    """

    higher_is_better: ClassVar[bool] = False

    normalized: bool = Field(False, description="set punctuation apart, as Tercom does")
    no_punct: bool = Field(False, description="remove punctuation")
    asian_support: bool = Field(
        False, description="let normalized and no_punct work on Chinese characters too"
    )
    case_sensitive: bool = Field(False, description="tell capital letters from small ones")

    @model_validator(mode="after")
    def asian_support_goes_with_another(self) -> Ter:
        if self.asian_support and not (self.normalized or self.no_punct):
            raise Invalid(
                Problem(
                    ("asian_support",),
                    "has an effect beside normalized: true or no_punct: true only",
                    "add normalized: true",
                    at_key=True,
                )
            )
        return self

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key,)

    def scorer(self) -> Scorer:
        from sacrebleu.metrics.ter import TER

        return TER(
            normalized=self.normalized,
            no_punct=self.no_punct,
            asian_support=self.asian_support,
            case_sensitive=self.case_sensitive,
        )

    def check(self, predictions: Array, references: Array) -> list[str]:
        return super().check(predictions, references) + check_spaceless(
            chain.from_iterable(references),
            "and ter counts words",
            "take chrf or cer",
            {"Chinese": "set normalized: true and asian_support: true, or take chrf or cer"},
            readable=("Chinese",) if self.normalized and self.asian_support else (),
        )
