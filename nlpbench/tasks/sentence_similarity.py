"""Sentence similarity: how alike two texts are, by the cosine of their vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from nlpbench.config.errors import UserError
from nlpbench.config.problems import Invalid, Problem, show
from nlpbench.tasks import Bundle, Keep, Locate, Predictions, keep_in_memory
from nlpbench.tasks._columns import Texts, check_texts
from nlpbench.tasks.vectors.embeddings import Embeddings, EmbeddingTask, Text, unit

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from numpy.typing import NDArray

SCALE = 20.0  # as in sentence-transformers


class SentenceSimilarity(EmbeddingTask):
    """How alike two texts are, by the cosine of their vectors.

    A prediction is the cosine, spread over `label_range`: 0 is its low end and 1 its high one. The
    losses, both of sentence-transformers too: `cosine` is the squared error of the cosine (Reimers
    and Gurevych 2019, "Sentence-BERT"); `cosent` only asks that a more alike pair have a larger
    cosine, over all pairs of pairs of a batch (Su 2022, "CoSENT").

        task: {name: sentence-similarity, label_column: score, label_range: [0, 5]}
    """

    text_column: str = Field("sentence1", description="column with the first text")
    text_pair_column: str = Field("sentence2", description="column with the second text")
    label_column: str = Field("label", description="column with the number that says how alike")
    label_range: list[float] = Field(
        [0.0, 1.0], min_length=2, max_length=2, description="of not alike at all and of the same"
    )
    loss_function: Literal["cosine", "cosent"] = Field(
        "cosine", description="squared error of the cosine, or of the order of the pairs"
    )
    scale: float = Field(SCALE, gt=0, description="what cosent multiplies cosines by")

    @model_validator(mode="after")
    def options_fit(self) -> SentenceSimilarity:
        problems = []
        if self.label_range[0] >= self.label_range[1]:
            message = f"must rise (got {show(self.label_range)})"
            problems.append(Problem(("label_range",), message, "write the lower number first"))
        if self.scale != SCALE and self.loss_function != "cosent":
            message = "needs loss_function: cosent"
            problems.append(Problem(("scale",), message, at_key=True))
        if problems:
            raise Invalid(*problems)
        return self

    @property
    def answer(self) -> Literal["values"]:
        return "values"

    @property
    def rows_interact(self) -> bool:
        return self.loss_function == "cosent"

    def default_metrics(self) -> list[dict[str, Any]]:
        return [{"name": "spearman"}, {"name": "pearson"}]

    @property
    def columns(self) -> list[str]:
        return [self.text_column, self.text_pair_column, self.label_column]

    @property
    def altered_columns(self) -> list[str]:
        return [self.text_column, self.text_pair_column]

    def references(self, rows: Dataset, labels: Sequence[str], locate: Locate) -> NDArray[Any]:
        import numpy as np

        from nlpbench.tasks import _class_labels as class_labels

        values = class_labels.numbers(rows, self.label_column, locate)
        low, high = self.label_range
        outside = np.flatnonzero((values < low) | (values > high))
        if len(outside):
            index = int(outside[0])
            raise UserError(
                f"{locate(index)}: {values[index]:g} in the column {self.label_column} is outside "
                f"of task.label_range, {low:g} to {high:g}; write the range of the data, such as "
                f"label_range: [{min(low, values.min()):g}, {max(high, values.max()):g}]"
            )
        return values

    def texts(self, rows: Dataset, locate: Locate) -> Sequence[str]:
        columns = [self.text_column, self.text_pair_column]
        for column in columns:
            check_texts(rows, column, locate)
        return Texts(rows, columns)

    def encode(
        self,
        rows: Dataset,
        references: NDArray[Any] | None,
        bundle: Bundle,
        keep: Keep = keep_in_memory,
        *,
        training: bool = False,
        corpus: Dataset | None = None,
    ) -> Dataset:
        self._check_model(bundle)
        texts = [Text((self.text_column,)), Text((self.text_pair_column,))]
        features = self._features(rows, texts, bundle, keep)
        if references is not None:
            low, high = self.label_range
            targets = ((references - low) / (high - low)).astype("float32")
            features = features.add_column("labels", targets)
        return features

    def flat_logits(self, outputs: Embeddings, labels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (_cosines(outputs).unsqueeze(-1),)

    def loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        import torch
        from torch.nn import functional as F

        cosines, labels = logits.squeeze(-1), labels.to(logits.dtype)
        if self.loss_function == "cosine":
            return F.mse_loss(cosines, labels, reduction="sum")
        # How much larger the cosine of a less alike pair is; the loss of a batch is one number, and
        # as a sum over its rows that many times it.
        excess = self.scale * (cosines[:, None] - cosines[None, :])
        wrong = excess[labels[:, None] < labels[None, :]]
        return len(labels) * torch.logsumexp(torch.cat([wrong.new_zeros(1), wrong]), dim=0)

    def values(self, outputs: Embeddings, batch: Any) -> NDArray[Any]:
        found: NDArray[Any] = _cosines(outputs).float().cpu().numpy()
        return found

    def decode(
        self,
        values: NDArray[Any] | list[NDArray[Any]],
        features: Dataset,
        rows: Dataset,
        bundle: Bundle,
    ) -> Predictions:
        import numpy as np

        cosines = np.asarray(values, dtype=np.float64)
        low, high = self.label_range
        details = [{"cosine": cosine} for cosine in cosines.tolist()]
        return Predictions(low + (high - low) * cosines, details=details)


def _cosines(outputs: Embeddings) -> torch.Tensor:
    """(n,) of the two texts of each row."""
    one, two = unit(outputs.embeddings).unbind(1)
    return (one * two).sum(-1)
