"""The story of one training run: plan, train, end with the best checkpoint."""

from __future__ import annotations

import copy
import logging
import shutil
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import RunError, UserError
from nlpbench.config.run_config import RunConfig
from nlpbench.config.training import TrainingSection
from nlpbench.evaluation import processes
from nlpbench.evaluation.device import default_device
from nlpbench.evaluation.metrics import Metric
from nlpbench.evaluation.predict import predict
from nlpbench.evaluation.score import values
from nlpbench.models import disk_errors
from nlpbench.results import run_directory
from nlpbench.results.files import told_clearly
from nlpbench.tasks import Task
from nlpbench.training import checkpoints, compilation, precision
from nlpbench.training.arguments import training_arguments
from nlpbench.training.schedule import Schedule, plan

if TYPE_CHECKING:
    from datasets import Dataset
    from numpy.typing import NDArray
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerState

    from nlpbench.training.trainer import BenchTrainer

logger = logging.getLogger("nlpbench")


@dataclass(frozen=True)
class Watched:
    """The score that decides which checkpoint is the best."""

    key: str
    higher_is_better: bool


@dataclass(frozen=True)
class Materials:
    """What a training run needs besides its config.

    Attributes:
        train_references: what `task.references` makes of the training rows.
        train_id: the id of a training row by its number.
        fingerprints: of the splits that training reads.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    task: Task
    labels: list[str]
    metrics: list[Metric]
    watched: Watched | None
    train: Dataset
    validation: Dataset | None
    validation_references: NDArray[Any] | None
    train_references: NDArray[Any]
    train_id: Callable[[int], int | str]
    fingerprints: dict[str, str]


def fit(config: RunConfig, materials: Materials, directory: Path, resume: bool) -> dict[str, Any]:
    """Trains `materials.model` in place; checkpoints and history.jsonl go to `directory`.

    Returns:
        what the record says about the training.

    Raises:
        UserError: arguments that the device or transformers does not accept, or a run that cannot
            be gone on with.
        RunError: the training diverged, or a single row does not fit into memory.
    """
    section = config.training
    chosen = precision.choose(
        section.precision, materials.model.config.model_type, default_device()
    )
    schedule = plan(section, len(materials.train), processes.count())
    compiled = compilation.choose(section.torch_compile, default_device(), schedule.steps)
    place = directory / run_directory.CHECKPOINTS
    facts = _facts(schedule, materials)
    last = processes.from_first(lambda: _last(place, facts)) if resume else None
    prepare_model(materials.model, section, config.seed)
    trainer = _trainer(config, materials, directory, schedule, chosen, compiled)
    if section.per_device_train_batch_size == "auto":
        trainer.find_micro_batch_size(chosen.name)
    logger.info(
        "training %d steps of %d rows (%s), %d of warm-up, %s because %s",
        schedule.steps,
        section.effective_batch_size,
        f"{trainer.accumulation} x {trainer.micro_batch_size}",
        schedule.warmup_steps,
        chosen.name,
        chosen.reason,
    )
    processes.from_first(lambda: checkpoints.note_run(place, facts))
    started = time.perf_counter()
    _train(trainer, last, section.load_best_model_at_end)
    if trainer.model is not materials.model:
        materials.model.load_state_dict(trainer.whole_weights())
    state, watched = trainer.state, materials.watched
    return {
        "steps": state.global_step,
        "planned_steps": schedule.steps,
        "warmup_steps": schedule.warmup_steps,
        "epochs": state.epoch,
        "seconds": time.perf_counter() - started,
        "resumed_from_step": checkpoints.step(last) if last else None,
        "micro_batch_size": trainer.micro_batch_size,
        "gradient_accumulation_steps": trainer.accumulation,
        "processes": schedule.processes,
        "precision": chosen.name,
        "precision_reason": chosen.reason,
        "compiled": compiled.on,
        "compiled_reason": compiled.reason,
        "trained_parameters": sum(
            p.numel() for p in materials.model.parameters() if p.requires_grad
        ),
        "padded_share": trainer.padded_share(),
        "watched": watched.key if watched else None,
        "best_step": state.best_global_step if watched and section.load_best_model_at_end else None,
        "best_value": state.best_metric if state.best_global_step else None,
    }


def check_arguments(
    config: RunConfig, schedule: Schedule, chosen: precision.Precision, watched: Watched | None
) -> None:
    """Raises UserError for training arguments that transformers refuses; writes nothing."""
    training_arguments(config, schedule, chosen, watched, Path("checkpoints"))


def forget_checkpoints(directory: Path) -> None:
    """Frees the disk once the record is written."""
    shutil.rmtree(directory / run_directory.CHECKPOINTS, ignore_errors=True)


def prepare_model(model: PreTrainedModel, section: TrainingSection, seed: int) -> None:
    """What the strategies do to the model before its first step.

    Raises:
        UserError: parts that the model does not have.
    """
    from nlpbench.models.reinitialise import reinitialise
    from nlpbench.training.freezing import freeze

    if section.reinit_layers:
        reinitialise(model, section.reinit_layers, seed)
    if section.freeze:
        freeze(model, section.freeze)


def _last(place: Path, facts: dict[str, Any]) -> Path | None:
    checkpoints.check_run(place, facts)
    return checkpoints.last(place)


def _facts(schedule: Schedule, materials: Materials) -> dict[str, Any]:
    """What a resumed run must have in common with the one before."""
    return {
        "number of processes": schedule.processes,
        "effective batch size": schedule.effective_batch_size,
        **{f"fingerprint of {name}": found for name, found in materials.fingerprints.items()},
    }


def _trainer(
    config: RunConfig,
    materials: Materials,
    directory: Path,
    schedule: Schedule,
    chosen: precision.Precision,
    compiled: compilation.Compilation,
) -> BenchTrainer:
    from transformers.trainer_callback import PrinterCallback

    from nlpbench.training.batches import NumberedRows, StepCollator
    from nlpbench.training.divergence import Divergence
    from nlpbench.training.objective import build
    from nlpbench.training.sampling import FollowEpoch, train_sampler
    from nlpbench.training.trainer import BenchTrainer, Plan

    section, place = config.training, directory / run_directory.CHECKPOINTS
    collate = materials.task.collate(materials.tokenizer)
    rows = NumberedRows(materials.train)
    # A model that is spread over the processes does not become a plain one again.
    model = copy.deepcopy(materials.model) if section.fsdp else materials.model
    sampler = train_sampler(
        section,
        materials.train["length"][:],
        materials.train_references,
        schedule.effective_batch_size,
        config.seed,
    )
    trainer = BenchTrainer(
        model=model,
        args=training_arguments(config, schedule, chosen, materials.watched, place, compiled.on),
        data_collator=StepCollator(
            collate, schedule.micro_batch_size, partial(rows.__getitem__, 0)
        ),
        train_dataset=rows,
        eval_dataset=materials.validation,
        processing_class=materials.tokenizer,
        callbacks=[FollowEpoch(sampler), *_callbacks(section, schedule, materials, directory)],
        plan=Plan(
            section=section,
            schedule=schedule,
            objective=build(section, materials.task, materials.labels, materials.train_references),
            sampler=sampler,
            evaluate=lambda: _evaluate(config, materials, model),
            divergence=Divergence(materials.train_id, section.logging_steps),
            save_total_limit=int(section.arguments.get("save_total_limit") or 1),
        ),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _callbacks(
    section: TrainingSection, schedule: Schedule, materials: Materials, directory: Path
) -> list[Any]:
    from nlpbench.training.callbacks import BestCheckpoint, EarlyStopping, History, ShowProgress

    watched = materials.watched
    callbacks: list[Any] = [
        History(directory / run_directory.HISTORY),
        BestCheckpoint(directory / run_directory.CHECKPOINTS),
        ShowProgress(watched.key if watched else None),
    ]
    if section.early_stopping_patience is not None and watched is not None:
        callbacks.append(
            EarlyStopping(
                section.early_stopping_patience,
                section.early_stopping_threshold,
                f"eval_{watched.key}",
                watched.higher_is_better,
            )
        )
    if section.gradual_unfreezing is not None:
        from nlpbench.training.freezing import GradualUnfreezing

        pace = section.gradual_unfreezing.epochs_per_layer
        callbacks.append(GradualUnfreezing(materials.model, pace, schedule.steps_per_epoch))
    return callbacks


def _train(trainer: BenchTrainer, last: Path | None, best: bool) -> None:
    from accelerate.utils import set_seed

    from nlpbench.training.callbacks import ShowProgress

    place = Path(str(trainer.args.output_dir))
    if last is not None:
        logger.info("resuming from %s", last)
        if (done := _finished(last)) is not None:
            trainer.state = done
            _restore(trainer.model, place, done, last, best)
            return
    try:
        with told_clearly(place), disk_errors(place), warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"torch|accelerate|transformers")
            if processes.count() > 1:  # each with dropout masks of its own
                set_seed(trainer.args.seed, device_specific=True)
            trainer.train(resume_from_checkpoint=str(last) if last else None)
    except ImportError as error:
        raise UserError(f"training: {error}") from error
    except RunError as error:
        kept = trainer.last_saved_step
        raise RunError(
            f"{error}; the checkpoint of step {kept} is kept in {place.parent}"
            if kept
            else str(error)
        ) from error
    finally:
        for callback in trainer.callback_handler.callbacks:
            if isinstance(callback, ShowProgress):
                callback.close()


def _evaluate(
    config: RunConfig, materials: Materials, model: PreTrainedModel
) -> dict[str, float]:
    """The validation scores, by the same path as every other evaluation."""
    import torch

    assert materials.validation is not None
    assert materials.validation_references is not None
    outputs = predict(
        model,
        materials.validation,
        materials.task.collate(materials.tokenizer),
        batch_size=config.evaluation.batch_size,
        precision=config.evaluation.precision,
        what="validating",
        shared=True,
    )
    targets = torch.tensor(materials.validation["labels"][:])
    total = materials.task.loss(torch.from_numpy(outputs.logits), targets)
    predictions = materials.task.decode(outputs.logits)
    found = values(
        materials.metrics, predictions, materials.validation_references, materials.labels
    )
    return {"loss": float(total) / targets.numel(), **found}


def _finished(checkpoint: Path) -> TrainerState | None:
    """The state at a checkpoint after which no step follows: Trainer.train would take one more."""
    from transformers import TrainerState

    state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    stopping = state.stateful_callbacks.get("EarlyStopping")
    waited = stopping is not None and stopping["args"]["waited"] >= stopping["args"]["patience"]
    return state if waited or state.global_step >= state.max_steps else None


def _restore(
    model: PreTrainedModel, checkpoints: Path, state: TrainerState, last: Path, best: bool
) -> None:
    """Puts the weights into the model that training ended with."""
    place = checkpoints / f"checkpoint-{state.best_global_step}"
    if not (best and state.best_global_step and place.is_dir()):
        place = last
    saved = type(model).from_pretrained(place, dtype=model.dtype)
    model.load_state_dict(saved.state_dict())
