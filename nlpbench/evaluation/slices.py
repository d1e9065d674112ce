"""Scores of parts of the rows, and how far they lie apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from nlpbench.config.sections import EvaluationSection
from nlpbench.evaluation import bootstrap, fairness, membership
from nlpbench.evaluation.answered import Answered
from nlpbench.evaluation.clusters import numbered
from nlpbench.evaluation.gaps import gap
from nlpbench.evaluation.membership import Rows
from nlpbench.evaluation.metrics import Metric
from nlpbench.results.record import Gap, Score, SliceRecord

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

    Array = NDArray[Any]

MAY_BE_POINTLESS = ("labels", "label-sets", "tags")  # answers that right ones may score 0 for


@dataclass(frozen=True)
class SliceScores:
    """What the slices of a run leave.

    Attributes:
        slices: by name, in the order of the config.
        gaps: by slicing and score.
        names: (n,) for each row the names of the slices it is in; None where there are no slices.
        notes: what a reader should know of the slices, a sentence each.
    """

    slices: dict[str, SliceRecord]
    gaps: dict[str, dict[str, Gap]]
    names: list[list[str]] | None
    notes: list[str]

    def tell(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The rows of predictions.jsonl with the names of their slices."""
        if self.names is None:
            return rows
        return [{**row, "slices": names} for row, names in zip(rows, self.names, strict=True)]


def score(
    section: EvaluationSection,
    metrics: Sequence[Metric],
    answered: Answered,
    overall: Mapping[str, Score],
    rows: Rows,
    tokenizer: PreTrainedTokenizerBase,
) -> SliceScores:
    """Every metric's scores on the rows of each slice, with intervals.

    One bootstrap over all rows, or clusters of them, serves all slices: each sees what was drawn of
    its own rows. So slices that share rows or clusters are as dependent as they are.

    Args:
        overall: the scores of all rows.

    Raises:
        UserError: slices that cannot be made of these rows.
    """
    if not section.slices:
        return SliceScores({}, {}, None, [])
    found = membership.find(section.slices, rows, tokenizer)
    parts: dict[str, _Part] = {}
    for sliced in found:
        rates = fairness.rates(sliced.slicing, answered) if sliced.slicing.fairness else []
        for each in sliced.slices:
            part = take(answered, each.rows)
            parts[each.name] = _Part(each.rows, part, [*metrics, *rates])
            parts[each.name].score()
    _resample(parts, answered, section)
    return SliceScores(
        slices={
            each.name: parts[each.name].record(sliced.slicing.title, overall, section.confidence)
            for sliced in found
            for each in sliced.slices
        },
        gaps={
            sliced.slicing.title: _gaps(
                {each.name: parts[each.name] for each in sliced.slices}, section.confidence
            )
            for sliced in found
        },
        names=membership.names_by_row(found, len(answered)),
        notes=[note for sliced in found for note in sliced.notes],
    )


def take(answered: Answered, rows: Array) -> Answered:
    """The examples with these numbers, in this order."""
    whole = answered.predictions
    predictions = replace(
        whole,
        answers=whole.answers[rows],
        probabilities=None if whole.probabilities is None else whole.probabilities[rows],
        details=None if whole.details is None else [whole.details[row] for row in rows],
        loss=None,
    )
    return replace(
        answered,
        ids=[answered.ids[row] for row in rows],
        references=answered.references[rows],
        predictions=predictions,
        clusters=None if answered.clusters is None else [answered.clusters[row] for row in rows],
    )


@dataclass
class _Part:
    """A slice while it is scored.

    Attributes:
        rows: (m,) the numbers of its rows.
        metrics: by the key of the score, of those in `scored_by`.
        values: by key; NaN where undefined, for the reason in `notes`.
        resampled: by key (B,); nothing where resamples tell nothing.
    """

    rows: Array
    answered: Answered
    scored_by: Sequence[Metric]
    metrics: dict[str, Metric] = field(default_factory=dict)
    values: dict[str, float] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    resampled: dict[str, Array] = field(default_factory=dict)

    @property
    def units(self) -> int:
        """How many rows, or clusters, the bootstrap can draw."""
        clusters = self.answered.clusters
        return len(self.rows) if clusters is None else len(set(clusters))

    def score(self) -> None:
        """Fills in all but what resamples give."""
        part = self.answered
        for metric in self.scored_by:
            read = part.predictions.read(metric.reads)
            for key, value in metric.compute(read, part.references, part.labels).items():
                note = _why_undefined(metric, key, value, part)
                if note is not None:
                    self.notes[key] = note
                self.metrics[key] = metric
                self.values[key] = value if note is None else math.nan

    def record(self, of: str, overall: Mapping[str, Score], confidence: float) -> SliceRecord:
        scores = {}
        for key, value in self.values.items():
            metric, interval = self.metrics[key], bootstrap.Interval(None, None)
            if math.isfinite(value) and key in self.resampled:
                interval = bootstrap.percentiles(self.resampled[key], confidence)
            whole = overall.get(key)
            scores[key] = Score(
                value=value,
                low=interval.low,
                high=interval.high,
                signature=whole.signature
                if whole is not None
                else metric.signature(self.answered.labels, self.answered.answer),
                higher_is_better=metric.higher_is_better,
            )
        return SliceRecord(of=of, rows=len(self.rows), scores=scores, notes=self.notes)


