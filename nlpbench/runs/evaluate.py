"""From a config and fine-tuned models to their predictions, records and one table."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nlpbench.config.errors import UserError
from nlpbench.config.run_config import RunConfig
from nlpbench.models import source as sources
from nlpbench.results import environment, files, run_directory
from nlpbench.results.record import RECORD, Record
from nlpbench.runs.libraries import settle_libraries
from nlpbench.runs.scored_model import interval, score_model, write_predictions


def evaluate(config: RunConfig, output_dir: str | Path, models: Sequence[str] = ()) -> list[Record]:
    """Scores fine-tuned models on the split that `evaluation.split` names.

    Args:
        output_dir: of the record; with several models each has a directory in it.
        models: run directories, model directories, hub ids or pkg:// addresses; the config's
            own model unless told.

    Raises:
        UserError: a model or data that cannot be used, or the directory is taken.
    """
    settle_libraries()
    chosen = models_to_score(config, models)
    directory = Path(output_dir)
    names = [name for name, _ in chosen]
    places = [directory] if len(names) == 1 else _places(names, directory)
    for (name, revision), place in zip(chosen, places, strict=True):
        _check_free(place, _resolved(config, name, revision))
        sources.check(name, revision)
    return [
        _evaluate(config, name, revision, place)
        for (name, revision), place in zip(chosen, places, strict=True)
    ]


def models_to_score(config: RunConfig, models: Sequence[str]) -> list[tuple[str, str | None]]:
    """Names with their revisions: those given, or the config's own model.

    Raises:
        UserError: none is given, and the config's has no trained weights.
    """
    if models:
        return [(name, None) for name in models]
    if config.model.name_or_path is None:
        raise UserError("model.config describes an untrained model; name one with --model")
    return [(config.model.address, config.model.revision)]


def _resolved(config: RunConfig, name: str, revision: str | None) -> dict[str, Any]:
    model = {"name_or_path": name, **({"revision": revision} if revision else {})}
    return {**config.resolved(), "model": model}


def _check_free(directory: Path, resolved: dict[str, Any]) -> None:
    """An evaluation that was broken off is simply done again; there is nothing to resume."""
    broken_off = run_directory.state_of(directory, resolved) == "unfinished"
    run_directory.check_free(directory, resolved, resume=broken_off)


def _evaluate(config: RunConfig, name: str, revision: str | None, directory: Path) -> Record:
    started, clock = datetime.now(UTC), time.perf_counter()
    resolved = _resolved(config, name, revision)
    scored = score_model(config, name, revision)
    run_directory.open_run(directory, resolved)
    write_predictions(directory, scored)
    record = Record(
        command="evaluate",
        name=directory.name,
        model=scored.model,
        task=config.task.name,
        labels=scored.material.labels,
        split=config.evaluation.split,
        seed=config.seed,
        scores=scored.scores,
        efficiency=scored.efficiency,
        interval=interval(config),
        data={config.evaluation.split: scored.split},
        data_notes=scored.material.data.notes,
        audit=scored.material.audit.to_json(),
        timings={"total_seconds": time.perf_counter() - clock, "predict_seconds": scored.seconds},
        environment=environment.describe(),
        warnings=[*scored.material.audit.warnings, *scored.warnings],
        config=resolved,
        started=started.isoformat(timespec="seconds"),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    files.write_text(directory / RECORD, record.to_json())
    return record


def _places(names: Sequence[str], directory: Path) -> list[Path]:
    """A directory for each model, called as the model is."""
    places: list[Path] = []
    for name in names:
        base = directory / (name.rstrip("/").rpartition("/")[2] or "model")
        place, number = base, 1
        while place in places:
            number += 1
            place = base.with_name(f"{base.name}-{number}")
        places.append(place)
    return places
