"""From a config to a fine-tuned model, its predictions and its record."""

from __future__ import annotations

import logging
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from nlpbench import models
from nlpbench.config.errors import UserError
from nlpbench.config.run_config import RunConfig
from nlpbench.evaluation import processes
from nlpbench.results import environment, files, run_directory
from nlpbench.results.record import RECORD, Record, SplitRecord
from nlpbench.runs import launch
from nlpbench.runs.libraries import settle_libraries
from nlpbench.runs.material import Material
from nlpbench.runs.preparation import Prepared, prepare
from nlpbench.runs.scored_model import score_model, write_predictions
from nlpbench.tasks import Bundle, Task

logger = logging.getLogger("nlpbench")


def finetune(config: RunConfig, output_dir: str | Path, resume: bool = False) -> list[Record]:
    """Fine-tunes and scores; one record for each seed of the config.

    In a process that torchrun or `accelerate launch` started together with others, all of them call
    this: each trains on its share of every batch, the first one alone writes, and all return the
    same.

    Args:
        output_dir: the run directory; with `seeds` each has a directory `seed-N` in it.
        resume: go on with an unfinished run of the same config; finished seeds are kept.

    Raises:
        UserError: the config, the data or the model cannot be used, or the directory is taken.
        RunError: the training diverged.
    """
    settle_libraries()
    launch.join(config)
    directory = Path(output_dir)
    if not config.seeds:
        return [_finetune(config, directory, resume)]
    processes.from_first(lambda: _claim_for_seeds(config, directory, resume))
    try:
        return [_one_seed(config, seed, directory / f"seed-{seed}") for seed in config.seeds]
    except Exception:
        if processes.is_first():
            run_directory.discard(directory)
        raise


def _claim_for_seeds(config: RunConfig, directory: Path, resume: bool) -> None:
    if not resume and _all_finished(config, directory):
        raise UserError(
            f"{directory} holds the finished runs of this config (see: nlpbench results "
            f"{directory}); name a new one with --output-dir to run it again"
        )
    run_directory.check_free(directory, config.resolved(), resume)
    run_directory.open_run(directory, config.resolved())


def _all_finished(config: RunConfig, directory: Path) -> bool:
    return all(
        run_directory.state_of(directory / f"seed-{seed}", config.with_seed(seed).resolved())
        == "finished"
        for seed in config.seeds or ()
    )


def _one_seed(config: RunConfig, seed: int, directory: Path) -> Record:
    from nlpbench.results.record import read

    config = config.with_seed(seed)
    state = processes.from_first(lambda: run_directory.state_of(directory, config.resolved()))
    if state == "finished":
        logger.info("seed %d is finished", seed)
        return processes.from_first(lambda: read(directory))
    logger.info("seed %d", seed)
    return _finetune(config, directory, resume=state == "unfinished")


def _finetune(config: RunConfig, directory: Path, resume: bool) -> Record:
    from nlpbench.training.fit import fit

    started, clock = datetime.now(UTC), time.perf_counter()
    processes.from_first(lambda: run_directory.check_free(directory, config.resolved(), resume))
    with processes.first_goes_first():
        prepared = prepare(config)
    material, needed = prepared.material, prepared.megabytes_needed

    processes.from_first(lambda: _claim(config, directory, needed))
    try:
        fitted = fit(config, prepared.for_training(config), directory, resume)
        prepared.settle(config, fitted.model)
    except Exception:
        if processes.is_first():
            _discard_unless_learnt(directory)
        raise
    if processes.is_first():
        with files.new_directory(directory / "model") as place:
            models.save(fitted.model, prepared.tokenizer, place, config.model)
            _tell_others(config, prepared, fitted.model, place)
    data = material.records(prepared.features)
    warnings, training = prepared.warnings, fitted.training
    del prepared, fitted
    return processes.from_first(
        lambda: _score(config, directory, material, data, training, warnings, started, clock)
    )


def _tell_others(config: RunConfig, prepared: Prepared, model: Any, place: Path) -> None:
    """Writes what other libraries need to know of a saved model, if its task tells it."""
    bundle = Bundle(prepared.tokenizer, model, prepared.material.labels)
    for name, content in cast(Task, config.task).model_files(bundle).items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        files.write_text(place / name, files.strict_json(content, indent=1) + "\n")


def _claim(config: RunConfig, directory: Path, megabytes: float) -> None:
    run_directory.check_space(directory, megabytes)
    run_directory.open_run(directory, config.resolved())


def _score(
    config: RunConfig,
    directory: Path,
    material: Material,
    data: dict[str, SplitRecord],
    training: dict[str, Any],
    warnings: list[str],
    started: datetime,
    clock: float,
) -> Record:
    """Scores the saved model, in this process alone, and writes what the run leaves."""
    from nlpbench.training.fit import forget_checkpoints

    scored = score_model(config, str(directory / "model"), None, material)
    write_predictions(directory, scored)
    record = Record(
        command="finetune",
        name=directory.name,
        model={**scored.model, "name": config.model.label, "revision": config.model.revision},
        task=config.task.name,
        labels=material.labels,
        split=config.evaluation.split,
        seed=config.seed,
        scores=scored.scores,
        slices=scored.slices,
        gaps=scored.gaps,
        robustness=scored.robustness,
        efficiency=scored.efficiency,
        reliability=scored.reliability,
        errors=scored.errors,
        interval=scored.interval,
        data=data,
        data_notes=material.data.notes,
        audit=material.audit.to_json(),
        training=training,
        timings={"total_seconds": time.perf_counter() - clock, "predict_seconds": scored.seconds},
        environment=environment.describe(),
        warnings=[*warnings, *scored.warnings],
        config=config.resolved(),
        started=started.isoformat(timespec="seconds"),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    files.write_text(directory / RECORD, record.to_json())
    forget_checkpoints(directory)
    return record


def _discard_unless_learnt(directory: Path) -> None:
    """Removes the directory of a failed run that has no checkpoint to go on from."""
    from nlpbench.training.checkpoints import any_whole

    place = directory / run_directory.CHECKPOINTS
    if not any_whole(place):
        shutil.rmtree(place, ignore_errors=True)
        (directory / run_directory.HISTORY).unlink(missing_ok=True)
        run_directory.discard(directory)
