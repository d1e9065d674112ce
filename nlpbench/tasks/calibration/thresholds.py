"""Decision thresholds: from which probability on a label is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]

Criterion = Literal["f1", "balanced-accuracy", "mcc", "accuracy"]
USUAL = 0.5


@dataclass(frozen=True)
class Tuned:
    """A threshold, and what the criterion is at the usual one and at this, on the rows tuned on.

    Attributes:
        reason: why there was nothing to choose, and it is the usual one; else empty.
    """

    threshold: float
    before: float
    after: float
    reason: str = ""


def tune(probabilities: Array, applies: Array, criterion: Criterion) -> Tuned:
    """The threshold of the best score of one label; of equal ones that nearest to 0.5.

    Every way to part the rows is tried, so on these rows no threshold does better, 0.5 included
    (Lipton et al. 2014, "Thresholding Classifiers to Maximize F1 Score").

    Args:
        probabilities: (n,) of the label.
        applies: (n,) bool, whether the label is right.
    """
    import numpy as np

    scores = _SCORES[criterion]
    hits, alarms = int(applies.sum()), int((~applies).sum())
    if not hits or not alarms:
        which = "no row has it" if not hits else "every row has it"
        return Tuned(USUAL, np.nan, np.nan, which)
    cuts = _cuts(probabilities)
    found = scores(*_counts(probabilities, applies, cuts), hits, alarms)
    usual = scores(*_counts(probabilities, applies, np.array([USUAL])), hits, alarms)[0]
    best = cuts[found >= found.max() - 1e-12]
    threshold = float(best[np.abs(best - USUAL).argmin()])
    return Tuned(threshold, float(usual), float(found.max()))


def _cuts(probabilities: Array) -> NDArray[np.float64]:
    """A threshold for every way to part the rows: 0.5 where it does, else the middle of the gap."""
    import numpy as np

    distinct = np.unique(probabilities)
    edges = np.concatenate([[0.0], distinct, [1.0]])
    low, high = edges[:-1], edges[1:]
    middle = low + (high - low) / 2
    # What lies above `low` and is at most `high` parts the rows alike. Two neighbours may have no
    # number between them.
    cuts = np.where((low < USUAL) & (high >= USUAL), USUAL, np.where(middle > low, middle, high))
    return cuts[(cuts > 0) & (cuts < 1)]


def _counts(probabilities: Array, applies: Array, cuts: Array) -> tuple[Array, Array]:
    """(C,) true and false positives at each threshold."""
    import numpy as np

    def at_least(values: Array) -> Array:
        return len(values) - np.searchsorted(np.sort(values), cuts, side="left")

    return at_least(probabilities[applies]), at_least(probabilities[~applies])


Score = Callable[["Array", "Array", int, int], "Array"]


def _f1(hits: Array, alarms: Array, positives: int, _: int) -> Array:
    score: Array = 2 * hits / (hits + alarms + positives)
    return score


def _accuracy(hits: Array, alarms: Array, positives: int, negatives: int) -> Array:
    return (hits + negatives - alarms) / (positives + negatives)


def _balanced_accuracy(hits: Array, alarms: Array, positives: int, negatives: int) -> Array:
    score: Array = (hits / positives + (negatives - alarms) / negatives) / 2
    return score


def _mcc(hits: Array, alarms: Array, positives: int, negatives: int) -> Array:
    import numpy as np

    given = (hits + alarms).astype(np.float64)
    withheld = positives + negatives - given
    agreement = hits * (negatives - alarms) - alarms * (positives - hits)
    scale = np.sqrt(given * withheld * positives * negatives)
    score: Array = np.divide(agreement, scale, out=np.zeros(len(given)), where=scale > 0)
    return score


_SCORES: dict[Criterion, Score] = {
    "f1": _f1,
    "accuracy": _accuracy,
    "balanced-accuracy": _balanced_accuracy,
    "mcc": _mcc,
}
