"""Precision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nlpbench.evaluation.averaging import AveragedMetric

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nlpbench.evaluation.confusion import ClassSums

    Array = NDArray[Any]


class Precision(AveragedMetric):
    """The share of the examples predicted as a class that are of it.

    For one class: true positives / (true positives + false positives), 0 where that is 0 / 0.
    `average` says how classes become one score: `auto` (binary for one of two labels, else
    macro), `binary`, `macro`, `micro`, `weighted` or `per-class`. Arithmetic: scikit-learn's user
    guide, section "Precision, recall and F-measures".

    ```yaml
    metrics:
      - precision
      - {name: precision, average: macro}
      - {name: precision, average: per-class}
      - {name: precision, average: binary, positive_label: "yes"}
    ```
    """

    @staticmethod
    def score(references: Array, predictions: Array, **options: Any) -> Any:
        from sklearn.metrics import precision_score

        return precision_score(references, predictions, **options)

    @staticmethod
    def fraction(sums: ClassSums) -> tuple[Array, Array]:
        return sums.hits, sums.predicted
