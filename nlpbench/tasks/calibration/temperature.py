"""Temperature scaling: one number that makes a classifier as sure as it is right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    # The mean loss of logits that are multiplied by a number, and its derivative by that number.
    Loss = Callable[[float], tuple[float, float]]

STEEPEST = 2.0**40  # the largest factor of logits that is tried


@dataclass(frozen=True)
class Fitted:
    """The temperature that logits are divided by, and what it does to the rows it was fitted on.

    Attributes:
        before: mean negative log-likelihood at temperature 1, in nats; a row's, or that of a label
            of a row where labels come in sets.
        after: the same at this temperature.
        reason: why no temperature fits best, in which case it is 1; else empty.
    """

    temperature: float
    before: float
    after: float
    reason: str = ""


def fit(logits: Array, targets: Array) -> Fitted:
    """The temperature of the lowest negative log-likelihood.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2. The loss is convex in
    1 / temperature, so its minimum is where its derivative is 0.

    Args:
        logits: (n, K), n at least 1.
        targets: (n,) class ids, for softmax; or (n, K) of 0 and 1, for a sigmoid a label.
    """
    import numpy as np
    from scipy.optimize import brentq

    exact = np.asarray(logits, dtype=np.float64)
    loss = (_softmax_loss if targets.ndim == 1 else _sigmoid_loss)(exact, targets)
    before = loss(1.0)[0]
    if loss(0.0)[1] >= 0:
        return Fitted(1.0, before, before, "the logits say nothing about the labels")
    steepest = 1.0
    while loss(steepest)[1] <= 0 and steepest < STEEPEST:
        steepest *= 2
    if loss(steepest)[1] <= 0:
        return Fitted(1.0, before, before, "every prediction is right")
    factor = float(brentq(lambda factor: loss(factor)[1], 0.0, steepest, xtol=1e-14, rtol=1e-12))
    return Fitted(1 / factor, before, loss(factor)[0])


def _softmax_loss(logits: Array, labels: Array) -> Loss:
    import numpy as np

    # Differences to the highest logit: they overflow at no factor.
    shifted = logits - logits.max(axis=1, keepdims=True)
    of_label = shifted[np.arange(len(labels)), labels]

    def loss(factor: float) -> tuple[float, float]:
        weights = np.exp(factor * shifted)
        sums = weights.sum(axis=1)
        slope = (weights * shifted).sum(axis=1) / sums - of_label
        return float((np.log(sums) - factor * of_label).mean()), float(slope.mean())

    return loss


def _sigmoid_loss(logits: Array, flags: Array) -> Loss:
    import numpy as np
    from scipy.special import expit

    wrong_way = np.where(flags == 1, -logits, logits)

    def loss(factor: float) -> tuple[float, float]:
        steep = factor * wrong_way
        return float(np.logaddexp(0, steep).mean()), float((expit(steep) * wrong_way).mean())

    return loss
