"""What a comparison of finished runs leaves: scores side by side, tests, and changed examples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from nlpbench.results.files import spelled_if_infinite, strict_json, write_jsonl

Verdict = Literal["better", "worse", "unclear", "not tested"]


@dataclass(frozen=True)
class Compared:
    """One run beside the baseline, by one score.

    Attributes:
        score: of the run; the mean over seeds where there are several.
        deviation: the sample standard deviation over seeds.
        difference: the run's score minus the baseline's, with its interval.
        p_value: two-sided, as the test gives it.
        corrected_p_value: after Holm's correction over the runs; the verdict goes by it.
    """

    run: str
    score: float | None
    deviation: float | None
    difference: float | None
    low: float | None
    high: float | None
    p_value: float | None
    corrected_p_value: float | None
    verdict: Verdict


@dataclass(frozen=True)
class ScoreComparison:
    """All runs beside the baseline, by one score.

    Attributes:
        over: what the test takes for chance: which rows there are, or which seeds.
        test: its name in words.
    """

    key: str
    signature: str
    higher_is_better: bool
    over: Literal["rows", "seeds"]
    test: str
    baseline: float | None
    baseline_deviation: float | None
    runs: list[Compared]


@dataclass(frozen=True)
class Change:
    """An example that a run answers better or worse than the baseline.

    Attributes:
        baseline: its prediction; a list of one for each seed where there are several.
        prediction: that of the run.
        change: how much better the run's answer is; below 0 where it is worse.
    """

    id: Any
    reference: Any
    baseline: Any
    prediction: Any
    change: float


@dataclass(frozen=True)
class RowsCompared:
    """On how many examples a run is better, worse and as good, and where it changed most.

    Attributes:
        by: what tells which of two answers is better.
        changes: the examples that differ, the one that changed most first.
    """

    run: str
    by: str
    wins: int
    losses: int
    ties: int
    changes: list[Change]


@dataclass(frozen=True)
class Comparison:
    """Runs against a baseline, on the same examples.

    Attributes:
        rows: how many examples of the split.
        seeds: of every run and the baseline; empty where they are single runs.
        notes: what a reader must know besides, a sentence each.
    """

    baseline: str
    runs: list[str]
    task: str
    split: str
    rows: int
    fingerprint: str
    seeds: list[int]
    confidence: float
    resamples: int
    seed: int
    scores: list[ScoreComparison]
    by_row: list[RowsCompared]
    notes: list[str]

    def to_json(self, examples: int) -> str:
        """Strict JSON, with the `examples` that changed most of each run."""
        values = asdict(self)
        for rows in values["by_row"]:
            rows["changed_rows"], rows["changes"] = len(rows["changes"]), rows["changes"][:examples]
        return strict_json({"schema_version": 1, **_spelled(values)}, indent=1) + "\n"

    def write_examples(self, file: Path) -> None:
        """All examples that changed as jsonl, run after run, the one that changed most first.

        Raises:
            UserError: the file cannot be written.
        """
        write_jsonl(file, self._examples())

    def _examples(self) -> Iterator[dict[str, Any]]:
        for rows in self.by_row:
            for change in rows.changes:
                yield {"run": rows.run, "against": self.baseline, **asdict(change), "by": rows.by}


def _spelled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _spelled(item) for key, item in value.items()}
    return (
        [_spelled(item) for item in value]
        if isinstance(value, list)
        else spelled_if_infinite(value)
    )
