"""Finished runs against a baseline: differences with intervals, tests, and what changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from nlpbench.config import written_components
from nlpbench.config.errors import ConfigError
from nlpbench.config.problems import dotted, flatten
from nlpbench.config.sections import EvaluationSection
from nlpbench.evaluation.answered import Answered, rows_of
from nlpbench.evaluation.metrics import Metric
from nlpbench.evaluation.paired import Test
from nlpbench.evaluation.paired.by_row import Measure, measure, row_gains
from nlpbench.evaluation.paired.seeds import ENOUGH_SEEDS
from nlpbench.results.comparison import Change, Comparison, RowsCompared
from nlpbench.runs.common_metrics import chosen_metrics, recorded_metrics
from nlpbench.runs.comparable import made_comparable
from nlpbench.runs.compared_scores import by_score
from nlpbench.runs.compared_system import System, open_systems


def compare(
    runs: Sequence[str | Path],
    *,
    baseline: str | Path | None = None,
    names: Sequence[str] | None = None,
    metrics: Sequence[str | dict[str, Any] | Metric] = (),
    confidence: float | None = None,
    resamples: int | None = None,
    seed: int | None = None,
    test: Test | None = None,
) -> Comparison:
    """Compares finished runs with a baseline, on the same examples, without a model.

    The scores are computed anew from the predictions. A directory of several seeds stands for one
    run: its scores are means, rows are tested in the mean over the seeds, and the seeds that all
    have are tested as well, if there are three at least.

    Args:
        runs: run directories, or directories with one for each seed; the first is the baseline
            unless told.
        baseline: what the others are compared with; one of `runs`, or one more.
        names: what the comparison calls the runs; their paths unless told.
        metrics: names, or mappings as in YAML; those that all runs were scored by unless told.
        confidence: level of the intervals; a p-value below 1 less it is a finding.
        resamples: how often rows are drawn and exchanged.
        seed: of drawing and exchanging. These three are the baseline's own unless told.
        test: of rows, in place of the one that fits each metric.

    Raises:
        UserError: runs that are damaged, the same, or not of the same task, split, data, examples
            or metrics, with what differs.
    """
    systems, left_out = made_comparable(open_systems(runs, baseline, names))
    first = systems[0]
    settings = _settings(first, confidence, resamples, seed)
    if metrics:
        built = cast(list[Metric], written_components.metrics(list(metrics), "--metrics"))
        common = chosen_metrics(systems, built)
    else:
        common = recorded_metrics(systems)
    scores = []
    for metric, keys in common.metrics:
        scores += by_score(metric, keys, systems, test, **settings)
    how = measure(first.answered[0], [metric for metric, _ in common.metrics])
    record = first.records[0]
    return Comparison(
        baseline=first.name,
        runs=[system.name for system in systems[1:]],
        task=record.task,
        split=record.split,
        rows=len(first.answered[0]),
        fingerprint=record.data[record.split].fingerprint,
        seeds=first.seeds,
        scores=scores,
        by_row=[_by_row(how, first, other) for other in systems[1:]],
        notes=[*_notes(systems, settings), *left_out, *common.notes],
        **settings,
    )


def _settings(
    first: System, confidence: float | None, resamples: int | None, seed: int | None
) -> dict[str, Any]:
    """What the command says, else the baseline's own.

    Raises:
        UserError: a number out of its bounds.
    """
    given = {"confidence": confidence, "resamples": resamples, "bootstrap_seed": seed}
    told = {key: value for key, value in given.items() if value is not None}
    try:
        section = EvaluationSection.model_validate(told)
    except ValidationError as error:
        problems = flatten(error, EvaluationSection.model_fields)
        raise ConfigError([f"{dotted(each.path)} {each.message}" for each in problems]) from None
    own = first.config.evaluation
    values = {key: getattr(section if key in told else own, key) for key in given}
    values["seed"] = values.pop("bootstrap_seed")
    return values


def _by_row(how: Measure, first: System, other: System) -> RowsCompared:
    found = row_gains(how, other.answered, first.answered)
    before = _predictions(first.answered)
    after = _predictions(other.answered)
    references = [row["reference"] for row in rows_of(first.answered[0])]
    changes = [
        Change(
            id=first.answered[0].ids[row],
            reference=references[row],
            baseline=before[row],
            prediction=after[row],
            change=float(found.gains[row]),
        )
        for row in found.order
    ]
    return RowsCompared(other.name, how.what, found.wins, found.losses, found.ties, changes)


def _predictions(side: Sequence[Answered]) -> list[Any]:
    """(n,) as predictions.jsonl has them; lists of one for each seed where there are several."""
    found = [[row["prediction"] for row in rows_of(answered)] for answered in side]
    return found[0] if len(found) == 1 else [list(of_row) for of_row in zip(*found, strict=True)]


def _notes(systems: Sequence[System], settings: dict[str, Any]) -> list[str]:
    share, level = settings["confidence"] * 100, round(1 - settings["confidence"], 12)
    notes = [
        f"difference: run minus baseline, {share:g} % interval of the paired bootstrap over "
        f"{_drawn(systems)}, {settings['resamples']} resamples"
    ]
    number = len(systems) - 1
    corrected = f", after Holm's correction over the {number} runs of each score" * (number > 1)
    notes.append(f"p: two-sided{corrected}; unclear: p is not below {level:g}")
    if seeds := len(systems[0].seeds):
        notes.append(
            "over rows: would other examples show it, with these seeds; over seeds: would other "
            "seeds show it, on these examples, by the paired t-test and its interval; ± is the "
            f"sample standard deviation over {seeds} seeds"
        )
        if seeds < ENOUGH_SEEDS:
            notes.append(
                f"no test over {seeds} seeds: it takes {ENOUGH_SEEDS} at least to tell how far "
                "seeds scatter"
            )
    answers = [_predictions(system.answered) for system in systems]
    notes += [
        f"{system.name} answers every row as {systems[0].name} does"
        for system, its in zip(systems[1:], answers[1:], strict=True)
        if its == answers[0]
    ]
    return notes


def _drawn(systems: Sequence[System]) -> str:
    clustered = any(each.clusters is not None for each in systems[0].answered)
    return "clusters of examples" if clustered else "examples"
