"""What precision, recall and F1 share: a score per class and the ways to average it."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from nlpbench.config.errors import UserError
from nlpbench.config.problems import Invalid, Problem
from nlpbench.evaluation.metrics import Answer, Metric
from nlpbench.evaluation.positive import describe, positive_class

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nlpbench.evaluation.confusion import ClassSums

    Array = NDArray[Any]

Average = Literal["auto", "binary", "macro", "micro", "weighted", "per-class"]


class AveragedMetric(Metric):
    """A score from how many examples are hits, predicted and actual of a class, averaged.

    | average   | key           | the score |
    |-----------|---------------|-----------|
    | binary    | `f1`          | of the positive one of two labels |
    | macro     | `f1_macro`    | mean over the classes that references or predictions hold |
    | micro     | `f1_micro`    | of the sums over all classes |
    | weighted  | `f1_weighted` | mean over classes, weighted by their share of the references |
    | per-class | `f1[LABEL]`   | of every class by itself |
    | auto      |               | binary if each example has one of two labels, else macro |

    For label sets macro takes all columns, as scikit-learn does.
    A class that the score is not defined for counts as 0, as with scikit-learn's `zero_division=0`.
    """

    answers: ClassVar[tuple[Answer, ...]] = ("labels", "label-sets")

    average: Average = Field("auto", description="how the classes become one score")
    positive_label: str | None = Field(
        None, description="the label that binary scores; the second one unless told"
    )

    @staticmethod
    @abstractmethod
    def score(references: Array, predictions: Array, **options: Any) -> Any:
        """scikit-learn's function."""

    @staticmethod
    @abstractmethod
    def fraction(sums: ClassSums) -> tuple[Array, Array]:
        """The score's numerator and denominator."""

    @model_validator(mode="after")
    def positive_label_goes_with_binary(self) -> AveragedMetric:
        if self.positive_label is not None and self.average not in ("auto", "binary"):
            raise Invalid(
                Problem(
                    ("positive_label",),
                    f"applies to average: binary only (got average: {self.average})",
                    at_key=True,
                )
            )
        return self

    def compute(
        self, predictions: Array, references: Array, labels: Sequence[str] = ()
    ) -> dict[str, float]:
        import numpy as np

        from nlpbench.evaluation.undefined import quiet

        average = self._resolve(labels, label_sets=references.ndim == 2)
        keys = self._keys(average, labels)
        if not len(references):
            return dict.fromkeys(keys, math.nan)
        options: dict[str, Any]
        if average == "binary":
            options = {"average": None, "labels": [self._positive(labels)]}
        elif average == "per-class":
            options = {"average": None, "labels": list(range(len(labels)))}
        else:
            options = {"average": average}
        if references.ndim == 2 and references.shape[1] == 1:  # to sklearn, one column is no set
            predictions, references = (
                np.pad(a, ((0, 0), (0, 1))) for a in (predictions, references)
            )
            options.setdefault("labels", [0])
        with quiet():
            values = self.score(references, predictions, zero_division=0, **options)
        return dict(zip(keys, map(float, np.atleast_1d(values)), strict=True))

    def resample(
        self,
        predictions: Array,
        references: Array,
        counts: NDArray[np.int64],
        labels: Sequence[str] = (),
    ) -> dict[str, NDArray[np.float64]]:
        import numpy as np

        from nlpbench.evaluation.undefined import nan_where_nothing_drawn

        average = self._resolve(labels, label_sets=references.ndim == 2)
        keys = self._keys(average, labels)
        if not len(references):
            return {key: np.full(len(counts), np.nan) for key in keys}
        scores = self._resampled(average, predictions, references, counts, labels)
        scores = nan_where_nothing_drawn(scores, counts)
        return {key: scores[:, column] for column, key in enumerate(keys)}

    def _resampled(
        self,
        average: Average,
        predictions: Array,
        references: Array,
        counts: NDArray[np.int64],
        labels: Sequence[str],
    ) -> NDArray[np.float64]:
        """The scores of each resample by key: (B, K) if per class, else (B, 1)."""
        import numpy as np

        from nlpbench.evaluation.confusion import class_count, class_sums

        sums = class_sums(
            predictions, references, counts, class_count(predictions, references, len(labels))
        )
        if average == "micro":
            return _ratio(*self.fraction(sums.over_classes()))[:, None]
        scores = _ratio(*self.fraction(sums))  # (B, K)
        if average == "binary":
            return scores[:, [self._positive(labels)]]
        if average == "per-class":
            return scores
        if average == "weighted":
            weights = sums.actual
        elif references.ndim == 2:
            weights = np.ones_like(scores)
        else:
            weights = (sums.predicted + sums.actual > 0).astype(np.float64)
        return _ratio((scores * weights).sum(axis=1), weights.sum(axis=1))[:, None]

    def signature(self, labels: Sequence[str] = (), answer: Answer = "labels") -> str:
        average = self._resolve(labels, label_sets=answer == "label-sets")
        parts = [f"average:{average}"]
        if average == "binary":
            parts.append(f"positive:{labels[self._positive(labels)]}")
        elif average == "macro":
            parts.append(f"classes:{'all' if answer == 'label-sets' else 'present'}")
        parts += ["zero_division:0", f"scikit-learn:{version('scikit-learn')}"]
        return "|".join(parts)

    def _resolve(self, labels: Sequence[str], label_sets: bool) -> Average:
        """The average that applies to these labels.

        Raises:
            UserError: one that cannot.
        """
        binary = len(labels) == 2 and not label_sets
        average = self.average
        if average == "auto":
            average = "binary" if binary else "macro"
        if average == "binary" and not binary:
            raise UserError(
                f"{self.name}: average: binary applies to tasks with one of exactly 2 labels per "
                f"example (got {describe(labels)}), allowed: macro, micro, weighted, per-class"
            )
        if average == "per-class" and not labels:
            raise UserError(
                f"{self.name}: average: per-class needs the names of the labels (got none), "
                "allowed: macro, micro, weighted"
            )
        positive_class(self.name, self.positive_label, labels, binary)
        return average

    def _positive(self, labels: Sequence[str]) -> int:
        return positive_class(self.name, self.positive_label, labels, binary=True)

    def _keys(self, average: Average, labels: Sequence[str]) -> list[str]:
        if average == "binary":
            return [self.key]
        if average == "per-class":
            return [f"{self.key}[{label}]" for label in labels]
        return [f"{self.key}_{average}"]


def _ratio(numerator: Array, denominator: Array) -> NDArray[np.float64]:
    """The quotient, 0 where the denominator is 0."""
    import numpy as np

    result: NDArray[np.float64] = np.divide(
        numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0
    )
    return result
