"""From a config to a fine-tuned model, its predictions and its record."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from nlpbench import models
from nlpbench.config.errors import UserError
from nlpbench.config.run_config import RunConfig
from nlpbench.evaluation import efficiency
from nlpbench.evaluation.metrics import Metric
from nlpbench.evaluation.score import try_out
from nlpbench.results import environment, files, run_directory
from nlpbench.results.record import RECORD, Record
from nlpbench.runs import material as materials
from nlpbench.runs.libraries import settle_libraries
from nlpbench.runs.material import Material
from nlpbench.runs.scored_model import score_model
from nlpbench.tasks import Task

if TYPE_CHECKING:
    from datasets import Dataset

    from nlpbench.models.load import LoadedModel
    from nlpbench.training.fit import Watched

logger = logging.getLogger("nlpbench")
PREDICTIONS = "predictions.jsonl"
HISTORY = "history.jsonl"


def finetune(config: RunConfig, output_dir: str | Path, resume: bool = False) -> list[Record]:
    """Fine-tunes and scores; one record for each seed of the config.

    Args:
        output_dir: the run directory; with `seeds` each has a directory `seed-N` in it.
        resume: go on with an unfinished run of the same config; finished seeds are kept.

    Raises:
        UserError: the config, the data or the model cannot be used, or the directory is taken.
        RunError: the training diverged.
    """
    settle_libraries()
    directory = Path(output_dir)
    if not config.seeds:
        return [_finetune(config, directory, resume)]
    if not resume and _all_finished(config, directory):
        raise UserError(
            f"{directory} holds the finished runs of this config (see: nlpbench results "
            f"{directory}); name a new one with --output-dir to run it again"
        )
    run_directory.check_free(directory, config.resolved(), resume)
    run_directory.open_run(directory, config.resolved())
    try:
        return [_one_seed(config, seed, directory / f"seed-{seed}") for seed in config.seeds]
    except Exception:
        run_directory.discard(directory)
        raise


def _all_finished(config: RunConfig, directory: Path) -> bool:
    return all(
        run_directory.state_of(directory / f"seed-{seed}", config.with_seed(seed).resolved())
        == "finished"
        for seed in config.seeds or ()
    )


def _one_seed(config: RunConfig, seed: int, directory: Path) -> Record:
    from nlpbench.results.record import read

    config = config.with_seed(seed)
    state = run_directory.state_of(directory, config.resolved())
    if state == "finished":
        logger.info("seed %d is finished", seed)
        return read(directory)
    logger.info("seed %d", seed)
    return _finetune(config, directory, resume=state == "unfinished")


def _finetune(config: RunConfig, directory: Path, resume: bool) -> Record:
    from transformers import set_seed

    from nlpbench.training.fit import fit, forget_checkpoints

    started, clock = datetime.now(UTC), time.perf_counter()
    run_directory.check_free(directory, config.resolved(), resume)
    task = cast(Task, config.task)

    material = materials.read(config, config.needed_splits)
    set_seed(config.seed)
    tokenizer = models.tokenizer(config.model, material.texts["train"])
    loaded = models.load(
        config.model, task.auto_class, task.head(material.labels), tokenizer, config.max_length
    )
    watched = watch(config, material.labels)
    warnings = [*material.audit.warnings, *tell(config, material, loaded, watched)]
    features = materials.encode(config, material, tokenizer)
    run_directory.check_space(directory, megabytes_needed(loaded))

    run_directory.open_run(directory, config.resolved())
    try:
        training = fit(
            config, _for_training(config, material, loaded, tokenizer, features, watched),
            directory, resume,
        )  # fmt: skip
    except Exception:
        _discard_unless_learnt(directory)
        raise
    with files.new_directory(directory / "model") as place:
        models.save(loaded.model, tokenizer, place)
    del loaded

    scored = score_model(config, str(directory / "model"), None, material)
    files.write_jsonl(directory / PREDICTIONS, scored.predictions)
    record = Record(
        command="finetune",
        name=directory.name,
        model={**scored.model, "name": config.model.label, "revision": config.model.revision},
        task=config.task.name,
        labels=material.labels,
        split=config.evaluation.split,
        seed=config.seed,
        scores=scored.scores,
        efficiency=scored.efficiency,
        interval=interval(config),
        data=material.records(features, config.max_length),
        data_notes=material.data.notes,
        audit=material.audit.to_json(),
        training=training,
        timings={"total_seconds": time.perf_counter() - clock, "predict_seconds": scored.seconds},
        environment=environment.describe(),
        warnings=warnings,
        config=config.resolved(),
        started=started.isoformat(timespec="seconds"),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    files.write_text(directory / RECORD, record.to_json())
    forget_checkpoints(directory)
    return record


def _discard_unless_learnt(directory: Path) -> None:
    """Removes the directory of a failed run that has no checkpoint to go on from."""
    checkpoints = directory / run_directory.CHECKPOINTS
    if not any(checkpoints.glob("checkpoint-*/trainer_state.json")):
        shutil.rmtree(checkpoints, ignore_errors=True)
        (directory / HISTORY).unlink(missing_ok=True)
        run_directory.discard(directory)


def watch(config: RunConfig, labels: Sequence[str]) -> Watched | None:
    """The score that chooses the checkpoint; every metric is tried on dummy predictions for it."""
    from nlpbench.training.fit import Watched

    task, section = cast(Task, config.task), config.training
    metrics = cast(list[Metric], config.metrics)
    keys = try_out(metrics, task.answer, labels)
    if section.eval_strategy == "no":
        return None
    wanted = section.metric_for_best_model
    if wanted == "loss":
        return Watched("loss", higher_is_better=False)
    if wanted is None or wanted in keys:
        key = wanted or next(iter(keys))
        return Watched(key, keys[key].higher_is_better)
    found = next((key for key, metric in keys.items() if metric.key == wanted), None)
    if found is None:
        message = f"training.metric_for_best_model is none of the scores (got {wanted})"
        raise UserError(f"{message}, allowed: {', '.join(['loss', *keys])}")
    return Watched(found, keys[found].higher_is_better)


def tell(
    config: RunConfig, material: Material, loaded: LoadedModel, watched: Watched | None
) -> list[str]:
    """Says what a user should know before the training; returns the warnings among it."""
    if loaded.fresh:
        logger.info("new weights, not from the checkpoint: %s", ", ".join(loaded.fresh))
    warning = materials.skew_warning(config, material, watched.key if watched else None)
    if warning:
        logger.warning("%s", warning)
    return [warning] if warning else []


def interval(config: RunConfig) -> dict[str, Any]:
    """How the intervals of a record were made."""
    section = config.evaluation
    return {
        "method": "percentile bootstrap over examples",
        "confidence": section.confidence,
        "resamples": section.resamples,
        "seed": section.bootstrap_seed,
    }


def megabytes_needed(loaded: LoadedModel) -> float:
    """The disk that a run takes at most: the model, and two to three checkpoints of it with
    AdamW's two moments."""
    weights = 4 * efficiency.parameters(loaded.model)["parameters"] / 1e6
    return weights * (1 + 3 * 3) + 10


def _for_training(
    config: RunConfig,
    material: Material,
    loaded: LoadedModel,
    tokenizer: Any,
    features: dict[str, Dataset],
    watched: Watched | None,
) -> Any:
    from nlpbench.training.fit import Materials

    return Materials(
        model=loaded.model,
        tokenizer=tokenizer,
        task=cast(Task, config.task),
        labels=material.labels,
        metrics=cast(list[Metric], config.metrics),
        watched=watched,
        train=features["train"],
        validation=features.get("validation"),
        validation_references=material.references.get("validation"),
    )