def _resample(parts: Mapping[str, _Part], answered: Answered, section: EvaluationSection) -> None:
    """Fills in the scores of all parts on the resamples of all rows."""
    import numpy as np

    clusters = None if answered.clusters is None else numbered(answered.clusters)
    drawn: dict[tuple[str, str], list[Array]] = {}
    for counts in bootstrap.draw_counts(
        len(answered), section.resamples, section.bootstrap_seed, clusters=clusters
    ):
        for name, part in parts.items():
            if part.units < 2:
                continue
            of_part = np.ascontiguousarray(counts[:, part.rows])
            for metric in part.scored_by:
                if not metric.has_interval:
                    continue
                read = part.answered.predictions.read(metric.reads)
                scores = metric.resample(
                    read, part.answered.references, of_part, part.answered.labels
                )
                for key, values in scores.items():
                    drawn.setdefault((name, key), []).append(values)
    for (name, key), blocks in drawn.items():
        if key not in parts[name].notes:
            parts[name].resampled[key] = np.concatenate(blocks)


def _why_undefined(metric: Metric, key: str, value: float, part: Answered) -> str | None:
    """Why a score of some rows means nothing; None where it does mean something."""
    if not len(part):
        return "no rows"
    if math.isnan(value):
        return _what_is_odd(part) or "not defined on these rows"
    if value != 0 or part.answer not in MAY_BE_POINTLESS or metric.reads != "answers":
        return None
    if not metric.higher_is_better or isinstance(metric, fairness.GroupRate):
        return None
    best = metric.compute(part.references, part.references, part.labels)[key]
    if best != 0:
        return None
    why = _what_is_odd(part)
    return "even right answers score 0 here" + (f", as {why}" if why else "")


def _what_is_odd(part: Answered) -> str | None:
    """What is the same in all of some rows, so that scores may be undefined."""
    import numpy as np

    if part.answer == "labels":
        seen = np.unique(part.references)
        return f"every reference is {part.labels[seen[0]]}" if len(seen) == 1 else None
    if part.answer == "tags" and all(set(tags) <= {"O"} for tags in part.references):
        return "no reference holds an entity"
    if part.answer == "values":
        answers = part.predictions.answers
        if len(part) == 1:
            return "there is one row"
        for what, array in (("references", part.references), ("predictions", answers)):
            if np.ptp(array) == 0:
                return f"all {what} are {array[0]:g}"
    return None


def _gaps(parts: Mapping[str, _Part], confidence: float) -> dict[str, Gap]:
    """The gap of every score, and for the rates of fairness the larger one of two."""
    names = list(parts)
    metrics = {key: metric for part in parts.values() for key, metric in part.metrics.items()}
    keys = {**{key: (key,) for key in metrics}, **fairness.equalized_odds(metrics.values())}
    return {
        title: gap(names, _scores(parts, of), _resampled(parts, of), confidence)
        for title, of in keys.items()
    }


def _scores(parts: Mapping[str, _Part], keys: Sequence[str]) -> Array:
    """(S, G) of S keys and G slices."""
    import numpy as np

    return np.array([[part.values.get(key, math.nan) for part in parts.values()] for key in keys])


def _resampled(parts: Mapping[str, _Part], keys: Sequence[str]) -> Array | None:
    """(B, S, G), NaN for a slice without; None where no slice has any."""
    import numpy as np

    known = [
        part.resampled[key] for key in keys for part in parts.values() if key in part.resampled
    ]
    if not known:
        return None
    nothing = np.full(len(known[0]), math.nan)
    drawn = [[part.resampled.get(key, nothing) for part in parts.values()] for key in keys]
    return np.moveaxis(np.array(drawn), -1, 0)
