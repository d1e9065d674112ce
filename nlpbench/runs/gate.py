"""Holds the runs of a command to the rules of a gate, and tells everyone who asked what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nlpbench.config import gate_file
from nlpbench.config.errors import ConfigError, UserError
from nlpbench.config.gate import Rules, needs_baseline, without_baseline
from nlpbench.config.run_config import RunConfig
from nlpbench.evaluation import gate
from nlpbench.results import baseline, finished_run, junit, step_summary
from nlpbench.results import record as records
from nlpbench.results.finished_run import FinishedRun
from nlpbench.results.record import CheckedRule

if TYPE_CHECKING:
    from nlpbench.runs.evaluate import Outcome


@dataclass(frozen=True)
class GateOptions:
    """What the command line says of a gate.

    Attributes:
        file: rules in place of those of the config.
        baseline: a run or record in place of the one that file or config names.
        junit: where to write what came of the rules as JUnit XML.
        update_baseline: whether runs that pass become the baseline.
    """

    file: Path | None = None
    baseline: Path | None = None
    junit: Path | None = None
    update_baseline: bool = False


@dataclass(frozen=True)
class OpenedGate:
    """Rules and baselines that were read and fit the config, before anything is computed.

    Attributes:
        rules: those that can be checked; some wait where there is no baseline yet.
        place: of the baseline; None if nothing compares with one.
        baselines: the runs found there; none where there is no baseline yet.
    """

    rules: Rules
    place: Path | None
    baselines: list[FinishedRun]
    options: GateOptions
    notes: list[str]


@dataclass(frozen=True)
class GateOutcome:
    """The runs, each with the checked rules in its record, and what else was done."""

    runs: list[FinishedRun]
    notes: list[str]

    @property
    def rules(self) -> list[tuple[FinishedRun, CheckedRule]]:
        return [
            (run, rule) for run in self.runs if run.record.gate for rule in run.record.gate.rules
        ]

    @property
    def broken(self) -> list[tuple[FinishedRun, CheckedRule]]:
        return [(run, rule) for run, rule in self.rules if not rule.holds]


def open_gate(config: RunConfig | None, options: GateOptions) -> OpenedGate | None:
    """Reads the rules and the baseline, so that mistakes in them are told before the work.

    Args:
        config: of the runs to come; None for finished ones, whose records are told apart later.

    Returns:
        None where there is neither a rule nor a baseline to update.

    Raises:
        UserError: a file that cannot be read or holds mistakes, a baseline that is missing,
            damaged, or of another task or split; an option without what it needs.
    """
    rules: Rules = (config.gate if config else None) or {}
    named = config.baseline if config else None
    if options.file is not None:
        found = gate_file.read(options.file, config)
        rules, named = found.gate, found.baseline or named
    place = options.baseline or (Path(named) if named is not None else None)
    if options.update_baseline and place is None:
        raise UserError("--update-baseline needs a place; name one with --baseline")
    if not rules and not options.update_baseline:
        for option, given in {"--baseline": options.baseline, "--junit": options.junit}.items():
            if given is not None:
                raise UserError(f"{option} goes with a gate; write gate in the config, or --gate")
        return None
    return _with_baselines(rules, place, config, options)


def _with_baselines(
    rules: Rules, place: Path | None, config: RunConfig | None, options: GateOptions
) -> OpenedGate:
    needed, notes = needs_baseline(rules), []
    if place is None and needed:
        raise UserError(
            f"gate.{needed} needs a baseline; name one with --baseline, or write baseline beside "
            "gate"
        )
    home = place.parent if place is not None and place.name == records.RECORD else place
    if options.update_baseline and home is not None:
        baseline.check_replaceable(home)
    baselines: list[FinishedRun] = []
    missing = place is not None and not place.exists()
    if missing and not options.update_baseline:
        raise UserError(f"there is no baseline {place}; --update-baseline writes one")
    if missing and needed:
        rules = without_baseline(rules)
        notes.append(f"there is no baseline {place} yet, so no rule that compares with it is held")
    elif place is not None and not missing and (needed or not options.update_baseline):
        baselines = finished_run.find([place])
    if config is not None:
        _check_kind(baselines, config)
    return OpenedGate(rules, home, baselines, options, notes)


def _check_kind(baselines: Sequence[FinishedRun], config: RunConfig) -> None:
    """Raises UserError unless some baseline has the task and the split of the config."""
    ours = config.task.name, config.evaluation.split
    kinds = [(each.record.task, each.record.split) for each in baselines]
    if kinds and ours not in kinds:
        task, split = kinds[0]
        raise UserError(
            f"the baseline {baselines[0].file} is of {task} on the split {split}, and this is "
            f"{ours[0]} on {ours[1]}"
        )


def open_gate_of(runs: Sequence[FinishedRun], options: GateOptions) -> OpenedGate:
    """The gate that finished runs are held to: that of the options, or of their own configs.

    Raises:
        UserError: as `open_gate`; there is no gate, or the runs have different ones.
    """
    if options.file is not None:
        opened = open_gate(None, options)
    else:
        first = runs[0].config
        for run in runs[1:]:
            if (run.config.gate, run.config.baseline) != (first.gate, first.baseline):
                raise UserError(f"{runs[0].file} and {run.file} have other gates; name one: --gate")
        opened = open_gate(first, options)
    if opened is None:
        raise UserError(f"the config of {runs[0].file} has no gate; name a file of rules: --gate")
    return opened


def gate_records(
    opened: OpenedGate, runs: Sequence[FinishedRun], complete: bool = True
) -> GateOutcome:
    """Checks the rules for each run, keeps what came of it in its record, and writes the reports.

    Args:
        complete: whether these are all runs that there should be; else no baseline is updated.

    Raises:
        UserError: rules that cannot be checked, each on a line, or a place that cannot be written.
    """
    checked, problems = [], []
    for run in runs:
        try:
            chosen = baseline.choose(opened.baselines, run) if opened.baselines else None
            found = gate.check(opened.rules, run, chosen)
        except UserError as error:
            problems += str(error).splitlines()
            continue
        record = run.record.model_copy(update={"gate": found})
        checked.append(replace(run, record=record))
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    if not checked:
        return GateOutcome([], [])
    for run in checked if opened.rules else ():
        assert run.record.gate is not None
        records.keep_gate(run.file, run.record.gate)
    outcome = GateOutcome(checked, list(opened.notes))
    if opened.options.junit is not None:
        junit.write(opened.options.junit, checked)
    if opened.options.update_baseline and opened.place is not None:
        outcome.notes.append(_update(opened.place, outcome, complete))
    step_summary.append(checked, outcome.notes)
    return outcome


def gate_cells(opened: OpenedGate, outcomes: Sequence[Outcome]) -> GateOutcome:
    """Holds the cells that could be scored to the gate; no baseline is updated if one failed."""
    done = [
        FinishedRun(
            outcome.cell.place or outcome.record.name,
            outcome.directory / records.RECORD,
            outcome.record,
        )
        for outcome in outcomes
        if outcome.record is not None
    ]
    return gate_records(opened, done, complete=len(done) == len(outcomes))


def _update(place: Path, outcome: GateOutcome, complete: bool) -> str:
    if outcome.broken or not complete:
        return f"the baseline {place} stays as it is"
    baseline.write(place, outcome.runs)
    return f"wrote the baseline {place}: {_written(outcome.runs)}"


def _written(runs: Sequence[FinishedRun]) -> str:
    if len(runs) == 1:
        return (
            "record.json and predictions.jsonl" if runs[0].predictions.exists() else "record.json"
        )
    return f"{len(runs)} records with their predictions"
