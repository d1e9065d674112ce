"""Which examples one system answers better than another, and by how much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlpbench.evaluation.metrics import Metric
from nlpbench.evaluation.metrics.chrf import Chrf
from nlpbench.evaluation.metrics.length_ratio import LengthRatio
from nlpbench.evaluation.metrics.perplexity import Perplexity
from nlpbench.evaluation.metrics.squad_f1 import SquadF1
from nlpbench.evaluation.paired.pair import read_by
from nlpbench.evaluation.paired.row_scores import row_scores

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nlpbench.evaluation.answered import Answered

    Array = NDArray[Any]

TIED = 1e-12  # scores of rows that are the same but for the order of a sum


@dataclass(frozen=True)
class Measure:
    """How good the answer to each example is.

    Attributes:
        what: in words.
        metric: whose score of a row counts, and `key` which; None where `what` says it all.
    """

    what: str
    metric: Metric | None = None
    key: str = ""

    def goodness(self, answered: Answered) -> NDArray[np.float64]:
        """(n,) higher where better; NaN where an example has none."""
        import numpy as np

        if self.metric is not None:
            read = read_by(self.metric, answered)
            scores = row_scores(self.metric, self.key, read, answered.references, answered.labels)
            return scores if self.metric.higher_is_better else -scores
        answers, references = answered.predictions.answers, answered.references
        if answered.answer == "tags":
            pairs = zip(answers, references, strict=True)
            return np.array([_share_right(*pair) for pair in pairs], dtype=np.float64)
        if answered.answer == "values":
            return -((answers - references) ** 2)  # type: ignore[no-any-return]
        right = answers == references
        return right.mean(axis=1) if right.ndim == 2 else right.astype(np.float64)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class RowGains:
    """What one system gains over another on each example.

    Attributes:
        gains: (n,) above 0 where the first is better; NaN where an example has no score.
        order: the numbers of the examples that differ, the one that changed most first.
    """

    gains: NDArray[np.float64]
    order: list[int]

    @property
    def wins(self) -> int:
        return int((self.gains > TIED).sum())

    @property
    def losses(self) -> int:
        return int((self.gains < -TIED).sum())

    @property
    def ties(self) -> int:
        return int((abs(self.gains) <= TIED).sum())


def measure(answered: Answered, metrics: Sequence[Metric]) -> Measure:
    """How to tell which of two answers to an example is better.

    Args:
        metrics: those that are compared; of rankings and texts the first of them decides that can
            score a single example.
    """
    import numpy as np

    if answered.answer == "labels":
        return Measure("right or wrong")
    if answered.answer == "label-sets":
        return Measure("share of labels that are right")
    if answered.answer == "tags":
        return Measure("share of words tagged right")
    if answered.answer == "values":
        return Measure("squared error")
    if answered.answer == "spans":
        return Measure("squad_f1", SquadF1(), "squad_f1")
    if answered.answer == "log-likelihoods":
        return Measure("bits_per_byte", Perplexity(units=["bits"]), "bits_per_byte")
    fit = [
        metric for metric in metrics if metric.has_interval and not isinstance(metric, LengthRatio)
    ]
    chosen = fit[0] if fit else Chrf()
    read = read_by(chosen, answered)
    first_row = np.ones((1, 1), dtype=np.int64)
    key = next(iter(chosen.resample(read[:1], answered.references[:1], first_row, answered.labels)))
    return Measure(key, chosen, key)


def row_gains(how: Measure, ones: Sequence[Answered], others: Sequence[Answered]) -> RowGains:
    """What the first system gains over the second on each example, in the mean over its seeds.

    Of examples that gain alike, those come first where the probability of the right label changed
    most, if there are probabilities.
    """
    import numpy as np

    gains = _mean([how.goodness(one) for one in ones]) - _mean(
        [how.goodness(other) for other in others]
    )
    finer = _confidence(ones) - _confidence(others)
    order = np.lexsort((-np.abs(finer), -np.abs(np.nan_to_num(gains))))
    changed = [int(row) for row in order if abs(gains[row]) > TIED]
    return RowGains(gains, changed)


def _mean(of_seeds: Sequence[Array]) -> NDArray[np.float64]:
    import numpy as np

    return np.mean(of_seeds, axis=0, dtype=np.float64)  # type: ignore[no-any-return]


def _confidence(side: Sequence[Answered]) -> NDArray[np.float64]:
    """(n,) the probability of what is right, in the mean over labels and seeds; 0 if untold."""
    import numpy as np

    found = []
    for answered in side:
        shares, references = answered.predictions.probabilities, answered.references
        if shares is None:
            return np.zeros(len(answered))
        if references.ndim == 2:
            found.append(np.where(references == 1, shares, 1 - shares).mean(axis=1))
        else:
            found.append(shares[np.arange(len(references)), references])
    return _mean(found)


def _share_right(tags: Sequence[str], references: Sequence[str]) -> float:
    if not references:
        return float("nan")
    return sum(tag == true for tag, true in zip(tags, references, strict=True)) / len(references)
