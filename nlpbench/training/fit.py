"""The story of one training run: plan, train, end with the best checkpoint."""

from __future__ import annotations

import json
import logging
import shutil
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError
from nlpbench.config.run_config import RunConfig
from nlpbench.config.sections import TrainingSection
from nlpbench.evaluation.device import default_device
from nlpbench.evaluation.metrics import Metric
from nlpbench.evaluation.predict import predict
from nlpbench.evaluation.score import values
from nlpbench.models import disk_errors
from nlpbench.results import run_directory
from nlpbench.results.files import told_clearly
from nlpbench.tasks import Task
from nlpbench.training.precision import Precision, choose
from nlpbench.training.schedule import Schedule, plan

if TYPE_CHECKING:
    from datasets import Dataset
    from numpy.typing import NDArray
    from transformers import (
        PreTrainedModel,
        PreTrainedTokenizerBase,
        TrainerState,
        TrainingArguments,
    )

logger = logging.getLogger("nlpbench")
TRAINER_STATE = "trainer_state.json"


@dataclass(frozen=True)
class Watched:
    """The score that decides which checkpoint is the best."""

    key: str
    higher_is_better: bool


@dataclass(frozen=True)
class Materials:
    """What a training run needs besides its config."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    task: Task
    labels: list[str]
    metrics: list[Metric]
    watched: Watched | None
    train: Dataset
    validation: Dataset | None
    validation_references: NDArray[Any] | None


def fit(config: RunConfig, materials: Materials, directory: Path, resume: bool) -> dict[str, Any]:
    """Trains `materials.model` in place; checkpoints and history.jsonl go to `directory`.

    Returns:
        what the record says about the training.

    Raises:
        UserError: arguments that the device or transformers does not accept.
        RunError: the training diverged.
    """
    from transformers.trainer_callback import PrinterCallback

    from nlpbench.training.callbacks import BestCheckpoint, EarlyStopping, History, ShowProgress
    from nlpbench.training.trainer import BenchTrainer

    section, model = config.training, materials.model
    precision = choose(section.precision, model.config.model_type, default_device())
    schedule = plan(section, len(materials.train))
    watched = materials.watched
    checkpoints = directory / run_directory.CHECKPOINTS
    arguments = _arguments(config, schedule, precision, watched, checkpoints)
    show = ShowProgress(watched.key if watched else None)
    callbacks: list[Any] = [
        History(directory / run_directory.HISTORY),
        BestCheckpoint(checkpoints),
        show,
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

    def loss(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:
        total = materials.task.loss(outputs.logits, labels, section.label_smoothing_factor)
        return total / (labels.numel() if num_items_in_batch is None else num_items_in_batch)

    trainer = BenchTrainer(
        model=model,
        args=arguments,
        data_collator=materials.task.collate(materials.tokenizer),
        train_dataset=materials.train,
        eval_dataset=materials.validation,
        processing_class=materials.tokenizer,
        compute_loss_func=loss,
        callbacks=callbacks,
        evaluate_now=lambda: _evaluate(config, materials),
    )
    trainer.remove_callback(PrinterCallback)
    logger.info(
        "training %d steps of %d rows (%s), %d of warm-up, %s because %s",
        schedule.steps,
        section.effective_batch_size,
        f"{schedule.accumulation} x {schedule.micro_batch_size}",
        schedule.warmup_steps,
        precision.name,
        precision.reason,
    )
    last = _last_checkpoint(checkpoints) if resume else None
    if last is not None:
        logger.info("resuming from %s", last)
    started = time.perf_counter()
    if last is not None and (done := _finished(last)) is not None:
        trainer.state = done
        _restore(model, checkpoints, done, last, section.load_best_model_at_end)
    else:
        try:
            with told_clearly(checkpoints), disk_errors(checkpoints), warnings.catch_warnings():
                warnings.filterwarnings("ignore", module=r"torch|accelerate|transformers")
                trainer.train(resume_from_checkpoint=str(last) if last else None)
        except ImportError as error:
            raise UserError(f"training: {error}") from error
        finally:
            show.close()
    state = trainer.state
    return {
        "steps": state.global_step,
        "planned_steps": schedule.steps,
        "warmup_steps": schedule.warmup_steps,
        "epochs": state.epoch,
        "seconds": time.perf_counter() - started,
        "resumed_from_step": _step(last) if last else None,
        "micro_batch_size": schedule.micro_batch_size,
        "gradient_accumulation_steps": schedule.accumulation,
        "precision": precision.name,
        "precision_reason": precision.reason,
        "padded_share": trainer.padded_share,
        "watched": watched.key if watched else None,
        "best_step": state.best_global_step if watched and section.load_best_model_at_end else None,
        "best_value": state.best_metric if state.best_global_step else None,
    }


def check_arguments(
    config: RunConfig, schedule: Schedule, precision: Precision, watched: Watched | None
) -> None:
    """Raises UserError for training arguments that transformers refuses; writes nothing."""
    _arguments(config, schedule, precision, watched, Path("checkpoints"))


def forget_checkpoints(directory: Path) -> None:
    """Frees the disk once the record is written."""
    shutil.rmtree(directory / run_directory.CHECKPOINTS, ignore_errors=True)


def _arguments(
    config: RunConfig,
    schedule: Schedule,
    precision: Precision,
    watched: Watched | None,
    checkpoints: Path,
) -> TrainingArguments:
    from transformers import TrainingArguments

    section = config.training
    device = default_device()
    try:
        return TrainingArguments(
            output_dir=str(checkpoints),
            num_train_epochs=section.num_train_epochs,
            max_steps=section.max_steps or -1,
            learning_rate=section.learning_rate,
            lr_scheduler_type=_scheduler(section),
            warmup_steps=schedule.warmup_steps,
            weight_decay=section.weight_decay,
            max_grad_norm=section.max_grad_norm,
            per_device_train_batch_size=schedule.micro_batch_size,
            gradient_accumulation_steps=schedule.accumulation,
            train_sampling_strategy=section.train_sampling_strategy,
            bf16=precision.name == "bf16",
            fp16=precision.name == "fp16",
            use_cpu=device.type == "cpu",
            eval_strategy=section.eval_strategy,
            eval_steps=section.eval_steps,
            save_strategy="epoch" if section.eval_strategy == "no" else section.eval_strategy,
            save_steps=section.eval_steps or 500,
            logging_steps=section.logging_steps,
            logging_nan_inf_filter=False,
            load_best_model_at_end=watched is not None and section.load_best_model_at_end,
            metric_for_best_model=f"eval_{watched.key}" if watched else None,
            greater_is_better=watched.higher_is_better if watched else None,
            restore_callback_states_from_checkpoint=True,
            remove_unused_columns=False,
            disable_tqdm=True,
            seed=config.seed,
            **{
                "save_total_limit": 1,
                "report_to": "none",
                "dataloader_pin_memory": device.type == "cuda",
                **section.arguments,
            },
        )
    except (ValueError, TypeError, ImportError) as error:
        raise UserError(f"training: transformers does not accept this: {error}") from error


def _scheduler(section: TrainingSection) -> str:
    # transformers' "constant" leaves warm-up out without a word.
    if section.lr_scheduler_type == "constant" and section.warmup_steps:
        return "constant_with_warmup"
    return section.lr_scheduler_type


def _evaluate(config: RunConfig, materials: Materials) -> dict[str, float]:
    """The validation scores, by the same path as every other evaluation."""
    import torch

    assert materials.validation is not None
    assert materials.validation_references is not None
    outputs = predict(
        materials.model,
        materials.validation,
        materials.task.collate(materials.tokenizer),
        batch_size=config.evaluation.batch_size,
        precision=config.evaluation.precision,
        what="validating",
    )
    targets = torch.tensor(materials.validation["labels"][:])
    total = materials.task.loss(torch.from_numpy(outputs.logits), targets)
    predictions = materials.task.decode(outputs.logits)
    found = values(
        materials.metrics, predictions, materials.validation_references, materials.labels
    )
    return {"loss": float(total) / targets.numel(), **found}


def _last_checkpoint(checkpoints: Path) -> Path | None:
    """The last whole checkpoint; what a kill left half written is removed."""
    found = sorted(checkpoints.glob("checkpoint-*"), key=_step, reverse=True)
    for place in found:
        try:
            # Its state is the last file of a checkpoint that transformers writes.
            json.loads((place / TRAINER_STATE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            shutil.rmtree(place)
        else:
            return place
    return None


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def _finished(checkpoint: Path) -> TrainerState | None:
    """The state at a checkpoint after which no step follows: Trainer.train would take one more."""
    from transformers import TrainerState

    state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE))
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
