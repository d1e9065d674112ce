"""Checks `training.arguments` against the installed transformers without importing it."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from nlpbench.config.hints import HINTS
from nlpbench.config.problems import Invalid, Problem, show, suggest

TYPED = frozenset(
    {
        "num_train_epochs",
        "max_steps",
        "learning_rate",
        "lr_scheduler_type",
        "warmup_steps",
        "weight_decay",
        "max_grad_norm",
        "label_smoothing_factor",
        "per_device_train_batch_size",
        "train_sampling_strategy",
        "eval_strategy",
        "eval_steps",
        "logging_steps",
        "load_best_model_at_end",
        "metric_for_best_model",
        "neftune_noise_alpha",
        "gradient_checkpointing",
        "torch_compile",
        "fsdp",
        "deepspeed",
    }
)
OWNED = {
    "output_dir": "write output_dir at the top of the config",
    "seed": "write seed at the top of the config",
    "eval_on_start": "write training.evaluate_first",
    "activation_checkpointing": "write training.gradient_checkpointing",
    "average_tokens_across_devices": "the loss is always normalised over all devices",
    "prediction_loss_only": "predictions are always kept",
    "eval_accumulation_steps": "evaluation has its own prediction loop",
    "eval_do_concat_batches": "evaluation has its own prediction loop",
    "eval_use_gather_object": "evaluation has its own prediction loop",
    "batch_eval_metrics": "evaluation has its own prediction loop",
    "include_for_metrics": "evaluation has its own prediction loop",
    "save_only_model": "a checkpoint without optimiser state cannot be resumed",
    "include_num_input_tokens_seen": "the record counts the tokens",
    "length_column_name": "the lengths are counted by nlpbench",
    "use_cache": "training needs no cache of keys and values",
    "disable_tqdm": "use --quiet",
    "log_level": "use --quiet or --verbose",
    "log_level_replica": "use --quiet or --verbose",
    "log_on_each_node": "only the first process writes",
    "save_on_each_node": "only the first process writes",
    "do_train": "the command says it",
    "do_eval": "the command says it",
    "do_predict": "the command says it",
    "hub_token": "set HF_TOKEN in the environment",
    "hub_model_id": HINTS["push_to_hub"],
    "hub_private_repo": HINTS["push_to_hub"],
    "hub_strategy": HINTS["push_to_hub"],
    "hub_always_push": HINTS["push_to_hub"],
    "hub_revision": HINTS["push_to_hub"],
    "local_rank": "set by the launcher",
    "fsdp_config": "write training.fsdp as a mapping",
    "accelerator_config": "every process gets its share of every batch",
    "parallelism_config": "has no YAML form",
    "enable_jit_checkpoint": "checkpoints are kept at evaluations",
    "ignore_data_skip": "a resumed run goes on where it stopped",
    "restore_callback_states_from_checkpoint": "a resumed run always restores them",
}

WORDS = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "str": "a string",
    "dict": "a mapping",
    "list": "a list",
    "Literal": "false",
    "None": "null",
}


@cache
def fields() -> dict[str, str]:
    """The fields of the installed `TrainingArguments` and their annotations, read from its source."""
    package = importlib.util.find_spec("transformers")
    if package is None or not package.submodule_search_locations:
        return {}
    source = Path(package.submodule_search_locations[0]) / "training_args.py"
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name == "TrainingArguments":
            return {
                item.target.id: ast.unparse(item.annotation)
                for item in node.body
                if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
            }
    return {}


def open_fields() -> frozenset[str]:
    """The fields that `training.arguments` may set."""
    return frozenset(fields()) - TYPED - set(OWNED) - set(HINTS)


def check(arguments: Mapping[str, Any]) -> list[Problem]:
    """The problems of `training.arguments`, each at its key."""
    problems = []
    for name, value in arguments.items():
        if name in TYPED:
            message, advice = "has its own key", f"write training.{name}"
            problems.append(Problem((name,), message, advice, at_key=True))
        elif name in OWNED or name in HINTS:
            advice = OWNED.get(name) or HINTS[name]
            problems.append(Problem((name,), "is set by nlpbench", advice, at_key=True))
        elif name not in fields():
            message = "no field of transformers.TrainingArguments"
            problems.append(Problem((name,), message, _meant(name), at_key=True))
        elif not fits(value, fields()[name]):
            message = f"must be {in_words(fields()[name])} (got {show(value)})"
            problems.append(Problem((name,), message))
    return problems


def _meant(name: str) -> str:
    close = suggest(name, open_fields() | TYPED)
    if not close.startswith("did"):
        return "its documentation lists them"
    typed = next((key for key in TYPED if close == f"did you mean {key}?"), None)
    return f"did you mean training.{typed}?" if typed else close


def in_words(annotation: str) -> str:
    """`int | None` as `a whole number or null`."""
    words = [WORDS.get(part.strip().partition("[")[0]) for part in annotation.split("|")]
    return " or ".join(dict.fromkeys(word for word in words if word)) or "another value"


def checked(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments themselves; raises Invalid with every problem."""
    problems = check(arguments)
    if problems:
        raise Invalid(*problems)
    return arguments


def fits(value: Any, annotation: str) -> bool:
    """Whether a YAML value is of the type that an annotation such as `int | None` names."""
    return any(_fits_one(value, part.strip()) for part in annotation.split("|"))


def _fits_one(value: Any, name: str) -> bool:
    base = name.partition("[")[0]
    if base == "None":
        return value is None
    if base == "bool":
        return isinstance(value, bool)
    if base == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    if base == "float":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if base == "str":
        return isinstance(value, str)
    if base == "dict":
        return isinstance(value, dict)
    if base == "list":
        return isinstance(value, list)
    if base == "Literal":
        return value is False
    return False
