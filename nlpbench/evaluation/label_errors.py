"""Examples whose reference may be wrong: a model that can be trusted is sure of another label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]


@dataclass(frozen=True)
class Suspected:
    """Examples whose reference may be wrong, the surest first.

    Attributes:
        examples: (m,) their numbers.
        labels: (m,) the class ids that they should have instead.
    """

    examples: NDArray[np.intp]
    labels: NDArray[np.intp]


def suspected_label_errors(probabilities: Array, references: Array) -> Suspected:
    """The examples that confident learning counts off the diagonal.

    A label is confident for an example where its probability is at least the mean that it has over
    the examples that bear it. An example is suspected where the likeliest of its confident labels
    is not its own, and its own is not the likeliest of all. The order is that of the normalised
    margin: the probability of the label it should have less that of its own. Northcutt, Jiang,
    Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels", sections 3.1 and
    3.2.

    The probabilities must be of rows that the model was not trained on.

    Args:
        probabilities: (n, K).
        references: (n,) class ids.
    """
    import numpy as np

    rows, classes = np.arange(len(references)), probabilities.shape[1]
    counts = np.bincount(references, minlength=classes)
    of_own = probabilities[rows, references]
    sums = np.bincount(references, weights=of_own, minlength=classes)
    # No example can be confident of a label that none bears.
    thresholds = np.divide(sums, counts, out=np.full(classes, np.inf), where=counts > 0)
    confident = np.where(probabilities >= thresholds, probabilities, -np.inf)
    should = confident.argmax(axis=1)
    wrong = (
        np.isfinite(confident[rows, should])
        & (should != references)
        & (probabilities.argmax(axis=1) != references)
    )
    found = np.flatnonzero(wrong)
    margins = probabilities[found, should[found]] - of_own[found]
    order = found[np.argsort(-margins, kind="stable")]
    return Suspected(order, should[order])
