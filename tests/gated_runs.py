"""Run directories of a made-up classifier, scored by the real metrics, for gates to be held to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nlpbench.config.run_config import RunConfig
from nlpbench.results.finished_run import FinishedRun, find
from nlpbench.results.record import Record, Score, SliceRecord, SplitRecord
from nlpbench.tasks import Predictions

LABELS = ["no", "yes"]
ROWS = 40
METRICS = ["accuracy", {"name": "f1", "average": "macro"}, "brier"]
COSTS = {
    "parameters": 1000,
    "size_mb": 4.0,
    "latency_ms_p50": 10.0,
    "examples_per_second": 100.0,
    "device": "Xeon",
    "threads": 2,
}


def config(metrics: Sequence[Any] = METRICS, **sections: Any) -> RunConfig:
    values = {
        "model": "some-model",
        "data": "d.csv",
        "task": "text-classification",
        "evaluation": {"metrics": list(metrics), "resamples": 200},
    }
    return RunConfig.model_validate(values | sections)


def write_run(
    directory: Path,
    wrong: Sequence[int] = (),
    *,
    metrics: Sequence[Any] = METRICS,
    costs: dict[str, Any] = COSTS,
    slices: dict[str, Sequence[int]] | None = None,
    sections: dict[str, Any] | None = None,
    **changes: Any,
) -> FinishedRun:
    """A run of 40 rows that answers the rows `wrong` wrongly.

    Args:
        slices: the rows of each slice, by its name.
        sections: further sections of the config.
        changes: of the record.
    """
    ids = np.arange(ROWS)
    references = ids % 2
    answers = np.where(np.isin(ids, wrong), 1 - references, references)
    shares = np.where(answers[:, None] == np.arange(2), 0.9, 0.1)
    held = {name: np.array(rows, dtype=int) for name, rows in (slices or {}).items()}
    chosen = config(metrics, **(sections or {}))

    def scores(rows: Any) -> dict[str, Score]:
        predictions = Predictions(answers[rows], shares[rows])
        return {
            key: Score(
                value=value,
                signature=metric.signature(LABELS),
                higher_is_better=metric.higher_is_better,
            )
            for metric in chosen.metrics
            for key, value in metric.compute(
                predictions.read(metric.reads), references[rows], LABELS
            ).items()
        }

    lines = [
        {
            "id": row,
            "reference": LABELS[references[row]],
            "prediction": LABELS[answers[row]],
            "probabilities": dict(zip(LABELS, shares[row].tolist(), strict=True)),
            **({"slices": [name for name in held if row in held[name]]} if held else {}),
        }
        for row in ids.tolist()
    ]
    values: dict[str, Any] = {
        "command": "evaluate",
        "name": directory.name,
        "model": {"name": "some-model"},
        "task": "text-classification",
        "labels": LABELS,
        "split": "test",
        "seed": 42,
        "scores": scores(ids),
        "slices": {
            name: SliceRecord(of="part", rows=len(rows), scores=scores(rows))
            for name, rows in held.items()
        },
        "efficiency": costs,
        "interval": {"confidence": 0.95, "resamples": 200, "seed": 12345},
        "data": {"test": SplitRecord(rows=ROWS, fingerprint="aaaa")},
        "config": chosen.resolved(),
        "finished": "2026-01-02T03:05:06+00:00",
    }
    directory.mkdir(parents=True, exist_ok=True)
    record = Record(**(values | changes))
    (directory / "record.json").write_text(record.to_json(), encoding="utf-8")
    (directory / "predictions.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8"
    )
    [run] = find([directory])
    return run
