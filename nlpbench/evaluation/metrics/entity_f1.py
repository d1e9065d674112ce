"""Entity-level precision, recall and F1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from nlpbench.config.errors import UserError
from nlpbench.evaluation.metrics import Answer, Resampler
from nlpbench.evaluation.statistics_metric import StatisticsMetric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]

SCORES = ("f1", "precision", "recall")


class EntityF1(StatisticsMetric):
    """F1, precision and recall of whole entities: right are those with the same words and type.

    Tjong Kim Sang and De Meulder 2003, "Introduction to the CoNLL-2003 Shared Task". `mode` says
    what an entity is where the tags break the rules of IOB2: `strict` takes a `B` and the `I`s of
    its type right behind it, and nothing else; `lenient` lets any `I` begin an entity that cannot
    continue one, as conlleval does. They are seqeval's `mode="strict", scheme=IOB2` and its
    default. Scores are in 0..1.

    | average  | keys | the scores |
    |----------|------|------------|
    | micro    | `entity_f1`, `entity_precision`, `entity_recall` | of the sums over all types |
    | macro    | `entity_f1_macro`, … | mean over the types that references or predictions hold |
    | weighted | `entity_f1_weighted`, … | mean over types, weighted by their share of the references |
    | per-type | those of micro, and `entity_f1[TYPE]`, … | of every type of the task's tags by itself |

    A precision or recall of 0 / 0 counts as 0, as with seqeval; where neither references nor
    predictions hold an entity (of the type), all three are undefined.

    ```yaml
    metrics:
      - entity-f1
      - {name: entity-f1, average: per-type}
      - {name: entity-f1, average: macro}
      - {name: entity-f1, average: weighted}
      - {name: entity-f1, mode: lenient}
    ```
    """

    answers: ClassVar[tuple[Answer, ...]] = ("tags",)

    average: Literal["micro", "macro", "weighted", "per-type"] = Field(
        "micro", description="how the entity types become one score"
    )
    mode: Literal["strict", "lenient"] = Field(
        "strict", description="whether an I that continues nothing begins an entity: lenient"
    )

    def gives(self, key: str) -> bool:
        return key.startswith(("entity_f1", "entity_precision", "entity_recall"))

    def compute(
        self, predictions: Array, references: Array, labels: Sequence[str] = ()
    ) -> dict[str, float]:
        import numpy as np

        once = np.ones((1, len(references)), dtype=np.int64)
        scores = self.resample(predictions, references, once, labels)
        return {key: float(values[0]) for key, values in scores.items()}

    def resampler(
        self, predictions: Array, references: Array, labels: Sequence[str] = ()
    ) -> Resampler:
        from nlpbench.evaluation.entities import entity_counts
        from nlpbench.evaluation.resampling import weighted_sums

        declared = self._declared(labels)
        found = entity_counts(predictions, references, declared, self.mode)
        per_sentence = found.counts
        if self.average == "micro":
            per_sentence = per_sentence.sum(axis=1, keepdims=True)
        rows, types, _ = per_sentence.shape
        flat = per_sentence.reshape(rows, types * 3)

        def resample(counts: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
            sums = weighted_sums(counts, flat).reshape(len(counts), types, 3)
            if self.average != "per-type":
                suffix = "" if self.average == "micro" else f"_{self.average}"
                return self._keyed(_averaged(sums, self.average), suffix)
            scores = self._keyed(_averaged(sums.sum(axis=1, keepdims=True), "micro"))
            for entity_type in declared:
                column = found.types.index(entity_type)
                alone = _averaged(sums[:, column : column + 1], "micro")
                scores |= self._keyed(alone, f"[{entity_type}]")
            return scores

        return resample

    def check(self, predictions: Array, references: Array) -> list[str]:
        from nlpbench.evaluation.entities import check_tags

        check_tags(self.name, predictions, references)
        return []

    def signature(self, labels: Sequence[str] = (), answer: Answer = "labels") -> str:
        self._declared(labels)
        parts = [f"mode:{self.mode}", "scheme:IOB2", f"average:{self.average}"]
        if self.average == "macro":
            parts.append("types:present")
        return "|".join([*parts, "zero_division:0"])

    def _declared(self, labels: Sequence[str]) -> list[str]:
        """The types that have keys of their own.

        Raises:
            UserError: there are none to be had.
        """
        from nlpbench.evaluation.entities import entity_types

        if self.average != "per-type":
            return []
        types = entity_types(labels)
        if not types:
            raise UserError(
                f"{self.name}: average: per-type needs the tags of the task (got none that names "
                "a type), allowed: micro, macro, weighted"
            )
        return types

    def _keyed(self, scores: Array, suffix: str = "") -> dict[str, NDArray[np.float64]]:
        return {f"entity_{name}{suffix}": scores[..., i] for i, name in enumerate(SCORES)}


def _averaged(sums: NDArray[np.float64], average: str) -> NDArray[np.float64]:
    """F1, precision and recall (B, 3) of the sums (B, T, 3); NaN where no entity was counted."""
    import numpy as np

    right, predicted, actual = np.moveaxis(sums, -1, 0)
    scores = np.stack(
        [
            _ratio(2 * right, predicted + actual),
            _ratio(right, predicted),
            _ratio(right, actual),
        ],
        axis=-1,
    )
    present = predicted + actual > 0
    weights = actual if average == "weighted" else present.astype(np.float64)
    means = _ratio((scores * weights[..., None]).sum(axis=1), weights.sum(axis=1)[:, None])
    return np.where(present.any(axis=1)[:, None], means, math.nan)


def _ratio(numerator: Array, denominator: Array) -> NDArray[np.float64]:
    """The quotient, 0 where the denominator is 0."""
    import numpy as np

    return np.asarray(numerator / np.where(denominator > 0, denominator, np.inf))
