"""The metrics, one file each, and what they have in common."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from nlpbench.config.component import Component

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]

Resampler = Callable[["NDArray[np.int64]"], dict[str, "NDArray[np.float64]"]]
"""From counts (B, n) to scores by key, (B,), as `Metric.resample` gives them."""

Answer = Literal[
    "labels", "label-sets", "values", "tags", "spans", "texts", "log-likelihoods", "rankings"
]


class Metric(Component, ABC):
    """Scores predictions against references; adding one is adding one file with one subclass.

    What `compute` and `resample` receive follows from the class variables, for n examples and
    K = `len(labels)` classes:

    | answer of the task | references           | predictions, `reads = "answers"` | predictions, `reads = "probabilities"` |
    |--------------------|----------------------|----------------------------------|----------------------------------------|
    | `labels`           | (n,) int class ids   | (n,) int class ids               | (n, K) float, rows sum to 1            |
    | `label-sets`       | (n, K) int, 0 or 1   | (n, K) int, 0 or 1               | (n, K) float, each in [0, 1]           |
    | `values`           | (n,) float           | (n,) float                       | –                                      |
    | `tags`             | (n,) lists of IOB2 tags, one a word | (n,) lists of as many tags | –                               |
    | `spans`            | (n,) lists of right answers; `[]` where there is none | (n,) str; `""` says that there is none | – |
    | `texts`            | (n,) lists of raw references, one at least | (n,) str   | –                                      |
    | `log-likelihoods`  | (n, 2) int: words and UTF-8 bytes of each document | (n, 2) float: sum of natural-log probabilities of the scored tokens, and their number | – |
    | `rankings`         | (n,) dicts of document ids to grades, relevant above 0 | (n,) lists of document ids, best first | – |

    Lists, dicts and strings stand in one-dimensional arrays of objects.
    """

    kind: ClassVar[str] = "metric"
    answers: ClassVar[tuple[Answer, ...]]
    reads: ClassVar[Literal["answers", "probabilities"]] = "answers"
    higher_is_better: ClassVar[bool] = True
    has_interval: ClassVar[bool] = (
        True  # False where resampled examples are no data of the same kind
    )

    @property
    def key(self) -> str:
        """The metric's name as a key of the record: snake_case."""
        return self.name.replace("-", "_")

    def gives(self, key: str) -> bool:
        """Whether a score key can be one of this metric's, as far as its options tell.

        Which exactly there are follows from the data too: f1 gives `f1_macro`, or `f1[LABEL]`.
        """
        return re.match(rf"{re.escape(self.key)}($|_|\[)", key) is not None

    @abstractmethod
    def compute(
        self, predictions: Array, references: Array, labels: Sequence[str] = ()
    ) -> dict[str, float]:
        """The scores by key, the headline first; NaN where the score is undefined."""

    @abstractmethod
    def signature(self, labels: Sequence[str] = (), answer: Answer = "labels") -> str:
        """All that a reader must know to compute the same: options, conventions, library version.

        Args:
            labels: the class names of the task.
            answer: what the task predicts, where conventions differ.
        """

    def check(self, predictions: Array, references: Array) -> list[str]:
        """What is doubtful about the input, a sentence each; nothing unless a metric says so.

        Raises:
            UserError: input that cannot be meant so, with its row.
        """
        return []

    def signature_for(
        self, references: Array, labels: Sequence[str] = (), answer: Answer = "labels"
    ) -> str:
        """The signature where it follows from the data too, such as the number of references."""
        return self.signature(labels, answer)

    def resample(
        self,
        predictions: Array,
        references: Array,
        counts: NDArray[np.int64],
        labels: Sequence[str] = (),
    ) -> dict[str, NDArray[np.float64]]:
        """The scores of B resamples at once: key to (B,).

        Args:
            counts: (B, n) whole numbers from 0 up, how often each example was drawn. A row may
                sum to any number: a bootstrap draws as many examples as there are, or whole
                clusters of them; a row of 0 and 1 is a subset.

        Returns:
            the scores that `compute` has for the examples repeated as often as they were drawn;
            NaN where nothing was drawn.

        This default computes each resample by itself; a metric that can be had from
        per-example statistics does it in one go.
        """
        import numpy as np

        keys = self.compute(predictions, references, labels)
        scores = {key: np.full(len(counts), np.nan) for key in keys}
        for number, drawn in enumerate(counts):
            index = np.repeat(np.arange(len(drawn)), drawn)
            if not len(index):
                continue
            found = self.compute(predictions[index], references[index], labels)
            for key in keys.keys() & found.keys():
                scores[key][number] = found[key]
        return scores

    def resampler(
        self, predictions: Array, references: Array, labels: Sequence[str] = ()
    ) -> Resampler:
        """`resample` of the same answers, for counts that come block by block.

        A metric whose per-example statistics are costly finds them here, once for all blocks.
        """
        return lambda counts: self.resample(predictions, references, counts, labels)
