"""The story of one training run: plan, train, end with the best checkpoint."""

from __future__ import annotations

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
from nlpbench.data.features import lengths
from nlpbench.evaluation import processes
from nlpbench.evaluation.device import default_device
from nlpbench.evaluation.efficiency import PeakMemory
from nlpbench.evaluation.metrics import Metric
from nlpbench.models import disk_errors
from nlpbench.results import run_directory
from nlpbench.results.files import told_clearly
from nlpbench.tasks import Bundle, Task
from nlpbench.training import checkpoints, compilation, precision
from nlpbench.training.arguments import training_arguments
from nlpbench.training.learner import Learner, prepare
from nlpbench.training.schedule import Schedule, plan
from nlpbench.training.validation import validate

if TYPE_CHECKING:
    from datasets import Dataset
    from numpy.typing import NDArray
    from peft import PeftModel
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
        train, validation: features, as `task.encode` makes them.
        validation_rows: of the data, where there is such a split.
        train_references: what `task.references` makes of the training rows.
        train_id: the id of a training row by the number of its feature.
        fingerprints: of the splits that training reads.
        fresh: names of weights that were not in the checkpoint.
        directory: of the checkpoint's files, where there are any.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    task: Task
    labels: list[str]
    metrics: list[Metric]
    watched: Watched | None
    train: Dataset
    validation: Dataset | None
    validation_rows: Dataset | None
    validation_references: NDArray[Any] | None
    train_references: NDArray[Any]
    train_id: Callable[[int], int | str]
    fingerprints: dict[str, str]
    fresh: tuple[str, ...]
    directory: Path | None

    @property
    def bundle(self) -> Bundle:
        return Bundle(self.tokenizer, self.model, self.labels)

    def class_ids(self) -> NDArray[Any]:
        """The classes of all training targets, as class weights count them."""
        return self.task.class_ids(self.train_references, self.labels)


@dataclass(frozen=True)
class Fitted:
    """The model as it is saved, plain or with adapters, and what the record says of its training."""

    model: PreTrainedModel | PeftModel
    training: dict[str, Any]


def fit(config: RunConfig, materials: Materials, directory: Path, resume: bool) -> Fitted:
    """Trains `materials.model` in place; checkpoints and history.jsonl go to `directory`.

    Raises:
        UserError: arguments that the device or transformers does not accept, or a run that cannot
            be gone on with.
        RunError: the training diverged, or a single row does not fit into memory.
    """
    from nlpbench.training import micro_batch_size

    section = config.training
    chosen = precision.choose(
        section.precision, materials.model.config.model_type, default_device()
    )
    schedule = plan(section, len(materials.train), processes.count(), materials.task.rows_interact)
    compiled = compilation.choose(
        section.torch_compile, default_device(), schedule.steps, section.gradual_unfreezing is None
    )
    place = directory / run_directory.CHECKPOINTS
    facts = _facts(schedule, materials)
    last = processes.from_first(lambda: _last(place, facts)) if resume else None
    learner = prepare(config, materials)
    trainer = _trainer(config, materials, learner, directory, schedule, chosen, compiled)
    if section.per_device_train_batch_size == "auto":
        micro_batch_size.find(trainer, chosen.name)
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
    with PeakMemory() as memory:
        _train(trainer, learner, last, section.load_best_model_at_end)
    tokens, computed = trainer.token_counts()
    if section.fsdp:
        materials.model.load_state_dict(trainer.whole_weights())
    state, watched = trainer.state, materials.watched
    trained = sum(p.numel() for p in learner.model.parameters() if p.requires_grad)
    training = {
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
        "trained_parameters": trained,
        "tokens": tokens,
        "padded_share": 1 - tokens / computed if computed else 0.0,
        "peak_memory_mb": memory.megabytes,
        "watched": watched.key if watched else None,
        "best_step": state.best_global_step if watched and section.load_best_model_at_end else None,
        "best_value": state.best_metric if state.best_global_step else None,
    }
    return Fitted(learner.finish(), training)


