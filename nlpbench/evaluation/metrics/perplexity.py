"""Perplexity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from nlpbench.evaluation.metrics import Answer, Metric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]

Unit = Literal["token", "word", "byte", "bits"]
KEYS: dict[Unit, str] = {
    "token": "perplexity",
    "word": "word_perplexity",
    "byte": "byte_perplexity",
    "bits": "bits_per_byte",
}


class Perplexity(Metric):
    """Perplexity: how many choices a model wavers between at each token, word or byte.

    With L the sum of the natural-log probabilities of all scored tokens of all documents, T their
    number, W the words and B the UTF-8 bytes of the documents' raw text:

    - `perplexity` = exp(-L / T), by which models with the same tokenizer compare,
    - `word_perplexity` = exp(-L / W) and `byte_perplexity` = exp(-L / B), by which any models do,
    - `bits_per_byte` = -L / (B ln 2).

    A document thus weighs as much as it is long: no mean is taken over documents or batches.
    Words are what white space parts. How a document that is longer than the model's context is cut
    into windows, and whether its first token is scored, are the task's; it scores a token once.
    Intervals come from resampling documents. A score too large for a float is infinite; without
    tokens, words or bytes it is undefined. Jelinek et al. 1977, "Perplexity - a measure of the
    difficulty of speech recognition tasks".

    ```yaml
    metrics:
      - perplexity
      - {name: perplexity, units: [token, bits]}
    ```
    """

    answers: ClassVar[tuple[Answer, ...]] = ("log-likelihoods",)
    higher_is_better: ClassVar[bool] = False

    units: list[Unit] = Field(
        ["token", "word", "byte", "bits"],
        min_length=1,
        description="perplexities by token, word and byte, and bits per byte; the headline first",
    )

    def gives(self, key: str) -> bool:
        return key == self.key or key in {KEYS[unit] for unit in self.units}

    def compute(
        self, predictions: Array, references: Array, labels: Sequence[str] = ()
    ) -> dict[str, float]:
        import numpy as np

        every_row_once = np.ones((1, len(references)), dtype=np.int64)
        found = self.resample(predictions, references, every_row_once)
        return {key: float(scores[0]) for key, scores in found.items()}

    def resample(
        self,
        predictions: Array,
        references: Array,
        counts: NDArray[np.int64],
        labels: Sequence[str] = (),
    ) -> dict[str, NDArray[np.float64]]:
        import numpy as np

        from nlpbench.evaluation.resampling import weighted_sums

        likelihoods = predictions[:, 0].astype(np.float64)
        impossible, unknown = np.isneginf(likelihoods), np.isnan(predictions).any(axis=1)
        values = np.column_stack(
            [
                np.where(impossible | unknown, 0.0, likelihoods),
                np.where(unknown, 0.0, predictions[:, 1]),
                references,
                impossible,
                unknown,
            ]
        )
        nats, tokens, words, size, impossible, unknown = weighted_sums(counts, values).T
        nats = np.where(unknown > 0, np.nan, np.where(impossible > 0, np.inf, -nats))
        with np.errstate(all="ignore"):
            scores = {
                "token": np.exp(nats / _positive(tokens)),
                "word": np.exp(nats / _positive(words)),
                "byte": np.exp(nats / _positive(size)),
                "bits": nats / _positive(size) / np.log(2),
            }
        return {KEYS[unit]: scores[unit] for unit in self.units}

    def check(self, predictions: Array, references: Array) -> list[str]:
        unscored = [number for number, row in enumerate(predictions) if not row[1] > 0]
        if not unscored:
            return []
        return [
            f"perplexity: {len(unscored)} of {len(predictions)} documents have no scored token "
            f"(the first is row {unscored[0] + 1}), while their words and bytes count; "
            "leave them out of the data"
        ]

    def signature(self, labels: Sequence[str] = (), answer: Answer = "labels") -> str:
        return "weighting:token|logarithm:natural|words:white-space|bytes:utf-8"


def _positive(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Counts with NaN for 0, so that what is divided by nothing is undefined."""
    import numpy as np

    return np.where(counts > 0, counts, np.nan)
