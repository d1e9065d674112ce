"""How often predictions are right, by how sure they are: the bins of a reliability diagram."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nlpbench.results.record import ReliabilityBin

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nlpbench.evaluation.answered import Answered

    Array = NDArray[Any]

BINS = 15  # those of Guo et al. 2017


def reliability(answered: Answered, bins: int = BINS) -> list[ReliabilityBin]:
    """Equal-width bins of confidence, (m-1)/M < c <= m/M, as in expected calibration error.

    One label an example counts by the probability of the top label, and whether that is the right
    one. Sets of labels count every label of every example by its probability, and whether it
    applies. Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2.

    Args:
        bins: how many there are, empty ones included.

    Returns:
        the bins from the least sure to the surest; none for answers without probabilities, or with
        one that is not finite.
    """
    import numpy as np

    probabilities = answered.predictions.probabilities
    if probabilities is None or not len(answered) or not np.isfinite(probabilities).all():
        return []
    if answered.answer == "label-sets":
        confidence, right = probabilities.ravel(), answered.references.ravel() == 1
    else:
        confidence = probabilities.max(axis=1)
        right = probabilities.argmax(axis=1) == answered.references
    numbers = bin_numbers(confidence, bins)
    rows = np.bincount(numbers, minlength=bins)
    sums = np.bincount(numbers, weights=confidence, minlength=bins)
    hits = np.bincount(numbers, weights=right, minlength=bins)
    return [
        ReliabilityBin(
            low=number / bins,
            high=(number + 1) / bins,
            rows=int(rows[number]),
            confidence=float(sums[number] / rows[number]) if rows[number] else None,
            accuracy=float(hits[number] / rows[number]) if rows[number] else None,
        )
        for number in range(bins)
    ]


def bin_numbers(confidence: Array, bins: int) -> NDArray[np.intp]:
    """(n,) the bin of each confidence, from 0 up; an edge belongs to the bin below it."""
    import numpy as np

    inner_edges = np.linspace(0, 1, bins + 1)[1:-1]
    return np.searchsorted(inner_edges, confidence, side="left")
