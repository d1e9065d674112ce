"""Records that are the same on every machine and day."""

from __future__ import annotations

from typing import Any

from nlpbench.results.record import Record, Score, SplitRecord

F1 = "f1|average:macro|zero_division:0"
INTERVAL = {
    "method": "percentile bootstrap over examples",
    "confidence": 0.95,
    "resamples": 1000,
    "seed": 12345,
}
CPU = {"device": "Xeon Platinum 8480", "threads": 2}
GPU = {"device": "NVIDIA H100", "threads": 16}


def score(
    value: float | None,
    low: float | None = None,
    high: float | None = None,
    signature: str = F1,
    higher_is_better: bool = True,
) -> Score:
    return Score(
        value=value, low=low, high=high, signature=signature, higher_is_better=higher_is_better
    )


def make_record(**changes: Any) -> Record:
    values: dict[str, Any] = {
        "command": "finetune",
        "name": "run",
        "model": {"name": "sentence-transformers/all-MiniLM-L6-v2"},
        "task": "text-classification",
        "labels": ["no", "yes"],
        "split": "test",
        "seed": 42,
        "scores": {"f1": score(0.857142857, 0.820123, 0.890212)},
        "efficiency": {
            "parameters": 22_713_216,
            "non_embedding_parameters": 10_788_864,
            "size_mb": 90.864,
            "latency_ms_p50": 5.23111,
            "latency_ms_p95": 7.91,
            "examples_per_second": 412.345,
            "tokens_per_second": 9_876.5,
            "peak_memory_mb": 512.25,
            **CPU,
        },
        "interval": INTERVAL,
        "data": {"test": SplitRecord(rows=180, fingerprint="aaaa", truncated_share=0.0111)},
        "training": {"seconds": 61.234, "padded_share": 0.0421},
        "config": {"seed": 42, "model": {"name_or_path": "minilm"}},
        "started": "2026-01-02T03:04:05+00:00",
        "finished": "2026-01-02T03:05:06+00:00",
    }
    return Record(**(values | changes))


def seeds_of(name: str, values: dict[int, float], **changes: Any) -> list[tuple[str, Record]]:
    """Runs of one config that differ by their seed and their f1."""
    config = {"model": {"name_or_path": name}}
    return [
        (
            f"{name}/seed-{seed}",
            make_record(
                **{
                    "seed": seed,
                    "config": {**config, "seed": seed},
                    "scores": {
                        "f1": score(value, value - 0.03, value + 0.03),
                        "mse": score(10 * value, 8 * value, 12 * value, "mse", False),
                    },
                    "efficiency": make_record().efficiency | {"latency_ms_p50": 5 + seed / 7},
                }
                | changes
            ),
        )
        for seed, value in values.items()
    ]


def fixed_records() -> list[tuple[str, Record]]:
    """Seeds, costs that were measured elsewhere, other rows, an undefined score, odd names."""
    awkward = make_record(
        name="100%_a|b",
        model={"name": "org/model_with|special & $chars# {x} ~^\\ <b>*c*`d`"},
        scores={
            "f1": score(0.5, 0.45, 0.5512, "f1|average:micro"),
            "mse": score(1_234.5678, 1_100.25, 1_400.75, "mse", False),
            "roc_auc": score(None, signature="roc_auc"),
        },
        efficiency={"parameters": 1_300_000_000, "size_mb": 5_200.5, "latency_ms_p50": 0.0421}
        | {"examples_per_second": 12_345.6, "peak_memory_mb": 8_000.0}
        | GPU,
        config={"seed": 42, "model": {"name_or_path": "awkward"}},
    )
    elsewhere = make_record(
        name="validation",
        command="evaluate",
        split="validation",
        seed=7,
        scores={
            "f1": score(0.9, 0.85, 0.94),
            "mse": score(0.0000123, 0.00001, 0.0000151, "mse", False),
            "roc_auc": score(0.975, 0.95, 0.99, "roc_auc"),
        },
        efficiency={},
        training={},
        interval=INTERVAL | {"confidence": 0.9},
        data={"validation": SplitRecord(rows=90, fingerprint="bbbb")},
        config={"seed": 7, "model": {"name_or_path": "elsewhere"}},
    )
    return [
        *seeds_of("minilm", {1: 0.8, 2: 0.85, 3: 0.87}),
        ("sweeps/100%_a|b", awkward),
        ("evaluations/validation", elsewhere),
    ]