def check_arguments(
    config: RunConfig, schedule: Schedule, chosen: precision.Precision, watched: Watched | None
) -> None:
    """Raises UserError for training arguments that transformers refuses; writes nothing."""
    training_arguments(config, schedule, chosen, watched, Path("checkpoints"))


def forget_checkpoints(directory: Path) -> None:
    """Frees the disk once the record is written."""
    shutil.rmtree(directory / run_directory.CHECKPOINTS, ignore_errors=True)


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
    learner: Learner,
    directory: Path,
    schedule: Schedule,
    chosen: precision.Precision,
    compiled: compilation.Compilation,
) -> BenchTrainer:
    from transformers.trainer_callback import PrinterCallback

    from nlpbench.training.batches import NumberedRows, StepCollator, Visits
    from nlpbench.training.divergence import Divergence
    from nlpbench.training.objective import build
    from nlpbench.training.sampling import FollowEpoch, train_sampler
    from nlpbench.training.trainer import BenchTrainer, Plan

    section, place = config.training, directory / run_directory.CHECKPOINTS
    rows = NumberedRows(learner.train)
    sampler = train_sampler(
        section,
        lengths(learner.train),
        materials.train_references,
        schedule.effective_batch_size,
        config.seed,
    )
    trainer = BenchTrainer(
        model=learner.model,
        args=training_arguments(config, schedule, chosen, materials.watched, place, compiled.on),
        data_collator=StepCollator(
            learner.train_collate,
            schedule.micro_batch_size,
            partial(rows.__getitem__, 0),
            Visits(config.seed, sampler) if materials.task.masks_anew else None,
        ),
        train_dataset=rows,
        eval_dataset=learner.validation,
        processing_class=materials.tokenizer,
        callbacks=[
            FollowEpoch(sampler),
            *([learner.average] if learner.average else []),
            *_callbacks(section, schedule, materials, directory),
        ],
        plan=Plan(
            section=section,
            schedule=schedule,
            objective=build(section, materials.task, materials.labels, materials.class_ids()),
            sampler=sampler,
            evaluate=lambda: validate(config, materials, learner),
            divergence=Divergence(
                materials.train_id, section.logging_steps, default_device().type == "cpu"
            ),
            save_total_limit=int(section.arguments.get("save_total_limit") or 1),
            states=(learner.average,) if learner.average else (),
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


def _train(trainer: BenchTrainer, learner: Learner, last: Path | None, best: bool) -> None:
    """Trains, or goes on from a checkpoint, and ends with the weights that are scored and saved."""
    place = Path(str(trainer.args.output_dir))
    if last is not None:
        logger.info("resuming from %s", last)
        if (done := _finished(last)) is not None:
            trainer.state = done
            learner.restore(_best(place, done) or last if best else last)
            return
        if learner.average:
            learner.average.load(last)
    _steps(trainer, last, place)
    if learner.average:
        found = _best(place, trainer.state) if best else None
        if found is not None:
            learner.restore(found)
        else:
            learner.average.put()


def _best(checkpoints: Path, state: TrainerState) -> Path | None:
    """The checkpoint that scored best, if it is there."""
    place = checkpoints / f"checkpoint-{state.best_global_step}"
    return place if state.best_global_step and place.is_dir() else None


def _steps(trainer: BenchTrainer, last: Path | None, place: Path) -> None:
    from accelerate.utils import set_seed

    from nlpbench.training.callbacks import ShowProgress

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


def _finished(checkpoint: Path) -> TrainerState | None:
    """The state at a checkpoint after which no step follows: Trainer.train would take one more."""
    from transformers import TrainerState

    state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    stopping = state.stateful_callbacks.get("EarlyStopping")
    waited = stopping is not None and stopping["args"]["waited"] >= stopping["args"]["patience"]
    return state if waited or state.global_step >= state.max_steps else None
