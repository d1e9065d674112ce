"""F1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nlpbench.evaluation.averaging import AveragedMetric

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nlpbench.evaluation.confusion import ClassSums

    Array = NDArray[Any]


class F1(AveragedMetric):
    """The harmonic mean of precision and recall.

    For one class: 2 true positives / (2 true positives + false positives + false negatives), 0
    where that is 0 / 0.
    `average` says how classes become one score: `auto` (binary for one of two labels, else
    macro), `binary`, `macro`, `micro`, `weighted` or `per-class`. Arithmetic: scikit-learn's user
    guide, section "Precision, recall and F-measures".

    ```yaml
    metrics:
      - f1
      - {name: f1, average: macro}
      - {name: f1, average: per-class}
      - {name: f1, average: binary, positive_label: "yes"}
    ```
    """

    @staticmethod
    def score(references: Array, predictions: Array, **options: Any) -> Any:
        from sklearn.metrics import f1_score

        return f1_score(references, predictions, **options)

    @staticmethod
    def fraction(sums: ClassSums) -> tuple[Array, Array]:
        return 2 * sums.hits, sums.predicted + sums.actual
