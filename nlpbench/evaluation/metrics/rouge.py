"""ROUGE."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from nlpbench.config.errors import UserError
from nlpbench.evaluation.metrics import Answer
from nlpbench.evaluation.per_example import PerExampleMetric

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

RougeType = Literal["rouge1", "rouge2", "rougeL", "rougeLsum"]
MANY_ACCENTS = 0.05


class Rouge(PerExampleMetric):
    """ROUGE: the overlap of words, word pairs and common subsequences with the reference, 0 to 1.

    Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries", computed by the rouge-score
    library. `rouge1` and `rouge2` count words and word pairs, `rougeL` the longest common
    subsequence, `rougeLsum` the union of those of the sentences. The keys are F-measures, means
    over the rows; of several references the one with the best F-measure counts, for each type by
    itself. `details` adds precision and recall.

    `tokenizer: default` is rouge-score's own, which knows a-z and 0-9 alone; `unicode` finds words
    of any script, single characters in those without spaces, such as Chinese and Thai; `auto` is
    rouge-score's for Latin letters and that of `unicode` for all others. Sentences stand on lines
    of their own or are found by rules: `auto` does the second for a text without line breaks.

    ```yaml
    metrics:
      - rouge
      - {name: rouge, types: [rouge2, rougeLsum], use_stemmer: false, details: true}
      - {name: rouge, tokenizer: unicode, split_sentences: newline}
    ```
    """

    answers: ClassVar[tuple[Answer, ...]] = ("texts",)

    types: list[RougeType] = Field(
        ["rouge1", "rouge2", "rougeL", "rougeLsum"],
        min_length=1,
        description="which of them, the headline first",
    )
    tokenizer: Literal["auto", "default", "unicode"] = Field(
        "auto", description="rouge-score's default, unicode for every script, or auto"
    )
    use_stemmer: bool = Field(True, description="compare English words by Porter's stems")
    split_sentences: Literal["auto", "newline", "regex"] = Field(
        "auto", description="how rougeLsum finds sentences: lines, or rules where there are none"
    )
    details: bool = Field(False, description="precision and recall too")

    def score_keys(self) -> list[str]:
        types = list(dict.fromkeys(self.types))
        parts = ("_precision", "_recall") if self.details else ()
        return [*types, *(key + part for key in types for part in parts)]

    def per_example(self, prediction: Any, reference: Any) -> Sequence[float]:
        from nlpbench.evaluation.rouge_rows import Options, row_scores

        types = tuple(dict.fromkeys(self.types))
        options = Options(types, self.tokenizer, self.use_stemmer, self.split_sentences)
        scores = row_scores(prediction, tuple(reference), options)
        fmeasures = [fmeasure for fmeasure, _, _ in scores]
        details = [part for _, *parts in scores for part in parts]
        return fmeasures + details if self.details else fmeasures

    def check(self, predictions: Array, references: Array) -> list[str]:
        from nlpbench.evaluation.rouge_tokens import accented_share, other_script_share
        from nlpbench.evaluation.text_checks import check_texts

        warnings = check_texts(predictions, references)
        rows = [" ".join(row) for row in references]
        if self.tokenizer == "default":
            if (share := other_script_share(rows)) > 0.5:
                raise UserError(
                    f"rouge: tokenizer: default reads a to z and 0 to 9 alone, and {share:.0%} of "
                    "the references' letters are of other scripts; write tokenizer: unicode"
                )
            unread = [number for number, row in enumerate(rows) if other_script_share([row]) > 0.5]
            if unread:
                warnings.append(
                    f"rouge: {len(unread)} of {len(rows)} references are mostly in scripts that "
                    f"tokenizer: default cannot read (the first is row {unread[0] + 1}); "
                    "write tokenizer: unicode"
                )
        elif self.tokenizer == "auto" and (share := accented_share(rows)) > MANY_ACCENTS:
            warnings.append(
                f"rouge: {share:.0%} of the references' words hold accented letters, at which "
                "rouge-score's tokenizer breaks them; write tokenizer: unicode to keep words "
                "whole, or tokenizer: default to leave it so"
            )
        return warnings

    def signature(self, labels: Sequence[str] = (), answer: Answer = "labels") -> str:
        stemmer = "porter" if self.use_stemmer else "no"
        sentences = f"|sentences:{self.split_sentences}" * ("rougeLsum" in self.types)
        return (
            f"range:0-1|measure:f|tokenizer:{self.tokenizer}|stemmer:{stemmer}{sentences}"
            f"|references:best|rouge-score:{version('rouge-score')}"
        )
