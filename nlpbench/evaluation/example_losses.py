"""How wrong each answer is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlpbench.evaluation.metrics import Metric
from nlpbench.tasks import objects

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nlpbench.evaluation.answered import Answered

    Array = NDArray[Any]

SMALLEST = 1e-300  # probability that has a finite logarithm
BLOCK = 256  # rows that are scored one by one in one go


@dataclass(frozen=True)
class Losses:
    """A loss of each example, the higher the worse.

    Attributes:
        name: what it is, in words.
        values: (n,); NaN where an example has none.
    """

    name: str
    values: NDArray[np.float64]


def losses(answered: Answered, metrics: Sequence[Metric]) -> Losses | None:
    """The loss that the kind of answer has.

    | answer | the loss of an example |
    |---|---|
    | `labels` | -ln of the right label's probability; without probabilities 1 if wrong |
    | `label-sets` | mean binary cross entropy of its labels; without probabilities the share of wrong ones |
    | `values` | squared error |
    | `log-likelihoods` | -ln of the probability of a token, the mean of a document |
    | others | how far the headline metric of this one example is below that of its reference |

    Args:
        metrics: the headline first; only those that score a single example count.

    Returns:
        None where no metric scores a single example.
    """
    import numpy as np

    answer, references, predictions = answered.answer, answered.references, answered.predictions
    shares = predictions.probabilities
    if answer == "labels":
        if shares is None:
            return Losses("error", (predictions.answers != references).astype(np.float64))
        of_right = shares[np.arange(len(references)), references]
        return Losses("negative log-likelihood", -np.log(np.maximum(of_right, SMALLEST)))
    if answer == "label-sets":
        if shares is None:
            return Losses("share of wrong labels", (predictions.answers != references).mean(axis=1))
        of_right = np.where(references == 1, shares, 1 - shares)
        found = -np.log(np.maximum(of_right, SMALLEST)).mean(axis=1)
        return Losses("binary cross entropy", found)
    if answer == "values":
        return Losses("squared error", (predictions.answers - references) ** 2)
    if answer == "log-likelihoods":
        sums, tokens = predictions.answers[:, 0], predictions.answers[:, 1]
        per_token = np.divide(-sums, tokens, out=np.full(len(sums), np.nan), where=tokens > 0)
        return Losses("negative log-likelihood of a token", per_token)
    return _shortfalls(answered, metrics)


def _shortfalls(answered: Answered, metrics: Sequence[Metric]) -> Losses | None:
    """How much worse each answer scores than its reference would."""
    import numpy as np

    metric = next((one for one in metrics if one.has_interval and one.reads == "answers"), None)
    if metric is None or not len(answered):
        return None
    references, labels = answered.references, answered.labels
    perfect = objects(_RIGHT[answered.answer](reference) for reference in references)
    key = metric.key
    scores: list[Array] = []
    best: list[Array] = []
    for start in range(0, len(references), BLOCK):
        block = slice(start, start + BLOCK)
        alone = np.eye(len(references[block]), dtype=np.int64)
        for told, given in ((scores, answered.predictions.answers), (best, perfect)):
            found = metric.resample(given[block], references[block], alone, labels)
            key, values = next(iter(found.items()))
            told.append(values)
    return Losses(
        f"{key} short of that of the reference",
        _differences(
            np.concatenate(scores), np.concatenate(best), 1 if metric.higher_is_better else -1
        ),
    )


def _differences(scores: Array, best: Array, sign: int) -> NDArray[np.float64]:
    """How much worse each score is than the best; `sign` is -1 where lower ones are better.

    Where an example has nothing to find, as a sentence without entities, the best is undefined. To
    find nothing then is right, and anything else is measured against the best of the others.
    """
    import numpy as np

    nothing_due = np.isnan(best)
    if nothing_due.all():
        return np.where(np.isnan(scores), 0.0, np.nan)
    filled = np.where(nothing_due, sign * np.nanmax(sign * best), best)
    shortfalls: NDArray[np.float64] = np.where(
        nothing_due & np.isnan(scores), 0.0, sign * (filled - scores)
    )
    return shortfalls


def _best_document_first(grades: dict[str, int]) -> list[str]:
    return sorted((one for one in grades if grades[one] > 0), key=lambda one: -grades[one])


_RIGHT = {
    "tags": lambda tags: tags,
    "spans": lambda answers: answers[0] if answers else "",
    "texts": lambda texts: texts[0],
    "rankings": _best_document_first,
}
