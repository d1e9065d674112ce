"""Two systems, their answers to the same examples, and the scores of any part or mixture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show
from nlpbench.evaluation import bootstrap
from nlpbench.evaluation.clusters import numbered
from nlpbench.evaluation.metrics import Metric
from nlpbench.evaluation.metrics.accuracy import Accuracy
from nlpbench.evaluation.metrics.exact_match import ExactMatch
from nlpbench.evaluation.metrics.squad_exact_match import SquadExactMatch
from nlpbench.evaluation.paired.row_scores import row_scores

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nlpbench.evaluation.answered import Answered

    Array = NDArray[Any]

RIGHT_OR_WRONG = (Accuracy, ExactMatch, SquadExactMatch)
"""The metrics that say of each example whether its answer is right, and of all the share."""

BothScores = dict[str, tuple["NDArray[np.float64]", "NDArray[np.float64]"]]


@dataclass(frozen=True)
class Pair:
    """Two systems as a metric reads them, for n examples.

    Attributes:
        ones: the predictions of the first system, an item a seed.
        others: those of the second.
        references: (n, …).
        clusters: (n,) the number of each example's cluster; None where each stands for itself.
        scores: what the metric gives both systems, by key.
    """

    metric: Metric
    ones: list[Array]
    others: list[Array]
    references: Array
    labels: list[str]
    clusters: NDArray[np.int64] | None
    scores: dict[str, tuple[float, float]]

    @classmethod
    def of(cls, metric: Metric, ones: Sequence[Answered], others: Sequence[Answered]) -> Pair:
        """
        Raises:
            UserError: they did not answer the same examples, or the metric cannot read them.
        """
        import numpy as np

        first = ones[0]
        for answered in (*ones[1:], *others):
            check_same_rows(first, answered)
        read = [read_by(metric, answered) for answered in (*ones, *others)]
        every_row = np.ones((1, len(first)), dtype=np.int64)
        found = [
            metric.resample(predictions, first.references, every_row, first.labels)
            for predictions in read
        ]
        one, other = _means(found[: len(ones)]), _means(found[len(ones) :])
        return cls(
            metric=metric,
            ones=read[: len(ones)],
            others=read[len(ones) :],
            references=first.references,
            labels=first.labels,
            clusters=_clusters((*ones, *others)),
            scores={key: (float(one[key][0]), float(other[key][0])) for key in one if key in other},
        )

    @property
    def rows(self) -> int:
        return len(self.references)

    @property
    def is_right_or_wrong(self) -> bool:
        """Whether each example is right or wrong on its own, and no two belong together."""
        single = len(self.ones) == len(self.others) == 1
        return isinstance(self.metric, RIGHT_OR_WRONG) and single and self.clusters is None

    def resampled(
        self, side: Sequence[Array], resamples: int, seed: int
    ) -> dict[str, NDArray[np.float64]]:
        """The scores of one system on bootstrap resamples, by key (B,); see `bootstrap.resampled`."""
        return _means(
            [
                bootstrap.resampled(
                    self.metric,
                    predictions,
                    self.references,
                    self.labels,
                    resamples=resamples,
                    seed=seed,
                    clusters=self.clusters,
                )
                for predictions in side
            ]
        )

    def mixed(self, kept: NDArray[np.bool_]) -> BothScores:
        """The scores of both systems after they exchanged some answers, by key: two of (B,).

        Args:
            kept: (B, n), whether both keep their answer to an example.

        Raises:
            UserError: the systems have different numbers of seeds, so that it is not told who
                exchanges with whom.
        """
        import numpy as np

        if len(self.ones) != len(self.others):
            raise UserError(
                f"answers cannot be exchanged between {len(self.ones)} and {len(self.others)} "
                "seeds; compare as many of both"
            )
        references = np.concatenate([self.references, self.references])
        counts = np.concatenate(
            [np.concatenate([kept, ~kept], axis=1), np.concatenate([~kept, kept], axis=1)]
        ).astype(np.int64)
        found = _means(
            [
                self.metric.resample(np.concatenate([one, other]), references, counts, self.labels)
                for one, other in zip(self.ones, self.others, strict=True)
            ]
        )
        return {key: (found[key][: len(kept)], found[key][len(kept) :]) for key in self.scores}

    def mcnemar(self, key: str) -> float:
        """The p-value of McNemar's exact test; a row that the metric leaves out is left out."""
        import numpy as np

        from nlpbench.evaluation.paired.mcnemar import p_value

        one, other = (
            row_scores(self.metric, key, predictions, self.references, self.labels)
            for predictions in (self.ones[0], self.others[0])
        )
        counted = ~(np.isnan(one) | np.isnan(other))
        return p_value(one[counted], other[counted])


def check_same_rows(one: Answered, other: Answered) -> None:
    """
    Raises:
        UserError: the two are not about the same examples in the same order, with what differs.
    """
    if one.answer != other.answer:
        raise UserError(f"{one.answer} cannot be compared with {other.answer}")
    if one.labels != other.labels:
        raise UserError(
            f"the labels differ: {', '.join(one.labels)} against {', '.join(other.labels)}"
        )
    if len(one) != len(other):
        raise UserError(f"{len(one)} examples cannot be compared with {len(other)}")
    for row, (id_, its) in enumerate(zip(one.ids, other.ids, strict=True), start=1):
        if id_ != its:
            raise UserError(f"the examples differ: row {row} is {show(id_)} and {show(its)}")
    for id_, reference, its in zip(one.ids, one.references, other.references, strict=True):
        same = reference == its
        if not (same if isinstance(same, bool) else bool(same.all())):
            raise UserError(f"the references of the example {show(id_)} differ")


def _clusters(answered: Sequence[Answered]) -> NDArray[np.int64] | None:
    """Those that are told; raises UserError if some tell others."""
    told = [numbered(each.clusters) for each in answered if each.clusters is not None]
    if any((each != told[0]).any() for each in told[1:]):
        raise UserError("the examples come in other clusters, so they cannot be drawn together")
    return told[0] if told else None


def read_by(metric: Metric, answered: Answered) -> Array:
    """The predictions in the form that a metric reads; raises UserError where there is none."""
    if answered.answer not in metric.answers:
        raise UserError(f"{metric.name} does not score {answered.answer}")
    if metric.reads == "probabilities" and answered.predictions.probabilities is None:
        raise UserError(f"{metric.name} reads probabilities, which these predictions do not hold")
    return answered.predictions.read(metric.reads)


def _means(of_seeds: Sequence[dict[str, Array]]) -> dict[str, Array]:
    """The mean over seeds of each score that all have."""
    import numpy as np

    keys = [key for key in of_seeds[0] if all(key in scores for scores in of_seeds)]
    return {key: np.mean([scores[key] for scores in of_seeds], axis=0) for key in keys}
