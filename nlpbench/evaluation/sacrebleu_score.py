"""What BLEU, chrF and TER share: sacrebleu's arithmetic and its signature."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from nlpbench.evaluation.corpus_score import CorpusScore
from nlpbench.evaluation.metrics import Answer
from nlpbench.evaluation.text_checks import reference_count

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sacrebleu.metrics.base import Metric as Scorer

    Array = NDArray[Any]

TEXTS_AT_A_TIME = 500
"""Of how many texts sacrebleu holds the n-grams at once."""


class SacrebleuScore(CorpusScore):
    """A score of sacrebleu, of the whole corpus and on its scale: in percent.

    A text may have any number of references; the numbers of two texts may differ.
    """

    @abstractmethod
    def scorer(self) -> Scorer:
        """sacrebleu's own object with these options.

        Raises:
            UserError: something that the options need is missing.
        """

    def not_in_signature(self) -> list[str]:
        """Options that change the score and that sacrebleu's signature leaves out."""
        return []

    def statistics(
        self, predictions: Sequence[str], references: Sequence[Sequence[str]]
    ) -> NDArray[np.float64]:
        import numpy as np

        scorer = self.scorer()
        parts = []
        for start in range(0, len(predictions), TEXTS_AT_A_TIME):
            some = slice(start, start + TEXTS_AT_A_TIME)
            streams = list(zip_longest(*references[some]))  # None where a text has fewer
            parts.append(
                np.array(scorer._extract_corpus_statistics(predictions[some], streams), np.float64)
            )
        return np.concatenate(parts)

    def scores(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        import numpy as np

        scorer = self.scorer()
        return np.array([[scorer._compute_score_from_stats(row).score] for row in sums.tolist()])

    def signature(self, labels: Sequence[str] = (), answer: Answer = "labels") -> str:
        return self._signature(None)

    def signature_for(
        self, references: Array, labels: Sequence[str] = (), answer: Answer = "labels"
    ) -> str:
        return self._signature(reference_count(references))

    def _signature(self, references: str | None) -> str:
        scorer = self.scorer()
        scorer.num_refs = 1
        signature = scorer.get_signature()
        signature.update("nrefs", references)
        return "|".join([signature.format(), *self.not_in_signature()])
