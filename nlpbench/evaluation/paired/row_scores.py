"""What a metric says of each example by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nlpbench.evaluation.metrics import Metric
from nlpbench.evaluation.per_example import PerExampleMetric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]

CELLS = 4_000_000


def row_scores(
    metric: Metric, key: str, predictions: Array, references: Array, labels: Sequence[str]
) -> NDArray[np.float64]:
    """The score `key` of each example as if it were the only one, (n,); NaN where it has none."""
    import numpy as np

    if isinstance(metric, PerExampleMetric):
        column = metric.score_keys().index(key)
        pairs = zip(predictions, references, strict=True)
        return np.array([metric.per_example(*pair)[column] for pair in pairs], dtype=np.float64)
    n = len(references)
    size = max(1, CELLS // max(1, n))
    parts = []
    for start in range(0, n, size):
        rows = np.arange(start, min(start + size, n))
        alone = np.zeros((len(rows), n), dtype=np.int64)
        alone[np.arange(len(rows)), rows] = 1
        parts.append(metric.resample(predictions, references, alone, labels)[key])
    return np.concatenate(parts) if parts else np.empty(0)
