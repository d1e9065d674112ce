"""Rates by group, as fairness is judged by: how often a label is given, rightly and wrongly.

Hardt, Price and Srebro 2016, "Equality of Opportunity in Supervised Learning": equalised odds ask
that groups have one true-positive rate and one false-positive rate, and equality of opportunity
asks it of the first alone. Equal selection rates are demographic parity.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from nlpbench.config.slices import Slicing
from nlpbench.evaluation.answered import Answered
from nlpbench.evaluation.metrics import Answer, Metric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nlpbench.evaluation.confusion import ClassSums

    Array = NDArray[Any]

EQUALIZED_ODDS = "equalized_odds_difference"


class GroupRate(Metric):
    """A rate of one label; NaN for a group that has no row it could be of."""

    answers: ClassVar[tuple[Answer, ...]] = ("labels", "label-sets")
    rate: ClassVar[str]

    label: str
    only_one: bool  # whether no other label is asked for, so that the key need not tell it

    @property
    def key(self) -> str:
        return self.rate if self.only_one else f"{self.rate}[{self.label}]"

    @abstractmethod
    def fraction(self, sums: ClassSums, rows: NDArray[np.float64]) -> tuple[Array, Array]:
        """Numerator and denominator, of (B, 1) sums and (B, 1) rows."""

    def compute(
        self, predictions: Array, references: Array, labels: Sequence[str] = ()
    ) -> dict[str, float]:
        import numpy as np

        once = np.ones((1, len(references)), dtype=np.int64)
        found = self.resample(predictions, references, once, labels)
        return {key: float(values[0]) for key, values in found.items()}

    def resample(
        self,
        predictions: Array,
        references: Array,
        counts: NDArray[np.int64],
        labels: Sequence[str] = (),
    ) -> dict[str, NDArray[np.float64]]:
        from nlpbench.evaluation.confusion import class_sums
        from nlpbench.evaluation.resampling import sizes
        from nlpbench.evaluation.undefined import quotient

        column = list(labels).index(self.label)
        given, held = (_flags(answers, column) for answers in (predictions, references))
        sums = class_sums(given, held, counts, 1)
        numerator, denominator = self.fraction(sums, sizes(counts)[:, None])
        return {self.key: quotient(numerator, denominator)[:, 0]}

    def signature(self, labels: Sequence[str] = (), answer: Answer = "labels") -> str:
        return f"positive:{self.label}"


class SelectionRate(GroupRate):
    """The share of rows that are given the label. More is neither better nor worse."""

    rate = "selection_rate"

    def fraction(self, sums: ClassSums, rows: NDArray[np.float64]) -> tuple[Array, Array]:
        return sums.predicted, rows


class TruePositiveRate(GroupRate):
    """The share of the rows with the label that are given it: the recall."""

    rate = "true_positive_rate"

    def fraction(self, sums: ClassSums, rows: NDArray[np.float64]) -> tuple[Array, Array]:
        return sums.hits, sums.actual


class FalsePositiveRate(GroupRate):
    """The share of the rows without the label that are given it."""

    rate = "false_positive_rate"
    higher_is_better = False

    def fraction(self, sums: ClassSums, rows: NDArray[np.float64]) -> tuple[Array, Array]:
        return sums.predicted - sums.hits, rows - sums.actual


def rates(slicing: Slicing, answered: Answered) -> list[GroupRate]:
    """The rates of the positive label: the one told, the second of two, or else of each label."""
    labels = answered.labels
    told = [slicing.positive_label] if slicing.positive_label is not None else []
    if not told:
        told = [labels[1]] if len(labels) == 2 and answered.answer == "labels" else list(labels)
    return [
        kind(label=label, only_one=len(told) == 1)
        for label in told
        for kind in (TruePositiveRate, FalsePositiveRate, SelectionRate)
    ]


def equalized_odds(metrics: Iterable[Metric]) -> dict[str, tuple[str, str]]:
    """The keys of equalised-odds differences, each with the two rates it is the larger gap of."""
    found = [metric.key for metric in metrics if isinstance(metric, TruePositiveRate)]
    of_labels = [key.removeprefix(TruePositiveRate.rate) for key in found]
    return {
        f"{EQUALIZED_ODDS}{label}": (key, f"{FalsePositiveRate.rate}{label}")
        for key, label in zip(found, of_labels, strict=True)
    }


def _flags(answers: Array, column: int) -> NDArray[np.int64]:
    """(n, 1), 1 where an answer is or holds the label."""
    import numpy as np

    held = answers == column if answers.ndim == 1 else answers[:, column] > 0
    return np.asarray(held, dtype=np.int64)[:, None]
