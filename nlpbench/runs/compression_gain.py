"""What each step of a chain gained and lost, beside the original, on the same rows and machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from nlpbench.config.run_config import RunConfig
from nlpbench.evaluation import answered, paired
from nlpbench.evaluation.metrics import Metric
from nlpbench.results.record import Record
from nlpbench.results.run_directory import PREDICTIONS

RATIOS = (
    "parameters",
    "size_mb",
    "latency_ms_p50",
    "latency_ms_p95",
    "examples_per_second",
    "peak_memory_mb",
)
GAIN = 0.05  # a smaller one in speed is within what a machine varies by


def with_gains(found: Sequence[Record], directories: Sequence[Path]) -> list[Record]:
    """The records with ratios of costs and paired differences of scores to the first of them."""
    original, *steps = found
    told = [original]
    for record, directory in zip(steps, directories[1:], strict=True):
        ratios = {
            key: record.efficiency[key] / original.efficiency[key]
            for key in RATIOS
            if record.efficiency.get(key) and original.efficiency.get(key)
        }
        gains = {
            **record.compression,
            "ratios": ratios,
            "differences": _differences(original, record, directories[0], directory),
            "no_gain_in": _no_gain(ratios),
        }
        told.append(record.model_copy(update={"compression": gains}))
    return told


def _no_gain(ratios: dict[str, float]) -> list[str]:
    """Of size and speed, what is no better than the original."""
    lacking = []
    if ratios.get("size_mb", 0.0) > 1 - 0.01:
        lacking.append("size")
    if ratios.get("examples_per_second", 2.0) < 1 + GAIN:
        lacking.append("speed")
    return lacking


def _differences(
    original: Record, record: Record, one: Path, other: Path
) -> dict[str, dict[str, Any]]:
    """Of each score: step minus original, with interval and p-value."""
    config = RunConfig.model_validate(original.config)
    metrics, section = cast(list[Metric], config.metrics), config.evaluation
    answer = cast(Any, config.task).answer
    before = answered.read(one / PREDICTIONS, answer, original.labels)
    after = answered.read(other / PREDICTIONS, answer, record.labels)
    found = {}
    for key in record.scores:
        metric = next((one for one in metrics if one.gives(key)), None)
        if metric is None or not metric.has_interval:
            continue
        difference = paired.compare(
            metric,
            key,
            after,
            before,
            confidence=section.confidence,
            resamples=section.resamples,
            seed=section.bootstrap_seed,
        )
        found[key] = {
            "value": difference.value,
            "low": difference.low,
            "high": difference.high,
            "p_value": difference.p_value,
            "test": difference.test,
        }
    return found
