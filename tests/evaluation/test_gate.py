"""Each rule of a gate: when it holds, when it is broken, and when it cannot be checked."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gated_runs import COSTS, write_run
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from nlpbench.config.costs import COSTS as NAMES
from nlpbench.config.costs import MORE_IS_BETTER
from nlpbench.config.errors import UserError
from nlpbench.config.gate import GateFile, Rules, needs_baseline, without_baseline
from nlpbench.evaluation.gate import check
from nlpbench.results.finished_run import FinishedRun, find
from nlpbench.results.record import Gate, Record, Score, SplitRecord


def rules(text: dict[str, Any]) -> Rules:
    return GateFile.model_validate({"gate": text}).gate


def held(
    folder: Path,
    gate: dict[str, Any],
    wrong: Sequence[int] = (),
    base: Sequence[int] | None = None,
    **changes: Any,
) -> Gate:
    """A gate that a run with these rows wrong was held to, beside a baseline with others wrong."""
    run = write_run(folder / "new", wrong, **changes)
    baseline = None if base is None else write_run(folder / "old", base, **changes)
    return check(rules(gate), run, baseline)


FOUR, SIX, TEN = range(4), range(6), range(10)  # rows that are wrong: accuracy 0.9, 0.85, 0.75

# A rule, the rows that are wrong in the run and in the baseline, whether it holds, what is told.
CASES: list[tuple[dict[str, Any], Sequence[int], Sequence[int] | None, bool, str]] = [
    ({"accuracy": {"min": 0.9}}, FOUR, None, True, "accuracy 0.9 is at least min 0.9"),
    ({"accuracy": {"min": 0.91}}, FOUR, None, False, "accuracy 0.9 is below min 0.91"),
    (
        {"accuracy": {"min": 0.90001}},
        FOUR,
        None,
        False,
        "accuracy 0.9 is below min 0.90001",
    ),
    ({"accuracy": {"max": 0.9}}, FOUR, None, True, "accuracy 0.9 is at most max 0.9"),
    ({"accuracy": {"max": 0.89}}, FOUR, None, False, "accuracy 0.9 is above max 0.89"),
    ({"latency_ms_p50": {"max": 10}}, (), None, True, "latency_ms_p50 10 is at most max 10"),
    ({"latency_ms_p50": {"max": 9.5}}, (), None, False, "latency_ms_p50 10 is above max 9.5"),
    ({"parameters": {"max": 999}}, (), None, False, "parameters 1000 is above max 999"),
    (
        {"accuracy": {"max_degradation": 0.05}},
        SIX,
        FOUR,
        True,  # although 0.9 - 0.85 is more than 0.05 in floating point
        "accuracy fell by 0.05 from 0.9 to 0.85, within max_degradation 0.05",
    ),
    (
        {"accuracy": {"max_degradation": 0.04}},
        SIX,
        FOUR,
        False,
        "accuracy fell by 0.05 from 0.9 to 0.85, more than max_degradation 0.04",
    ),
    (
        {"accuracy": {"max_degradation": 0}},
        FOUR,
        SIX,
        True,
        "accuracy 0.9 is no worse than 0.85 of the baseline",
    ),
    (
        {"accuracy": {"max_degradation": 0}},
        FOUR,
        FOUR,
        True,
        "accuracy 0.9 is no worse than 0.9 of the baseline",
    ),
    (
        {"accuracy": {"percent_max_degradation": 20}},
        TEN,
        FOUR,
        True,
        "accuracy fell by 16.67 % from 0.9 to 0.75, within percent_max_degradation 20",
    ),
    (
        {"accuracy": {"percent_max_degradation": 16}},
        TEN,
        FOUR,
        False,
        "accuracy fell by 16.67 % from 0.9 to 0.75, more than percent_max_degradation 16",
    ),
    (
        {"accuracy": {"percent_max_degradation": 5}},
        FOUR,
        range(40),
        True,
        "accuracy 0.9 is no worse than 0 of the baseline",
    ),
    (
        {"brier": {"percent_max_degradation": 5}},
        SIX,
        FOUR,
        False,
        "brier rose by 44.44 % from 0.09 to 0.13, more than percent_max_degradation 5",
    ),
    (
        {"brier": {"max_degradation": 0.03}},
        SIX,
        FOUR,
        False,
        "brier rose by 0.04 from 0.09 to 0.13, more than max_degradation 0.03",
    ),
    (
        {"brier": {"max_degradation": 0.05}},
        FOUR,
        SIX,
        True,
        "brier 0.09 is no worse than 0.13 of the baseline",
    ),
    (
        {"accuracy": {"min_improvement": 0.05}},
        FOUR,
        SIX,
        True,
        "accuracy improved by 0.05 from 0.85 to 0.9, as min_improvement 0.05 asks",
    ),
    (
        {"accuracy": {"min_improvement": 0.06}},
        FOUR,
        SIX,
        False,
        "accuracy improved by 0.05 from 0.85 to 0.9, and not as min_improvement 0.06 asks",
    ),
    (
        {"accuracy": {"min_improvement": 0}},
        FOUR,
        FOUR,
        True,
        "accuracy did not improve from 0.9 to 0.9, as min_improvement 0 asks",
    ),
    (
        {"brier": {"min_improvement": 0.05}},
        SIX,
        FOUR,
        False,
        "brier did not improve from 0.09 to 0.13, and not as min_improvement 0.05 asks",
    ),
]


@pytest.mark.parametrize(
    ("gate", "wrong", "base", "holds", "told"), CASES, ids=[case[-1] for case in CASES]
)
def test_a_rule_holds_or_is_broken(tmp_path, gate, wrong, base, holds, told):
    found = held(tmp_path, gate, wrong, base)
    assert [(rule.holds, rule.told) for rule in found.rules] == [(holds, told)]
    assert found.passed is holds


def test_rules_of_one_score_and_of_several_are_all_checked(tmp_path):
    gate = {
        "f1_macro": {"min": 0.95, "max": 1, "max_degradation": 0.01},
        "size_mb": {"max": 5},
    }
    found = held(tmp_path, gate, FOUR, ())
    assert [(rule.key, rule.bound, rule.holds) for rule in found.rules] == [
        ("f1_macro", "min", False),
        ("f1_macro", "max", True),
        ("f1_macro", "max_degradation", False),
        ("size_mb", "max", True),
    ]
    assert [rule.rule for rule in found.broken] == [
        "f1_macro: min 0.95",
        "f1_macro: max_degradation 0.01",
    ]
    assert found.baseline is not None
    assert found.baseline["path"] == str(tmp_path / "old" / "record.json")


@pytest.mark.parametrize("name", ["f1", "f1_macro"])
def test_a_metric_stands_for_its_only_score(tmp_path, name):
    [rule] = held(tmp_path, {name: {"min": 0.5}}, FOUR).rules
    assert rule.key == "f1_macro"


# Costs


@pytest.mark.parametrize("key", sorted(set(COSTS) & set(NAMES)))
@pytest.mark.parametrize("factor", [0.5, 0.9, 1.0, 1.1, 2.0])
def test_a_cost_gets_worse_in_its_own_direction(tmp_path, key, factor):
    run = write_run(tmp_path / "new", costs=COSTS | {key: COSTS[key] * factor})
    baseline = write_run(tmp_path / "old")
    gate = rules({key: {"percent_max_degradation": 10}})
    worse = factor < 0.9 if key in MORE_IS_BETTER else factor > 1.1
    assert check(gate, run, baseline).passed is not worse


def test_what_does_not_depend_on_hardware_compares_across_it(tmp_path):
    run = write_run(tmp_path / "new", costs=COSTS | {"device": "H100", "threads": 16})
    baseline = write_run(tmp_path / "old")
    assert check(rules({"size_mb": {"max_degradation": 0}}), run, baseline).passed


# Drops that a test confirms


@pytest.mark.parametrize(
    ("bounds", "wrong", "holds"),
    [
        ({"max_degradation": 0.01, "significant": True}, FOUR, True),
        ({"max_degradation": 0.01, "significant": True}, TEN, False),
        ({"max_degradation": 0.3, "significant": True}, TEN, True),
        ({"percent_max_degradation": 1, "significant": True}, FOUR, True),
        ({"percent_max_degradation": 1, "significant": True}, TEN, False),
        ({"significant": True}, FOUR, True),
        ({"significant": True}, TEN, False),
        ({"significant": True}, (), True),
    ],
)
def test_only_a_confirmed_drop_counts(tmp_path, bounds, wrong, holds):
    [rule] = held(tmp_path, {"accuracy": bounds}, wrong, ()).rules
    assert rule.holds is holds
    # The exact test of McNemar, where only the run is wrong on some rows.
    if rule.p_value is not None:
        assert rule.p_value == pytest.approx(binomtest(len(wrong), len(wrong)).pvalue)
        assert ("does not confirm it" in rule.told) is holds
    assert (rule.p_value is None) is (len(wrong) == 0 or bounds.get("max_degradation") == 0.3)


def test_a_confirmed_gain_breaks_nothing(tmp_path):
    assert held(tmp_path, {"accuracy": {"significant": True}}, (), TEN).passed


def test_the_level_is_that_of_the_intervals(tmp_path):
    gate = {"accuracy": {"significant": True}}  # 6 rows against none: p = 1/32
    loose = {"evaluation": {"metrics": ["accuracy"], "confidence": 0.95}}
    strict = {"evaluation": {"metrics": ["accuracy"], "confidence": 0.99}}
    assert not held(tmp_path / "a", gate, SIX, (), sections=loose).passed
    assert held(tmp_path / "b", gate, SIX, (), sections=strict).passed


@pytest.mark.parametrize("key", ["f1", "brier"])
def test_scores_without_a_right_or_wrong_are_tested_too(tmp_path, key):
    [rule] = held(tmp_path, {key: {"significant": True}}, TEN, ()).rules
    assert rule.p_value is not None
    assert rule.p_value < 0.05
    assert not rule.holds


def test_the_metric_of_a_score_is_found_among_several_that_may_give_it(tmp_path):
    metrics = [{"name": "f1", "average": "micro"}, {"name": "f1", "average": "per-class"}]
    gate = {"f1[yes]": {"significant": True}}
    [rule] = held(tmp_path, gate, TEN, (), metrics=metrics).rules
    assert not rule.holds


# Slices

SLICES = {"language=de": range(10), "language=en": range(10, 40), "length>64": ()}


def test_rules_of_a_slice(tmp_path):
    gate = {
        "accuracy": {
            "min": 0.9,
            "slices": {"language=de": {"min": 0.7, "max_degradation": 0.3, "significant": True}},
        }
    }
    found = held(tmp_path, gate, FOUR, (), slices=SLICES)
    assert [(rule.slice, rule.bound, rule.holds) for rule in found.rules] == [
        (None, "min", True),
        ("language=de", "min", False),
        ("language=de", "max_degradation", True),
    ]
    assert found.rules[1].told == "accuracy on language=de 0.6 is below min 0.7"
    # 4 of the 10 rows: p = 1/8; over all 40 rows it would be the same, so the value tells.
    assert found.rules[2].p_value == pytest.approx(binomtest(4, 4).pvalue)
    assert found.rules[2].value == pytest.approx(0.6)


def test_a_paired_test_of_a_slice_reads_its_rows_alone(tmp_path):
    wrong, base = range(20), range(14, 40)
    slices = {"first": range(20), "last": range(20, 40)}
    gate = {"accuracy": {"slices": {"first": {"significant": True}}}}
    [rule] = held(tmp_path, gate, wrong, base, slices=slices).rules
    assert rule.p_value == pytest.approx(binomtest(14, 14).pvalue)
    assert held(tmp_path / "all", {"accuracy": {"significant": True}}, wrong, base).passed


def test_a_rule_of_every_slice(tmp_path):
    found = held(tmp_path, {"accuracy": {"every_slice": {"min": 0.7}}}, FOUR, slices=SLICES)
    assert [(rule.slice, rule.holds) for rule in found.rules] == [
        ("language=de", False),
        ("language=en", True),
        ("length>64", False),
    ]
    assert found.rules[2].told == (
        "accuracy on length>64 is undefined (no rows), so min 0.7 is broken"
    )


# What is undefined


def changed(run: Any, key: str, value: float | None) -> Any:
    score = run.record.scores[key].model_copy(update={"value": value})
    scores = run.record.scores | {key: score}
    return replace(run, record=run.record.model_copy(update={"scores": scores}))


@pytest.mark.parametrize(
    "bounds",
    [{"min": 0}, {"max": 1}, {"max_degradation": 1}, {"min_improvement": 0}, {"significant": True}],
)
@pytest.mark.parametrize("whose", ["run", "baseline"])
def test_an_undefined_score_breaks_its_rule(tmp_path, bounds, whose):
    run, baseline = write_run(tmp_path / "new"), write_run(tmp_path / "old")
    if whose == "run":
        run = changed(run, "accuracy", None)
    else:
        baseline = changed(baseline, "accuracy", None)
    [rule] = check(rules({"accuracy": bounds}), run, baseline).rules
    if whose == "baseline" and ("min" in bounds or "max" in bounds):
        assert rule.holds
    else:
        assert not rule.holds
        assert "is undefined" in rule.told


@pytest.mark.parametrize(
    ("value", "base", "holds"),
    [("inf", "inf", True), ("inf", 1.0, False), (1.0, "inf", True), ("inf", None, False)],
)
def test_infinite_scores(tmp_path, value, base, holds):
    def infinite(given: Any) -> float | None:
        return None if given is None else float(given)

    run = changed(write_run(tmp_path / "new"), "brier", infinite(value))
    baseline = changed(write_run(tmp_path / "old"), "brier", infinite(base))
    for bound in ("max_degradation", "percent_max_degradation"):
        assert check(rules({"brier": {bound: 5}}), run, baseline).passed is holds


# What cannot be checked

CANNOT = [
    (
        {"accurcy": {"min": 1}},
        "gate.accurcy: new has no score or cost accurcy  did you mean accuracy?",
    ),
    (
        {"rouge": {"min": 1}},
        "gate.rouge: new has no score or cost rouge  allowed: accuracy, brier, examples_per_second, "
        "f1_macro, latency_ms_p50, latency_ms_p95, non_embedding_parameters, parameters, "
        "peak_memory_mb, size_mb, tokens_per_second",
    ),
    (
        {"peak_memory_mb": {"max": 1}},
        "gate.peak_memory_mb: peak_memory_mb of new was not measured; write evaluation.efficiency: "
        "true",
    ),
    (
        {"accuracy": {"max_degradation": 1}},
        "gate.accuracy: max_degradation needs a baseline; name one with --baseline, or write "
        "baseline beside gate",
    ),
    (
        {"accuracy": {"slices": {"languag=de": {"min": 1}}}},
        'gate.accuracy.slices."languag=de": new has no slice languag=de  did you mean language=de?',
    ),
]


@pytest.mark.parametrize(("gate", "message"), CANNOT, ids=[message for _, message in CANNOT])
def test_a_rule_that_cannot_be_checked_is_no_pass(tmp_path, gate, message):
    with pytest.raises(UserError) as caught:
        held(tmp_path, gate, slices=SLICES)
    assert str(caught.value) == message


def test_rules_of_slices_where_there_are_none(tmp_path):
    for bounds in ({"slices": {"a": {"min": 1}}}, {"every_slice": {"min": 1}}):
        with pytest.raises(UserError, match=r"new has no slices; write evaluation\.slices"):
            held(tmp_path, {"accuracy": bounds})


def test_a_metric_with_several_scores_is_told(tmp_path):
    metrics = [{"name": "f1", "average": "per-class"}]
    with pytest.raises(UserError) as caught:
        held(tmp_path, {"f1": {"min": 0.5}}, metrics=metrics)
    assert str(caught.value) == "gate.f1: f1 has several scores: f1[no], f1[yes]; take one"


def test_everything_that_cannot_be_checked_is_told_at_once(tmp_path):
    gate = {"a": {"min": 1}, "accuracy": {"min": 2}, "b": {"min": 1}}
    with pytest.raises(UserError) as caught:
        held(tmp_path, gate)
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == [
        "gate.a",
        "gate.b",
    ]


SPLIT = {"rows": 40, "fingerprint": "bbbb"}
OTHERS = [
    ({"task": "retrieval"}, "is of another task: retrieval, and new is of text-classification"),
    (
        {"split": "validation", "data": {"validation": SPLIT}},
        "is of another split: validation, and new is of test",
    ),
    ({"labels": ["a", "b"]}, "is of another set of labels: a, b, and new is of no, yes"),
    (
        {"data": {"test": SPLIT}},
        "was scored on other data than new: 40 rows with the fingerprint bbbb, and here 40 with "
        "aaaa",
    ),
]


@pytest.mark.parametrize(("changes", "message"), OTHERS, ids=[message for _, message in OTHERS])
def test_a_baseline_of_something_else_is_refused(tmp_path, changes, message):
    run = write_run(tmp_path / "new")
    file = write_run(tmp_path / "old").file
    values = json.loads(file.read_text()) | changes
    file.write_text(json.dumps(values))

    [baseline] = find([file])
    with pytest.raises(UserError) as caught:
        check(rules({"accuracy": {"min": 0}}), run, baseline)
    assert str(caught.value) == f"the baseline {file} {message}"


def other_signature(run: Any) -> Any:
    score = run.record.scores["accuracy"].model_copy(update={"signature": "accuracy|top:5"})
    scores = run.record.scores | {"accuracy": score}
    return replace(run, record=run.record.model_copy(update={"scores": scores}))


def without_scores(run: Any) -> Any:
    return replace(run, record=run.record.model_copy(update={"scores": {}}))


def on_other_hardware(run: Any) -> Any:
    costs = run.record.efficiency | {"threads": 8}
    return replace(run, record=run.record.model_copy(update={"efficiency": costs}))


def without_slices(run: Any) -> Any:
    return replace(run, record=run.record.model_copy(update={"slices": {}}))


def without_predictions(run: Any) -> Any:
    run.predictions.unlink()
    return run


def with_other_references(run: Any) -> Any:
    lines = run.predictions.read_text().splitlines()
    row = json.loads(lines[0])
    lines[0] = json.dumps(row | {"reference": "yes"})
    run.predictions.write_text("\n".join(lines) + "\n")
    return run


NO_COMPARISON: list[tuple[dict[str, Any], Callable[[Any], Any], str]] = [
    (
        {"accuracy": {"max_degradation": 0}},
        other_signature,
        "has another metric of that name: accuracy|top:5, and new has scikit-learn:",
    ),
    ({"accuracy": {"max_degradation": 0}}, without_scores, "has no score accuracy"),
    (
        {"latency_ms_p50": {"max_degradation": 0}},
        on_other_hardware,
        "was measured on Xeon with 8 threads, and new on Xeon with 2 threads; costs compare on the "
        "same hardware only",
    ),
    (
        {"accuracy": {"slices": {"language=de": {"max_degradation": 0}}}},
        without_slices,
        "has no slice language=de",
    ),
    ({"accuracy": {"significant": True}}, without_predictions, "predictions.jsonl"),
    ({"accuracy": {"significant": True}}, with_other_references, "differ"),
]


@pytest.mark.parametrize(
    ("gate", "change", "message"), NO_COMPARISON, ids=[case[1].__name__ for case in NO_COMPARISON]
)
def test_what_cannot_be_compared_is_no_pass(tmp_path, gate, change, message):
    run = write_run(tmp_path / "new", TEN, slices=SLICES)
    baseline = change(write_run(tmp_path / "old", slices=SLICES))
    with pytest.raises(UserError) as caught:
        check(rules(gate), run, baseline)
    assert message in str(caught.value)


def test_a_bound_by_itself_needs_no_comparable_baseline(tmp_path):
    run = write_run(tmp_path / "new")
    baseline = on_other_hardware(other_signature(write_run(tmp_path / "old")))
    gate = rules({"accuracy": {"min": 0.5}, "latency_ms_p50": {"max": 100}})
    assert check(gate, run, baseline).passed


# Rules with and without a baseline


def test_the_rules_that_need_no_baseline():
    found = rules(
        {
            "accuracy": {"min": 0.5, "max_degradation": 0, "significant": True},
            "f1": {"min_improvement": 0.1},
            "brier": {
                "slices": {"a": {"max": 1}, "b": {"max_degradation": 0}},
                "every_slice": {"significant": True},
            },
        }
    )
    assert needs_baseline(found) == "accuracy.max_degradation"
    left = without_baseline(found)
    assert {key: rule.model_dump(exclude_defaults=True) for key, rule in left.items()} == {
        "accuracy": {"min": 0.5},
        "brier": {"slices": {"a": {"max": 1}}},
    }
    assert needs_baseline(left) is None
    assert needs_baseline(rules({"a": {"slices": {"b=c": {"significant": True}}}})) == (
        "a.slices.b=c.significant"
    )


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(0, 1e6), st.booleans())
def test_a_degradation_is_measured_in_the_direction_of_its_score(
    value: float, base: float, limit: float, higher: bool
):

    def run(number: float) -> FinishedRun:
        score = Score(value=number, signature="m", higher_is_better=higher)
        record = Record(
            command="evaluate",
            name="run",
            model={},
            task="t",
            labels=[],
            split="test",
            seed=1,
            scores={"m": score},
            efficiency={},
            interval={},
            data={"test": SplitRecord(rows=1, fingerprint="a")},
        )
        return FinishedRun("run", Path("record.json"), record)

    drop = base - value if higher else value - base
    if abs(drop - limit) <= 1e-6:
        return
    assert check(rules({"m": {"max_degradation": limit}}), run(value), run(base)).passed is (
        drop < limit
    )
    assert check(rules({"m": {"min_improvement": limit}}), run(value), run(base)).passed is (
        -drop > limit or (abs(-drop - limit) < 1e-6)
    )
