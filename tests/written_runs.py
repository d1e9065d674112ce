"""Finished runs without a model: a record and predictions, as a run leaves them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nlpbench.config.run_config import RunConfig
from nlpbench.evaluation.answered import Answered, rows_of
from nlpbench.evaluation.score import score
from nlpbench.results.files import write_jsonl, write_text
from nlpbench.results.record import RECORD, Record, SplitRecord
from nlpbench.results.run_directory import PREDICTIONS

TASKS: dict[str, Any] = {
    "labels": "text-classification",
    "label-sets": {"name": "text-classification", "problem_type": "multi_label_classification"},
    "values": {"name": "text-classification", "problem_type": "regression"},
    "tags": "token-classification",
    "spans": "question-answering",
    "texts": "text-generation",
    "log-likelihoods": "causal-language-modeling",
    "rankings": "retrieval",
}


def write_run(
    place: Path,
    answered: Answered,
    metrics: Sequence[Any] = ("accuracy",),
    *,
    task: Any = None,
    seed: int = 42,
    origin: str = "",
    model: str = "some-model",
    **changes: Any,
) -> Path:
    """A run directory.

    Args:
        metrics: names or mappings, as in YAML.
        origin: what the answers follow from, behind the signature of each metric.
        changes: fields of the record that are other than they should be.
    """
    config = RunConfig.model_validate(
        {
            "seed": seed,
            "model": model,
            "data": "rows.csv",
            "task": task or TASKS[answered.answer],
            "evaluation": {"metrics": list(metrics), "resamples": 200},
        }
    )
    scores = score(
        config.metrics,  # type: ignore[arg-type]
        answered.predictions,
        answered.references,
        answered.labels,
        config.evaluation,
        answered.answer,
    )
    if origin:
        scores = {
            key: each.model_copy(update={"signature": f"{each.signature}|{origin}"})
            for key, each in scores.items()
        }
    ids = json.dumps(sorted(map(str, answered.ids)))
    digest = hashlib.sha256((ids + str(answered.references.tolist())).encode()).hexdigest()
    record = Record(
        **{
            "command": "finetune",
            "name": place.name,
            "model": {"name": model},
            "task": config.task.name,
            "labels": answered.labels,
            "split": "test",
            "seed": seed,
            "scores": scores,
            "efficiency": {},
            "interval": {},
            "data": {"test": SplitRecord(rows=len(answered), fingerprint=f"sha256:{digest}")},
            "config": config.resolved(),
            **changes,
        }
    )
    place.mkdir(parents=True, exist_ok=True)
    write_jsonl(place / PREDICTIONS, rows_of(answered))
    write_text(place / RECORD, record.to_json())
    return place


def edit_record(place: Path, change: Callable[[dict[str, Any]], None]) -> None:
    file = place / RECORD
    values = json.loads(file.read_text(encoding="utf-8"))
    change(values)
    file.write_text(json.dumps(values), encoding="utf-8")
