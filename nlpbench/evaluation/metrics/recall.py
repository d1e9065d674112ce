"""Recall."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nlpbench.evaluation.averaging import AveragedMetric

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nlpbench.evaluation.confusion import ClassSums

    Array = NDArray[Any]


class Recall(AveragedMetric):
    """The share of a class's examples that are predicted as it.

    For one class: true positives / (true positives + false negatives), 0 where that is 0 / 0.
    `average` says how classes become one score: `auto` (binary for one of two labels, else
    macro), `binary`, `macro`, `micro`, `weighted` or `per-class`. Arithmetic: scikit-learn's user
    guide, section "Precision, recall and F-measures".

    ```yaml
    metrics:
      - recall
      - {name: recall, average: macro}
      - {name: recall, average: per-class}
      - {name: recall, average: binary, positive_label: "yes"}
    ```
    """

    @staticmethod
    def score(references: Array, predictions: Array, **options: Any) -> Any:
        from sklearn.metrics import recall_score

        return recall_score(references, predictions, **options)

    @staticmethod
    def fraction(sums: ClassSums) -> tuple[Array, Array]:
        return sums.hits, sums.actual
