"""The compression methods, one file each, and what they have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from nlpbench.config.component import Component
from nlpbench.config.training import TrainingSection

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from nlpbench.tasks import Task


@dataclass(frozen=True)
class Context:
    """What a method may use besides the model.

    Attributes:
        task, tokenizer, labels: as in a run.
        seed: of whatever is drawn.
        original: loads the model that the chain began with, in float32.
        batches: collated batches of a split with their labels, on the CPU, in a seeded order: of
            `train` or `validation`, of so many rows at most.
        fit: trains a model as a `training:` section says on the rows of the run, and gives it back;
            a further argument `objective` takes the place of the task's loss.
        directory: for files that outlive a kill, such as a teacher's logits; nobody reads it later.
    """

    task: Task
    tokenizer: PreTrainedTokenizerBase
    labels: Sequence[str]
    seed: int
    original: Callable[[], PreTrainedModel]
    batches: Callable[[str, int], Iterator[Mapping[str, torch.Tensor]]]
    fit: Callable[..., PreTrainedModel]
    directory: Path


class Method(Component, ABC):
    """Makes a model smaller or faster; adding one is adding one file with one subclass."""

    kind: ClassVar[str] = "method"
    trainable: ClassVar[bool] = True  # False where the model that comes out cannot be trained
    takes_compressed: ClassVar[bool] = True  # False where it needs plain float weights

    recover: TrainingSection | None = Field(
        None, description="trains the smaller model afterwards; keys as under training"
    )

    def check(self, configuration: PretrainedConfig, task: Task) -> None:
        """Says before any work whether the method fits an architecture and a task.

        Raises:
            UserError: it does not, and why.
        """
        return

    @abstractmethod
    def apply(self, model: PreTrainedModel, context: Context) -> PreTrainedModel:
        """The smaller model: the same object changed, or another one.

        Args:
            model: in float32 on the CPU, in evaluation mode.

        Raises:
            UserError: what only shows on the model itself.
        """

    def retokenize(self, context: Context) -> PreTrainedTokenizerBase:
        """The tokenizer that goes with the smaller model; asked for after `apply`."""
        return context.tokenizer
