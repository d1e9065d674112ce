"""The metrics by which runs are compared: those that all were scored by, in the same way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from nlpbench.config.errors import ConfigError, UserError
from nlpbench.evaluation.answered import Answered
from nlpbench.evaluation.metrics import Metric
from nlpbench.evaluation.metrics.perplexity import Perplexity
from nlpbench.results.finished_run import FinishedRun
from nlpbench.runs.compared_system import System

LIBRARIES = ("version", "scikit-learn", "scipy", "rapidfuzz", "rouge-score", "seqeval", "evaluate")
"""The parts of a signature that tell versions: scores are computed anew, all by the same."""

SEARCH = ("search", "seed")
"""The parts that tell how texts were generated: that belongs to what is compared."""


@dataclass(frozen=True)
class CommonMetrics:
    """Metrics, each with the keys of its scores that are compared, and what is left out."""

    metrics: list[tuple[Metric, list[str]]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def recorded_metrics(systems: Sequence[System]) -> CommonMetrics:
    """The metrics of the first system's config, where all records have them.

    Raises:
        UserError: a metric that is not the same in all, no metric that all have, or predictions
            that do not give the scores of their record.
    """
    first = systems[0]
    runs = [run for system in systems for run in system.runs]
    found, problems = CommonMetrics(), []
    for metric in first.metrics:
        keys = []
        for key in _keys(metric, systems, found.notes):
            lacking = [run.name for run in runs if key not in run.record.scores]
            if lacking:
                found.notes.append(f"{key} is left out: {lacking[0]} was not scored by it")
                continue
            problems += _other_metrics(key, runs, found.notes)
            keys.append(key)
        if keys:
            found.metrics.append((metric, keys))
            for system in systems:
                _check_scores(metric, keys, system)
    if problems:
        raise ConfigError(problems)
    if not found.metrics:
        raise UserError(
            "the runs have no score in common; name a metric with --metrics to score all by it"
        )
    known = {key for run in runs for key in run.record.scores}
    compared = {key for _, keys in found.metrics for key in keys}
    others = sorted(key for key in known - compared if key not in " ".join(found.notes))
    if others:
        found.notes.append(f"only in some of the runs, so left out: {', '.join(others)}")
    return CommonMetrics(found.metrics, list(dict.fromkeys(found.notes)))


def chosen_metrics(systems: Sequence[System], metrics: Sequence[Metric]) -> CommonMetrics:
    """Metrics that were asked for, whatever the runs were scored by.

    Raises:
        UserError: a metric that does not score these answers, or answers that were not found in
            the same way, such as perplexities of other windows.
    """
    runs = [run for system in systems for run in system.runs]
    found = CommonMetrics()
    answered = systems[0].answered[0]
    origins = [(run, _of_answers(run, answered)) for run in runs]
    for run, origin in origins[1:]:
        if origin is None or origins[0][1] is None:
            continue
        if _differing(origins[0][1], origin):
            raise UserError(
                f"{runs[0].name} and {run.name} did not answer in the same way: {origins[0][1]} "
                f"and {origin}"
            )
        found.notes.extend(_doubts(origins[0][1], origin))
    for metric in metrics:
        if answered.answer not in metric.answers:
            raise UserError(
                f"--metrics: {metric.name} does not score the {answered.answer} of "
                f"{systems[0].config.task.name}"
            )
        if keys := _keys(metric, systems, found.notes):
            found.metrics.append((metric, keys))
    taken: dict[str, Metric] = {}
    for metric, keys in found.metrics:
        for key in keys:
            if taken.setdefault(key, metric) is not metric:
                raise UserError(f"--metrics: two metrics give the score {key}; keep one of them")
    return CommonMetrics(found.metrics, list(dict.fromkeys(found.notes)))


def _keys(metric: Metric, systems: Sequence[System], notes: list[str]) -> list[str]:
    """The scores that a metric gives for all systems."""
    of_all = [system.scores(metric) for system in systems]
    keys = [
        key
        for key in of_all[0]
        if all(
            len(scores.get(key, ())) == len(system.runs)
            for scores, system in zip(of_all, systems, strict=True)
        )
    ]
    if isinstance(metric, Perplexity) and metric.key in keys and not _same_tokens(systems):
        keys.remove(metric.key)
        notes.append(
            f"{metric.key} is left out: it is by token, and the tokenizers cut the texts into "
            "different ones"
        )
    return keys


def _same_tokens(systems: Sequence[System]) -> bool:
    first, *others = [
        answered.predictions.answers[:, 1] for system in systems for answered in system.answered
    ]
    return all(bool((tokens == first).all()) for tokens in others)


def _other_metrics(key: str, runs: Sequence[FinishedRun], notes: list[str]) -> list[str]:
    """What is not the same metric as that of the first run; other versions become notes."""
    first = runs[0]
    signature = first.record.scores[key].signature
    problems = []
    for run in runs[1:]:
        other = run.record.scores[key].signature
        if _differing(signature, other):
            problems.append(
                f"{key} is not the same metric: {signature} in {first.name}, {other} in {run.name}; "
                "name it with --metrics to score both anew"
            )
        else:
            notes += _doubts(signature, other)
    return problems


def _differing(one: str, other: str) -> bool:
    """Whether signatures are of different metrics."""
    ours, theirs = _parts(one), _parts(other)
    names = (ours.keys() | theirs.keys()) - {*LIBRARIES, *SEARCH}
    return any(ours.get(name) != theirs.get(name) for name in names)


def _doubts(one: str, other: str) -> list[str]:
    """What differs and does not forbid to compare, a sentence each."""
    ours, theirs = _parts(one), _parts(other)
    notes = []
    if any(ours.get(name) != theirs.get(name) for name in SEARCH):
        told = " and ".join(
            "|".join(f"{name}:{parts[name]}" for name in SEARCH if name in parts) or "untold"
            for parts in (ours, theirs)
        )
        notes.append(f"the answers were searched for in different ways: {told}")
    if any(ours.get(name) != theirs.get(name) for name in LIBRARIES):
        notes.append("the runs were scored by other library versions; here all are scored anew")
    return notes


def _parts(signature: str) -> dict[str, str]:
    found = {}
    for part in signature.split("|"):
        name, _, value = part.partition(":")
        # The token that stands before the first one is a matter of the tokenizer.
        found[name] = "after" if name == "first" and value.startswith("after ") else value
    return found


def _of_answers(run: FinishedRun, answered: Answered) -> str | None:
    """What the answers of a run follow from; it stands behind the signature of each metric.

    None where the record was written by other library versions, so that it cannot be told apart.
    """
    for metric in cast(list[Metric], run.config.metrics):
        bare = metric.signature_for(answered.references, answered.labels, answered.answer)
        for key, score in run.record.scores.items():
            if metric.gives(key) and f"{score.signature}|".startswith(f"{bare}|"):
                return score.signature[len(bare) + 1 :]
    return None


def _check_scores(metric: Metric, keys: Sequence[str], system: System) -> None:
    """Raises UserError unless the predictions give the scores of their record."""
    found = system.scores(metric)
    for place, (run, answered) in enumerate(zip(system.runs, system.answered, strict=True)):
        signature = metric.signature_for(answered.references, answered.labels, answered.answer)
        for key in keys:
            score = run.record.scores[key]
            if not f"{score.signature}|".startswith(f"{signature}|"):  # of another library version
                continue
            recorded = math.nan if score.value is None else score.value
            if not _alike(found[key][place], recorded):
                raise UserError(
                    f"{run.predictions} is damaged: it gives {key} {found[key][place]:.6g}, and "
                    f"{run.file} says {recorded:.6g}; score it anew with nlpbench score"
                )


def _alike(one: float, other: float) -> bool:
    return (
        one == other
        or (one != one and other != other)
        or math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-9)
    )
