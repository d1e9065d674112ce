"""The best spans of a context by start and end logits, and what they are worth against no answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlpbench.tasks.spans.context_windows import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Span:
    """A part of a context: characters `start` to before `end`, and its two logits."""

    start: int
    end: int
    start_logit: float
    end_logit: float

    @property
    def score(self) -> float:
        return self.start_logit + self.end_logit


@dataclass(frozen=True)
class Found:
    """What the windows of one question say.

    Attributes:
        spans: the best first, none twice; none where the context has no text.
        null: the start and end logit of no answer, of the window where they are lowest together: a
            window without the answer says nothing about the others.
    """

    spans: list[Span]
    null: tuple[float, float]

    @property
    def null_score_diff(self) -> float:
        """The score of no answer less that of the best span; infinite where there is no span."""
        best = self.spans[0].score if self.spans else -float("inf")
        return sum(self.null) - best


def search(
    values: Iterable[NDArray[Any]], windows: Iterable[Window], longest: int, count: int
) -> Iterator[Found]:
    """The best spans for each question, in order.

    Args:
        values: (2, L) start and end logits of each window.
        longest: tokens of a span, at most.
        count: spans of a question, at most.
    """
    spans: list[Span] = []
    nulls: list[tuple[float, float]] = []
    example = 0
    for logits, window in zip(values, windows, strict=True):
        if window.example != example:
            yield _best(spans, nulls, count)
            spans, nulls, example = [], [], window.example
        spans += _of_window(logits, window, longest, count)
        nulls.append((float(logits[0, window.null]), float(logits[1, window.null])))
    if nulls:
        yield _best(spans, nulls, count)


def best_threshold(
    differences: Sequence[float], answered: Sequence[float], unanswered: Sequence[float]
) -> float:
    """What `null_score_diff` may be at most for a question to be answered, so that most is right.

    As by the official script of SQuAD 2.0, every cut through the sorted differences is tried. The
    threshold lies in the middle between two of them; of equally good ones it is 0, or next to it.

    Args:
        differences: (n,) the `null_score_diff` of each question.
        answered: (n,) what the best span of each is worth.
        unanswered: (n,) what no answer is worth.
    """
    import numpy as np

    finite = np.isfinite(differences)  # the others have nothing to answer with
    if not finite.any():
        return 0.0
    values = np.asarray(differences, dtype=np.float64)[finite]
    gains = (np.asarray(answered, np.float64) - np.asarray(unanswered, np.float64))[finite]
    distinct, groups = np.unique(values, return_inverse=True)
    # What answering the k lowest is worth.
    totals = np.r_[0.0, np.cumsum(np.bincount(groups, weights=gains))]
    middles = (distinct[1:] + distinct[:-1]) / 2
    thresholds = np.r_[distinct[0] - 1, middles, distinct[-1] + 1, 0.0]
    totals = np.append(totals, totals[np.searchsorted(distinct, 0.0, side="right")])
    best = thresholds[totals >= totals.max() - 1e-9]
    return float(best[np.abs(best).argmin()])


def _best(spans: list[Span], nulls: list[tuple[float, float]], count: int) -> Found:
    kept: dict[tuple[int, int], Span] = {}
    for span in sorted(spans, key=lambda span: (-span.score, span.start, span.end)):
        kept.setdefault((span.start, span.end), span)
        if len(kept) == count:
            break
    return Found(list(kept.values()), min(nulls, key=sum))


def _of_window(logits: NDArray[Any], window: Window, longest: int, count: int) -> list[Span]:
    """The best spans of one window; all pairs of a start and an end are looked at."""
    import numpy as np

    m = len(window.starts)
    if m == 0:
        return []
    starts, ends = logits[:, window.place : window.place + m].astype(np.float64)
    longest = min(longest, m)
    # Row i holds the ends from token i on.
    scores = starts[:, None] + _following(ends, longest, -np.inf)
    scores[_following(window.ends, longest, 0) <= window.starts[:, None]] = -np.inf
    flat = scores.ravel()
    if count < len(flat):
        chosen = np.argpartition(-flat, count - 1)[:count]
    else:
        chosen = np.arange(len(flat))
    rows, columns = np.divmod(chosen[np.isfinite(flat[chosen])], longest)
    found = zip(
        window.starts[rows].tolist(),
        window.ends[rows + columns].tolist(),
        starts[rows].tolist(),
        ends[rows + columns].tolist(),
        strict=True,
    )
    return [Span(*values) for values in found]


def _following(values: NDArray[Any], count: int, behind: float) -> NDArray[Any]:
    """(m, count) each value of (m,) with those that follow it; `behind` where there are no more."""
    import numpy as np

    padded = np.append(values, np.full(count - 1, behind, values.dtype))
    return np.lib.stride_tricks.sliding_window_view(padded, count)
