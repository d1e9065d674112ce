"""Temperature and thresholds as a model's configuration holds them, and how they are chosen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show
from nlpbench.tasks import Settled
from nlpbench.tasks.calibration import temperature, thresholds
from nlpbench.tasks.calibration.thresholds import USUAL, Criterion

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

TEMPERATURE = "nlpbench_temperature"
THRESHOLDS = "nlpbench_thresholds"
SHOWN = 4


@dataclass(frozen=True)
class Calibration:
    """What a classifier's answers follow from besides its logits.

    Attributes:
        temperature: that the logits are divided by.
        thresholds: by label, the probability from which on it is given; of two labels one has one.
    """

    temperature: float = 1.0
    thresholds: Mapping[str, float] = field(default_factory=dict)


def read(model: Any, labels: Sequence[str]) -> Calibration:
    """What the configuration of a model says.

    Raises:
        UserError: entries that nlpbench did not write.
    """
    found = Calibration(
        _told(model, TEMPERATURE, 1.0),
        _told(model, THRESHOLDS, {}),
    )
    if not (_is_number(found.temperature) and found.temperature > 0):
        raise _damaged(TEMPERATURE, found.temperature, "no number above 0")
    named = found.thresholds
    if not isinstance(named, dict) or not all(
        _is_number(one) and 0 < one < 1 for one in named.values()
    ):
        raise _damaged(THRESHOLDS, named, "no mapping of labels to numbers between 0 and 1")
    if unknown := [label for label in named if label not in labels]:
        raise _damaged(THRESHOLDS, named, f"of another model: it has no label {unknown[0]}")
    return found


def choose(
    logits: Array,
    references: Array,
    labels: Sequence[str],
    *,
    scale: bool,
    criterion: Criterion | None,
    tuned: Sequence[int],
) -> Settled:
    """Fits temperature and thresholds to validation rows, the thresholds after the temperature.

    Args:
        logits: (n, K) as the model gives them.
        references: (n,) class ids, or (n, K) of 0 and 1.
        scale: whether to fit a temperature.
        criterion: what thresholds are to make best; None for no thresholds.
        tuned: the labels that get one.
    """
    import numpy as np

    entries: dict[str, Any] = {}
    notes, warnings = [], []
    factor = 1.0
    if scale:
        fitted = temperature.fit(logits, references)
        entries[TEMPERATURE] = factor = fitted.temperature
        if fitted.reason:
            warnings.append(
                f"temperature_scaling: on the {len(references)} validation rows {fitted.reason}, so "
                "no temperature fits best; it stays 1"
            )
        else:
            notes.append(
                f"temperature {factor:.3g}: the negative log-likelihood of the validation rows goes "
                f"from {fitted.before:.4f} to {fitted.after:.4f}"
            )
    if criterion is not None:
        shares = probabilities(logits, factor, several=references.ndim == 2)
        flags = references if references.ndim == 2 else np.eye(len(labels))[references]
        found = {
            labels[number]: thresholds.tune(shares[:, number], flags[:, number] == 1, criterion)
            for number in tuned
        }
        entries[THRESHOLDS] = {label: one.threshold for label, one in found.items()}
        notes += _changes(found, criterion)
        warnings += _untuned(found)
    return Settled(entries, notes, warnings)


def probabilities(logits: Array, temperature: float, *, several: bool) -> Array:
    """(n, K) in float64; a softmax, or a sigmoid a label where a row may have several."""
    import numpy as np
    from scipy.special import expit, softmax

    exact = np.asarray(logits, dtype=np.float64) / temperature
    shares: Array = expit(exact) if several else softmax(exact, axis=-1)
    return shares


def _changes(found: Mapping[str, thresholds.Tuned], criterion: Criterion) -> list[str]:
    tuned = {label: one for label, one in found.items() if not one.reason}
    if not tuned:
        return []
    told = ", ".join(f"{label} {one.threshold:.3g}" for label, one in _first(tuned))
    before, after = (
        math.fsum(getattr(one, side) for one in tuned.values()) / len(tuned)
        for side in ("before", "after")
    )
    mean = f"the mean {criterion} of {len(tuned)} labels" if len(tuned) > 1 else criterion
    return [
        f"thresholds {told}: {mean} on the validation rows goes from {before:.4f} to {after:.4f}"
    ]


def _untuned(found: Mapping[str, thresholds.Tuned]) -> list[str]:
    untuned = {label: one for label, one in found.items() if one.reason}
    if not untuned:
        return []
    told = "; ".join(f"{label}: {one.reason}" for label, one in _first(untuned))
    return [
        f"tune_thresholds: the validation rows do not tell the threshold of {len(untuned)} of "
        f"{len(found)} labels, which stays {USUAL} ({told})"
    ]


def _first(items: Mapping[str, thresholds.Tuned]) -> list[tuple[str, thresholds.Tuned]]:
    return list(items.items())[:SHOWN]


def _told(model: Any, key: str, default: Any) -> Any:
    value = getattr(model.config, key, None)
    return default if value is None else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _damaged(key: str, value: Any, what: str) -> UserError:
    return UserError(
        f"the model's configuration has {key} {show(value)}, which is {what}; take the entry away, "
        "or calibrate the model anew"
    )
