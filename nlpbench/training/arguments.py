"""The TrainingArguments that a config comes to."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError
from nlpbench.config.run_config import RunConfig
from nlpbench.config.training import TrainingSection
from nlpbench.evaluation.device import computes_in_bf16, default_device
from nlpbench.training.precision import Precision
from nlpbench.training.schedule import Schedule

if TYPE_CHECKING:
    from transformers import TrainingArguments

    from nlpbench.training.fit import Watched


def training_arguments(
    config: RunConfig,
    schedule: Schedule,
    precision: Precision,
    watched: Watched | None,
    checkpoints: Path,
    compiled: bool = False,
) -> TrainingArguments:
    """Arguments for BenchTrainer, which sees the rows of one optimiser step as one batch.

    Raises:
        UserError: arguments that the device or transformers does not accept.
    """
    from transformers import TrainingArguments

    section = config.training
    device = default_device()
    own: dict[str, Any] = {
        "output_dir": str(checkpoints),
        "num_train_epochs": section.num_train_epochs,
        "max_steps": section.max_steps or -1,
        "learning_rate": section.learning_rate,
        "weight_decay": section.weight_decay,
        "max_grad_norm": section.max_grad_norm or 0.0,
        "neftune_noise_alpha": section.neftune_noise_alpha,
        "activation_checkpointing": section.gradient_checkpointing,
        "per_device_train_batch_size": schedule.micro_batch_size * schedule.accumulation,
        "gradient_accumulation_steps": 1,
        "torch_compile": compiled,
        "bf16": precision.name == "bf16",
        "fp16": precision.name == "fp16",
        "use_cpu": device.type == "cpu",
        "eval_on_start": section.evaluate_first,
        "eval_strategy": section.eval_strategy,
        "eval_steps": section.eval_steps,
        "save_strategy": "epoch" if section.eval_strategy == "no" else section.eval_strategy,
        "save_steps": section.eval_steps or 500,
        "save_total_limit": None,  # BenchTrainer removes older ones once the new one is whole
        "logging_steps": section.logging_steps,
        "logging_nan_inf_filter": False,
        "load_best_model_at_end": watched is not None and section.load_best_model_at_end,
        "metric_for_best_model": f"eval_{watched.key}" if watched else None,
        "greater_is_better": watched.higher_is_better if watched else None,
        "restore_callback_states_from_checkpoint": True,
        "remove_unused_columns": False,
        "disable_tqdm": True,
        "seed": config.seed,
    }
    if section.gradual_unfreezing is not None:
        # Processes wait for the gradients of all that was to be trained when they met.
        own["ddp_find_unused_parameters"] = True
    own |= spread(section, schedule)
    defaults: dict[str, Any] = {"report_to": "none", "dataloader_pin_memory": False}
    if device.type == "cuda":
        workers = section.arguments.get("dataloader_num_workers", 2)
        defaults |= {"dataloader_pin_memory": True, "dataloader_num_workers": workers}
        defaults |= {"dataloader_persistent_workers": workers > 0}
        defaults |= {"tf32": computes_in_bf16(device)}
    try:
        made = TrainingArguments(**{**defaults, **section.arguments, **own})
    except (ValueError, TypeError, ImportError) as error:
        raise UserError(f"training: transformers does not accept this: {error}") from error
    # One process computes on one device: transformers would use the others by DataParallel, which
    # splits every micro-batch between them.
    made._n_gpu = min(made.n_gpu, 1)
    return made


def spread(section: TrainingSection, schedule: Schedule) -> dict[str, Any]:
    """The arguments by which the model is spread over the processes; none unless asked for.

    Raises:
        UserError: one process, a package that is lacking, or a batch that has to be cut up.
    """
    if schedule.processes == 1:
        for key in ("fsdp", "deepspeed"):
            if getattr(section, key) is not None:
                raise UserError(
                    f"training.{key} spreads the model over several processes, and this is one: "
                    "start it with --processes, or leave the key out"
                )
    if section.deepspeed is not None:
        if find_spec("deepspeed") is None:
            raise UserError("training.deepspeed needs the package deepspeed: pip install deepspeed")
        if schedule.accumulation > 1 or section.per_device_train_batch_size == "auto":
            raise UserError(
                "training.deepspeed takes a step after every micro-batch: leave "
                "per_device_train_batch_size out, or set it to "
                f"{schedule.rows_per_process}, a process's share of effective_batch_size"
            )
        return {"deepspeed": section.deepspeed}
    if section.fsdp is None:
        return {}
    if isinstance(section.fsdp, str):
        return {
            "fsdp": True,
            "fsdp_config": {"reshard_after_forward": section.fsdp == "full_shard"},
        }
    return {"fsdp": True, "fsdp_config": section.fsdp.model_dump(exclude_none=True)}
