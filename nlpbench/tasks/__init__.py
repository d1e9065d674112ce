"""The tasks, one file each, and what they have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from nlpbench.config.component import Component

if TYPE_CHECKING:
    import numpy as np
    import torch
    from datasets import Dataset
    from numpy.typing import NDArray
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Locate = Callable[[int], str]

EncodeBatch = Callable[[Mapping[str, list[Any]]], Mapping[str, Any]]


class Keep(Protocol):
    """Makes the features of rows, or finds them where an earlier run kept them."""

    def __call__(self, rows: Dataset, options: Mapping[str, Any], encode: EncodeBatch) -> Dataset:
        """
        Args:
            rows: with the columns that are encoded, and no other.
            options: all that the features follow from besides rows and tokenizer.
            encode: columns of a batch of rows to columns of features.
        """
        ...


def keep_in_memory(
    rows: Dataset,
    options: Mapping[str, Any],  # noqa: ARG001
    encode: EncodeBatch,
) -> Dataset:
    """For few rows: makes the features anew, and leaves nothing behind."""
    return rows.map(
        encode,
        batched=True,
        remove_columns=rows.column_names,
        keep_in_memory=True,
        load_from_cache_file=False,
        new_fingerprint="encoded",
    )


@dataclass(frozen=True)
class Predictions:
    """What a model said about n examples, aligned with the references of the same split.

    Attributes:
        answers: (n,) class ids, (n, K) zeros and ones, or (n,) values, as the task's `answer` says.
        probabilities: (n, K), or None where the task has none.
    """

    answers: NDArray[Any]
    probabilities: NDArray[np.float64] | None = None

    def read(self, reads: Literal["answers", "probabilities"]) -> NDArray[Any]:
        if reads == "answers":
            return self.answers
        if self.probabilities is None:
            raise ValueError("this task predicts no probabilities")
        return self.probabilities


class Task(Component, ABC):
    """What is learnt: which columns, which head, how rows become tensors and tensors answers.

    Adding one is adding one file with one subclass. The methods are called in their order here.
    """

    kind: ClassVar[str] = "task"
    max_length: int

    @property
    @abstractmethod
    def answer(self) -> Literal["labels", "label-sets", "values"]:
        """What one prediction is; a metric says which of these it scores."""

    @abstractmethod
    def default_metrics(self) -> list[dict[str, Any]]:
        """The metrics where the config names none, the headline first, as written in YAML."""

    @property
    @abstractmethod
    def columns(self) -> list[str]:
        """The columns of the data that the task reads."""

    @property
    @abstractmethod
    def stratify_by(self) -> str | None:
        """The column whose shares a split of the rows keeps, if there is one."""

    @abstractmethod
    def find_labels(self, rows: Dataset, locate: Locate) -> list[str]:
        """The class names, from the training rows alone; empty for a regression.

        Args:
            rows: the training split.
            locate: the place of a row, for messages.

        Raises:
            UserError: labels that cannot be meant so, each with its row.
        """

    @abstractmethod
    def references(self, rows: Dataset, labels: Sequence[str], locate: Locate) -> NDArray[Any]:
        """The raw references of the data, shaped as `Predictions.answers`.

        Raises:
            UserError: a missing or unknown label, with its row.
        """

    @abstractmethod
    def texts(self, rows: Dataset, locate: Locate) -> Sequence[str]:
        """What a row says, for the audit; raises UserError for a column that holds no text."""

    @abstractmethod
    def head(self, labels: Sequence[str]) -> dict[str, Any]:
        """What the head adds to the model's configuration, such as `id2label`."""

    @property
    @abstractmethod
    def auto_class(self) -> str:
        """The transformers Auto class that loads a model with the task's head."""

    @abstractmethod
    def labels_of(self, model: PreTrainedModel) -> list[str]:
        """The class names that a fine-tuned model knows."""

    @abstractmethod
    def encode(
        self,
        rows: Dataset,
        references: NDArray[Any] | None,
        tokenizer: PreTrainedTokenizerBase,
        keep: Keep = keep_in_memory,
    ) -> Dataset:
        """The features: `input_ids` and what else the model takes, `length`, `whole_length`, `labels`.

        Args:
            keep: makes all features but `labels`, which may change where texts do not.
        """

    @abstractmethod
    def collate(
        self, tokenizer: PreTrainedTokenizerBase
    ) -> Callable[[list[dict[str, Any]]], Mapping[str, torch.Tensor]]:
        """Makes a padded batch of features."""

    @abstractmethod
    def loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The plain loss summed over all targets of the batch: a scalar, in float32 at least.

        It is the `loss` of a validation split, and what training minimises where no strategy
        weighs, smooths or focuses it.
        """

    @abstractmethod
    def decode(self, logits: NDArray[np.float32]) -> Predictions:
        """The answers to n examples from their logits (n, K)."""

    @abstractmethod
    def rows_of(
        self, predictions: Predictions, references: NDArray[Any], labels: Sequence[str]
    ) -> list[dict[str, Any]]:
        """One mapping an example for predictions.jsonl: `reference`, `prediction` and more."""
