"""The tasks, one file each, and what they have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from nlpbench.config.component import Component

if TYPE_CHECKING:
    import numpy as np
    import torch
    from datasets import Dataset
    from numpy.typing import NDArray
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Locate = Callable[[int], str]

# In a model's configuration: the fingerprint of the rows that the task settled something on.
SETTLED_ON = "nlpbench_settled_on"

Columns = Mapping[str, Any]
Encode = Callable[[Iterable[Columns]], Iterator[Columns]]
Collate = Callable[[list[dict[str, Any]]], Mapping[str, "torch.Tensor"]]
Answer = Literal[
    "labels", "label-sets", "values", "tags", "spans", "texts", "log-likelihoods", "rankings"
]


class Keep(Protocol):
    """Makes the features of rows, or finds them where an earlier run kept them."""

    def __call__(self, rows: Dataset, options: Mapping[str, Any], encode: Encode) -> Dataset:
        """
        Args:
            rows: with the columns that are encoded, and no other.
            options: all that the features follow from besides rows and tokenizer.
            encode: batches of rows, in order, to batches of features; both are mappings of columns,
                and a row may become none or several features.
        """
        ...


def keep_in_memory(
    rows: Dataset,
    options: Mapping[str, Any],  # noqa: ARG001
    encode: Encode,
) -> Dataset:
    """For few rows: makes the features anew, and leaves nothing behind."""
    import pyarrow as pa
    from datasets import Dataset

    batches = encode(dict(batch) for batch in rows.with_format(None).iter(1000))
    tables = [pa.table(dict(batch)) for batch in batches]
    return Dataset(pa.concat_tables(tables, promote_options="permissive"))


def objects(items: Iterable[Any]) -> NDArray[Any]:
    """(n,) lists, dicts or strings in one array."""
    import numpy as np

    found = list(items)
    array = np.empty(len(found), dtype=object)
    array[:] = found
    return array


@dataclass(frozen=True)
class Bundle:
    """A model with what belongs to it.

    Attributes:
        model: None where features are made before there is one.
        labels: the class names, in the order of the model's outputs.
    """

    tokenizer: PreTrainedTokenizerBase
    model: Any = None
    labels: Sequence[str] = ()


@dataclass(frozen=True)
class Inferred:
    """What a model made of a batch of n features.

    Attributes:
        values: (n, …) or n arrays of unlike shapes, on the CPU; what `Task.decode` reads. None where
            only the loss was asked for.
        losses: (T,) summed over the targets of each term of the loss, in float64; None without
            labels.
        targets: (T,) how many there are.
    """

    values: NDArray[Any] | list[NDArray[Any]] | None
    losses: NDArray[np.float64] | None = None
    targets: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Predictions:
    """What a model said about n examples, aligned with the references of the same split.

    Attributes:
        answers: as the task's `answer` says; see the table at `Metric`.
        probabilities: (n, K), or None where the task has none.
        details: what else predictions.jsonl tells of each example.
        tables: further files of the run directory, by name, a mapping a line.
        warnings: what a reader of the scores should know, a sentence each.
        loss: the plain loss, where it follows from all examples together and not from batches.
        signature: what the answers follow from besides the model and the rows, to stand beside that
            of each metric, such as `windows:strided|context:1024`.
    """

    answers: NDArray[Any]
    probabilities: NDArray[np.float64] | None = None
    details: Sequence[Mapping[str, Any]] | None = None
    tables: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    loss: float | None = None
    signature: str = ""

    def read(self, reads: Literal["answers", "probabilities"]) -> NDArray[Any]:
        if reads == "answers":
            return self.answers
        if self.probabilities is None:
            raise ValueError("this task predicts no probabilities")
        return self.probabilities


@dataclass(frozen=True)
class Settled:
    """What a task chose on the validation rows after training.

    Attributes:
        entries: of the model's configuration, where `decode` finds them.
        notes: what they do to the validation rows, a sentence each.
        warnings: what could not be chosen, and why, a sentence each.
    """

    entries: Mapping[str, Any]
    notes: Sequence[str] = ()
    warnings: Sequence[str] = ()


class Task(Component, ABC):
    """What is learnt: which columns, which head, how rows become tensors and tensors answers.

    Adding one is adding one file with one subclass. The methods are called in their order here.
    """

    kind: ClassVar[str] = "task"
    reads_corpus: ClassVar[bool] = False  # `encode` needs the documents that come with the data
    reads_words: ClassVar[bool] = False  # `encode` gives the tokenizer lists of words
    masks_anew: ClassVar[bool] = False  # `collate` draws at random; see there
    slow_to_score: ClassVar[bool] = (
        False  # in training scored only if a score chooses the checkpoint
    )

    @property
    @abstractmethod
    def answer(self) -> Answer:
        """What one prediction is; a metric says which of these it scores."""

    @property
    def target(self) -> Literal["labels", "label-sets", "values"]:
        """What one target of the training loss is: a class, flags of classes, or a number."""
        return {"label-sets": "label-sets", "values": "values"}.get(self.answer, "labels")  # type: ignore[return-value]

    @property
    def names_classes(self) -> bool:
        """Whether the targets are classes that users know by name, and may weigh."""
        return self.answer in ("labels", "label-sets", "tags")

    @property
    def reads_one_vector(self) -> bool:
        """Whether the head reads one vector a row, which a frozen encoder need compute only once."""
        return False

    @property
    def rows_interact(self) -> bool:
        """Whether the loss of a row depends on the others of its batch, which then is never cut."""
        return False

    @property
    def settles(self) -> bool:
        """Whether something is chosen on the validation rows after training; see `settle`."""
        return False

    @property
    def watched(self) -> str | None:
        """The score that chooses the checkpoint unless told; None for the first metric's first."""
        return None

    @property
    def max_tokens(self) -> int | None:
        """The longest input in tokens, which the model must have positions for."""
        return self.max_length  # type: ignore[attr-defined, no-any-return]

    @property
    def max_target_tokens(self) -> int | None:
        """The longest text in tokens that is written after the longest input, where one is."""
        return None

    @property
    def generation_settings(self) -> dict[str, Any] | None:
        """How the model is to write, by the names of transformers' `GenerationConfig`.

        None where it writes nothing. They are the model's own when features are made.
        """
        return None

    @property
    def languages(self) -> tuple[str | None, str | None]:
        """Codes of what is read and written, for tokenizers that mark texts with their language."""
        return None, None

    @abstractmethod
    def default_metrics(self) -> list[dict[str, Any]]:
        """The metrics where the config names none, the headline first, as written in YAML."""

    @property
    @abstractmethod
    def columns(self) -> list[str]:
        """The columns of the data that the task reads."""

    @property
    def altered_columns(self) -> list[str]:
        """The columns of texts that may be altered while the references stay as they are.

        None where a row is its own reference.
        """
        return []

    @property
    def stratify_by(self) -> str | None:
        """The column whose shares a split of the rows keeps, if there is one."""
        return None

    def find_labels(self, rows: Dataset, locate: Locate) -> list[str]:
        """The class names, from the training rows alone; empty where there are none.

        Args:
            rows: the training split.
            locate: the place of a row, for messages.

        Raises:
            UserError: labels that cannot be meant so, each with its row.
        """
        return []

    @abstractmethod
    def references(self, rows: Dataset, labels: Sequence[str], locate: Locate) -> NDArray[Any]:
        """The raw references of the data, as the task's `answer` says; see the table at `Metric`.

        Raises:
            UserError: a missing or unknown label or reference, with its row.
        """

    def class_ids(self, references: NDArray[Any], labels: Sequence[str]) -> NDArray[Any]:
        """The classes of all targets in the references, where the task `names_classes`."""
        return references

    @abstractmethod
    def texts(self, rows: Dataset, locate: Locate) -> Sequence[str]:
        """What a row says, for the audit; raises UserError for a column that holds no text."""

    def tokenizer_texts(self, rows: Dataset, locate: Locate) -> Iterable[str]:
        """What a tokenizer is trained on, where one is: all that the model reads or writes."""
        return self.texts(rows, locate)

    def head(self, labels: Sequence[str]) -> dict[str, Any]:
        """What the head adds to the model's configuration, such as `id2label`."""
        return {}

    @property
    @abstractmethod
    def auto_classes(self) -> tuple[str, ...]:
        """The transformers Auto classes that load a model with the task's head.

        The first one that has the model's architecture is taken.
        """

    def labels_of(self, model: PreTrainedModel) -> list[str]:
        """The class names that a fine-tuned model knows; empty where there are none.

        Raises:
            UserError: a model that was trained for something else.
        """
        return []

    @abstractmethod
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
        """The features of a split, in the order of its rows.

        They hold what the model takes, as lists of numbers; `length`, the tokens of a feature;
        `whole_length`, what it would have been if nothing had been cut off; `labels`, where
        there are references; and `example`, the number of the row, where rows and features do not
        go one to one.

        Args:
            keep: makes all features that follow from the rows; what follows from `references`, as
                class ids do, is added afterwards.
            training: to train on; else to predict, with `labels` for the loss of a validation split.
            corpus: the documents that come with the data, where the task `reads_corpus`.

        Raises:
            UserError: rows that cannot be encoded, or a model that cannot take them.
        """

    @abstractmethod
    def collate(self, bundle: Bundle, *, training: bool = False) -> Collate:
        """Makes a padded batch of features: `labels` and what the model takes, one row a feature.

        A task that `masks_anew` finds in each feature `visit`, three numbers that differ by seed,
        epoch and feature: drawing from `numpy.random.default_rng(visit)` makes a training run
        repeatable and resumable. Only when `training`.
        """

    def forward(self, model: Any, inputs: Mapping[str, torch.Tensor]) -> Any:
        """The model's outputs for a batch without its labels; one call of the model."""
        return model(**inputs)

    def flat_labels(self, labels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The targets of each term of the loss, in one row: (m,) classes or numbers, or (m, K) flags.

        What is not scored, as -100 says, is left out. A loss has more than one term where means
        over unlike targets are added up.
        """
        return (labels,)

    def flat_logits(self, outputs: Any, labels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The logits (m, K) of these targets, for each term."""
        return (outputs.logits,)

    def loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The plain loss summed over flat targets: a scalar, in float32 at least.

        It is the `loss` of a validation split, and what training minimises where no strategy
        weighs, smooths or focuses it. Cross entropy unless a task says otherwise.
        """
        import torch
        from torch.nn import functional as F

        logits = logits if logits.dtype == torch.float64 else logits.float()
        return F.cross_entropy(logits, labels, reduction="sum")

    @property
    def infers_alone(self) -> bool:
        """Whether `infer` only reads the model, so that several threads may call it at once.

        A method of the task's own may put hooks into the model, as those of language models do.
        """
        return type(self).infer is Task.infer

    def infer(
        self, bundle: Bundle, batch: Mapping[str, torch.Tensor], answers: bool = True
    ) -> Inferred:
        """What the model makes of a batch, and the plain loss where the batch has labels.

        Args:
            answers: False where only the loss is asked for.
        """
        inputs = {key: value for key, value in batch.items() if key != "labels"}
        outputs = self.forward(bundle.model, inputs)
        values = self.values(outputs, batch) if answers else None
        if "labels" not in batch:
            return Inferred(values)
        return Inferred(values, *self.summed(outputs, batch["labels"]))

    def values(
        self, outputs: Any, batch: Mapping[str, torch.Tensor]
    ) -> NDArray[Any] | list[NDArray[Any]]:
        """What is kept of a batch's outputs, one item a feature: small, and on the CPU."""
        found: NDArray[np.float32] = outputs.logits.float().cpu().numpy()
        return found

    def summed(
        self, outputs: Any, labels: torch.Tensor
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(T,) the plain loss of each term, and (T,) its targets."""
        import numpy as np

        flat = self.flat_labels(labels)
        pairs = zip(self.flat_logits(outputs, labels), flat, strict=True)
        losses = [float(self.loss(logits, targets)) for logits, targets in pairs]
        return np.array(losses), np.array([float(targets.numel()) for targets in flat])

    @abstractmethod
    def decode(
        self,
        values: NDArray[Any] | list[NDArray[Any]],
        features: Dataset,
        rows: Dataset,
        bundle: Bundle,
    ) -> Predictions:
        """The answers to all examples of a split.

        Args:
            values: of every feature, in order, as `infer` gives them.
            features: as `encode` made them.
            rows: of the split.
        """

    def margins(
        self, values: NDArray[Any] | list[NDArray[Any]], bundle: Bundle
    ) -> NDArray[np.float64] | None:
        """(n,) by how much the values of each feature may change before its answer does.

        None where every change of a value is one of the answer, or no bound is known: such values
        are computed in fp32 where `precision: auto` may choose.
        """
        return None

    def model_files(self, bundle: Bundle) -> dict[str, Any]:
        """Files beside a saved model that tell other libraries how to use it: path to JSON value."""
        return {}

    def settle(
        self,
        values: NDArray[Any] | list[NDArray[Any]],
        features: Dataset,
        rows: Dataset,
        references: NDArray[Any],
        bundle: Bundle,
    ) -> Settled:
        """What is chosen on the validation rows after training.

        Only asked of a task that `settles`. Its `head` resets the entries, for those that an
        earlier run has chosen are of another model.
        """
        return Settled({})

    def samples(self, bundle: Bundle) -> dict[str, list[dict[str, Any]]]:
        """Further files of the run directory that the scored model makes by itself, without rows.

        By name, a mapping a line. Asked once, after `decode`.
        """
        return {}

    def rows_of(
        self, predictions: Predictions, references: NDArray[Any], labels: Sequence[str]
    ) -> list[dict[str, Any]]:
        """One mapping an example for predictions.jsonl: `reference`, `prediction` and more."""
        details = predictions.details or [{}] * len(references)
        answers = zip(references.tolist(), predictions.answers.tolist(), details, strict=True)
        return [
            {"reference": reference, "prediction": answer, **more}
            for reference, answer, more in answers
        ]
