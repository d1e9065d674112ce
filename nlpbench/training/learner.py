"""What a run trains: the model as the strategies make it, the rows it reads, and what is saved."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpbench.config.run_config import RunConfig
from nlpbench.tasks import Collate

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

    from nlpbench.training.fit import Materials
    from nlpbench.training.moving_average import MovingAverage


@dataclass(frozen=True)
class Learner:
    """A model that Trainer can train.

    Attributes:
        model: whole, with adapters, or a head alone.
        train_collate: makes the batches that are trained on, `collate` those that are predicted.
        finish: makes the model that is saved of it.
        average: of its weights, where the average is what is scored and saved.
    """

    model: Any
    train: Dataset
    validation: Dataset | None
    train_collate: Collate
    collate: Collate
    finish: Callable[[], Any]
    average: MovingAverage | None = None

    @contextmanager
    def scored(self) -> Iterator[None]:
        """Inside, the model has the weights that are scored and saved."""
        if self.average is None:
            yield
        else:
            with self.average.averaged():
                yield

    def restore(self, checkpoint: Path) -> None:
        """Gives the model the weights of a checkpoint that are scored and saved."""
        from nlpbench.training.moving_average import put_average
        from nlpbench.training.restoring import restore_weights

        restore_weights(self.model, checkpoint)
        if self.average is not None:
            put_average(self.model, checkpoint)


def prepare(config: RunConfig, materials: Materials) -> Learner:
    """Does to the model what the training section asks for before the first step.

    Raises:
        UserError: parts that the model does not have, or strategies that it cannot follow.
    """
    section, model = config.training, materials.model
    _change_parameters(config, model)
    learner = Learner(
        model,
        materials.train,
        materials.validation,
        materials.task.collate(materials.bundle, training=True),
        materials.task.collate(materials.bundle),
        finish=lambda: model,
    )
    if section.feature_extraction:
        learner = _features(learner, config, materials)
    elif section.lora:
        learner = _adapters(learner, config, materials)
    elif section.fsdp:  # a model that is spread over the processes is no plain one again
        learner = replace(learner, model=copy.deepcopy(model))
    if section.ema:
        from nlpbench.training.moving_average import MovingAverage

        learner = replace(learner, average=MovingAverage(learner.model, section.ema.decay))
    return learner


def check(config: RunConfig, materials: Materials) -> None:
    """Raises the UserErrors of `prepare`, without its work; the model may be another afterwards."""
    from nlpbench.training import objective

    section, model = config.training, materials.model
    objective.build(section, materials.task, materials.labels, materials.class_ids())
    _change_parameters(config, model)
    if section.feature_extraction:
        from nlpbench.training import feature_extraction

        feature_extraction.check(model, materials.fresh)
    elif section.lora:
        from nlpbench.training import adapters

        adapters.check(model, section.lora, materials.fresh)


def _change_parameters(config: RunConfig, model: PreTrainedModel) -> None:
    from nlpbench.models.reinitialise import reinitialise
    from nlpbench.training import activation_checkpointing
    from nlpbench.training.freezing import freeze
    from nlpbench.training.objective import check_passes_differ

    section = config.training
    check_passes_differ(section, model.config)
    if section.gradient_checkpointing:
        activation_checkpointing.check(model)
    if section.reinit_layers:
        reinitialise(model, section.reinit_layers, config.seed)
    if section.freeze:
        freeze(model, section.freeze)


def _features(learner: Learner, config: RunConfig, materials: Materials) -> Learner:
    from nlpbench.training import feature_extraction

    feature_extraction.check(materials.model, materials.fresh)
    extracted = feature_extraction.extract(
        materials.model,
        learner.train,
        learner.validation,
        learner.collate,
        batch_size=config.evaluation.batch_size,
        precision=config.evaluation.precision,
    )
    return Learner(
        extracted.model,
        extracted.train,
        extracted.validation,
        extracted.collate,
        extracted.collate,
        finish=extracted.model.restore,
    )


def _adapters(learner: Learner, config: RunConfig, materials: Materials) -> Learner:
    from nlpbench.training import adapters

    lora = config.training.lora
    assert lora is not None
    model = adapters.add(materials.model, lora, materials.fresh, materials.directory)
    return replace(learner, model=model, finish=lambda: adapters.finish(model, lora))
