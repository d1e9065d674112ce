"""Finished runs side by side: what is compared, what is refused, and how seeds are taken."""

from __future__ import annotations

import json
import shutil
import statistics
from dataclasses import replace

import numpy as np
import pytest
from noisy_texts import as_array
from scipy.stats import binomtest, ttest_rel
from two_systems import LABELS, answered, labelled, of_accuracy, translations
from written_runs import edit_record, write_run

import nlpbench
from nlpbench.config.errors import UserError
from nlpbench.evaluation.paired.holm import holm
from nlpbench.results.record import Record


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def by_key(comparison, over="rows"):
    return {each.key: each for each in comparison.scores if each.over == over}


def two_runs(here, **more):
    one, other = of_accuracy(0.75, 0.9, 200, seed=1)
    write_run(here / "a", one, **more)
    write_run(here / "b", other, **more)
    return one, other


# One run against another


def test_the_first_is_the_baseline_unless_told(here):
    one, other = two_runs(here)
    found = nlpbench.compare(["a", "b"])
    assert (found.baseline, found.runs, found.rows, found.task) == (
        "a",
        ["b"],
        200,
        "text-classification",
    )
    [scores] = found.scores
    [run] = scores.runs
    right, its = (each.predictions.answers == each.references for each in (one, other))
    assert (scores.baseline, run.score) == pytest.approx((right.mean(), its.mean()))
    assert run.difference == pytest.approx(its.mean() - right.mean())
    wins, losses = int((its & ~right).sum()), int((right & ~its).sum())
    assert run.p_value == pytest.approx(binomtest(wins, wins + losses).pvalue)
    assert (run.verdict, scores.test) == ("better", "exact McNemar test")
    [rows] = found.by_row
    assert (rows.wins, rows.losses, rows.ties) == (wins, losses, 200 - wins - losses)
    assert len(rows.changes) == wins + losses
    for turned in (
        nlpbench.compare(["a", "b"], baseline="b"),
        nlpbench.compare(["a"], baseline="b"),
    ):
        assert (turned.baseline, turned.runs) == ("b", ["a"])
        assert turned.scores[0].runs[0].difference == -run.difference
        assert turned.scores[0].runs[0].verdict == "worse"


def test_settings_are_those_of_the_baseline_unless_told(here):
    two_runs(here)
    found = nlpbench.compare(["a", "b"])
    assert (found.confidence, found.resamples, found.seed) == (0.95, 200, 12345)
    told = nlpbench.compare(["a", "b"], confidence=0.5, resamples=300, seed=7)
    assert (told.confidence, told.resamples, told.seed) == (0.5, 300, 7)
    width = found.scores[0].runs[0].high - found.scores[0].runs[0].low
    assert told.scores[0].runs[0].high - told.scores[0].runs[0].low < width / 2
    with pytest.raises(UserError) as error:
        nlpbench.compare(["a", "b"], confidence=1.5, resamples=10)
    assert str(error.value).splitlines() == [
        "confidence must be less than 1 (got 1.5)",
        "resamples must be at least 100 (got 10)",
    ]


def test_lower_is_better_where_the_metric_says_so(here):
    chance = np.random.default_rng(0)
    references = chance.normal(size=150)
    for name, noise in (("far", 2.0), ("near", 0.5)):
        answers = references + noise * chance.normal(size=150)
        write_run(here / name, answered("values", references, answers), ["mse", "pearson"])
    found = nlpbench.compare(["far", "near"])
    mse, pearson = by_key(found)["mse"].runs[0], by_key(found)["pearson"].runs[0]
    assert mse.difference < 0 < pearson.difference
    assert mse.verdict == pearson.verdict == "better"
    [rows] = found.by_row
    assert rows.by == "squared error"
    assert rows.wins > rows.losses
    first, last = rows.changes[0], rows.changes[-1]
    assert first.change == pytest.approx(
        (first.baseline - first.reference) ** 2 - (first.prediction - first.reference) ** 2
    )
    assert abs(first.change) > abs(last.change)


def test_several_runs_are_corrected_after_holm_for_each_score(here):
    references = np.random.default_rng(0).integers(0, 2, 300)
    for name, share in zip("abcd", (0.8, 0.81, 0.87, 0.86), strict=True):
        chance = np.random.default_rng(ord(name))
        answers = np.where(chance.random(300) < share, references, 1 - references)
        write_run(here / name, labelled(references, answers), ["accuracy", "f1"])
    found = nlpbench.compare(["a", "b", "c", "d"])
    for scores in found.scores:
        plain = [run.p_value for run in scores.runs]
        assert [run.corrected_p_value for run in scores.runs] == holm(plain)
        for run in scores.runs:
            assert (run.verdict == "unclear") == (run.corrected_p_value >= 0.05)
    assert any("Holm's correction over the 3 runs of each score" in note for note in found.notes)
    assert not any("Holm" in note for note in nlpbench.compare(["a", "b"]).notes)


def test_a_run_that_answers_as_the_baseline_is_said_to(here):
    one, _ = two_runs(here)
    write_run(here / "c", one)
    found = nlpbench.compare(["a", "b", "c"])
    assert "c answers every row as a does" in found.notes
    assert not any(note.startswith("b answers") for note in found.notes)
    assert [run.verdict for run in found.scores[0].runs] == ["better", "unclear"]


def test_rows_may_stand_in_another_order(here):
    two_runs(here)
    expected = nlpbench.compare(["a", "b"])
    lines = (here / "b/predictions.jsonl").read_text().splitlines(keepends=True)
    (here / "b/predictions.jsonl").write_text("".join(reversed(lines)))
    assert nlpbench.compare(["a", "b"]) == expected


def test_labels_may_stand_in_another_order(here):
    one, other = of_accuracy(0.75, 0.9, 200, seed=1)
    write_run(here / "a", one, ["accuracy"])
    write_run(here / "b", other, ["accuracy"])
    expected = nlpbench.compare(["a", "b"])
    turned = labelled(1 - other.references, 1 - other.predictions.answers, LABELS[::-1])
    data = json.loads((here / "a/record.json").read_text())["data"]
    write_run(here / "b", turned, ["accuracy"], data=data)
    assert nlpbench.compare(["a", "b"]).scores == expected.scores


def test_clusters_are_drawn_whole(here):
    clusters = np.repeat(np.arange(20), 10).tolist()
    one, other = of_accuracy(0.75, 0.9, 200, seed=1, clusters=clusters)
    write_run(here / "a", one)
    write_run(here / "b", other)
    found = nlpbench.compare(["a", "b"])
    assert found.scores[0].test == "approximate randomisation"
    assert any("over clusters of examples" in note for note in found.notes)


# What is told of rows


def rows_of_kind():
    texts = translations(12, seed=1)[3]
    tags = as_array([["B-X", "O"], ["O", "O"]])
    sets = np.array([[1, 0], [1, 1], [0, 0]])
    graded = as_array([{"d1": 1}, {"d2": 2}])
    return [
        (
            answered("label-sets", sets, np.array([[1, 0], [1, 1], [0, 0]]), ["a", "b"]),
            answered("label-sets", sets, np.array([[0, 1], [1, 0], [0, 0]]), ["a", "b"]),
            ["f1"],
            ("share of labels that are right", 0, 2, 1, -1.0, ["b"]),
        ),
        (
            answered("tags", tags, as_array([["O", "O"], ["O", "O"]]), ["O", "B-X", "I-X"]),
            answered("tags", tags, as_array([["B-X", "O"], ["O", "O"]]), ["O", "B-X", "I-X"]),
            ["entity-f1"],
            ("share of words tagged right", 1, 0, 1, 0.5, ["B-X", "O"]),
        ),
        (
            answered("spans", as_array([["red cat"], []]), as_array(["red", ""])),
            answered("spans", as_array([["red cat"], []]), as_array(["red cat", "x"])),
            ["squad-f1"],
            ("squad_f1", 1, 1, 0, -1.0, "x"),
        ),
        (
            answered("rankings", graded, as_array([["d1", "d2"], ["d1", "d2"]])),
            answered("rankings", graded, as_array([["d2", "d1"], ["d1", "d2"]])),
            ["mrr"],
            ("mrr_at_10", 0, 1, 1, -0.5, ["d2", "d1"]),
        ),
        (
            answered(
                "log-likelihoods", np.array([[2, 8], [2, 8]]), np.array([[-8.0, 3], [-8.0, 3]])
            ),
            answered(
                "log-likelihoods", np.array([[2, 8], [2, 8]]), np.array([[-4.0, 3], [-8.0, 3]])
            ),
            ["perplexity"],
            ("bits_per_byte", 1, 0, 1, 4 / 8 / np.log(2), [-4.0, 3.0]),
        ),
        (*texts, [{"name": "distinct", "n": 1}, "chrf"], ("chrf", None, None, None, None, None)),
        (*texts, ["length-ratio"], ("chrf", None, None, None, None, None)),
    ]


@pytest.mark.parametrize(("one", "other", "metrics", "expected"), rows_of_kind())
def test_rows_are_judged_by_what_fits_their_kind(here, one, other, metrics, expected):
    write_run(here / "a", one, metrics)
    write_run(here / "b", other, metrics)
    [rows] = nlpbench.compare(["a", "b"]).by_row
    by, wins, losses, ties, change, prediction = expected
    assert rows.by == by
    assert rows.wins + rows.losses + rows.ties == len(one)
    if wins is not None:
        assert (rows.wins, rows.losses, rows.ties) == (wins, losses, ties)
        assert rows.changes[0].change == pytest.approx(change)
        assert rows.changes[0].prediction == prediction


def test_of_rows_that_changed_alike_the_surest_come_first(here):
    references = np.zeros(4, int)
    before, after = np.array([0.9, 0.8, 0.6, 0.7]), np.array([0.4, 0.1, 0.45, 0.65])
    for name, sure in (("a", before), ("b", after)):
        shares = np.stack([sure, 1 - sure], axis=1)
        write_run(here / name, labelled(references, shares.argmax(axis=1), probabilities=shares))
    [rows] = nlpbench.compare(["a", "b"]).by_row
    assert [change.id for change in rows.changes] == [1, 0, 2]
    assert {(change.baseline, change.prediction, change.change) for change in rows.changes} == {
        ("no", "yes", -1.0)
    }


def test_queries_that_have_no_score_are_neither_won_nor_lost(here):
    graded = as_array([{"d1": 1}, {}])
    write_run(here / "a", answered("rankings", graded, as_array([["d2", "d1"], ["d1"]])), ["mrr"])
    write_run(here / "b", answered("rankings", graded, as_array([["d1", "d2"], ["d2"]])), ["mrr"])
    [rows] = nlpbench.compare(["a", "b"]).by_row
    assert (rows.wins, rows.losses, rows.ties, len(rows.changes)) == (1, 0, 0, 1)


# Which metrics


def test_only_common_scores_are_compared(here):
    one, other = of_accuracy(0.75, 0.9, 100, seed=1)
    write_run(here / "a", one, ["accuracy", "mcc"])
    write_run(here / "b", other, ["f1", "accuracy"])
    found = nlpbench.compare(["a", "b"])
    assert list(by_key(found)) == ["accuracy"]
    assert "mcc is left out: b was not scored by it" in found.notes
    assert "only in some of the runs, so left out: f1" in found.notes
    write_run(here / "c", other, ["f1"])
    with pytest.raises(UserError, match="no score in common; name a metric with --metrics"):
        nlpbench.compare(["a", "c"])
    assert list(by_key(nlpbench.compare(["a", "c"], metrics=["f1", "accuracy"]))) == [
        "f1",
        "accuracy",
    ]


def test_another_metric_of_the_same_name_is_refused(here):
    _, _, _, (one, other) = translations(20, seed=1)
    write_run(here / "a", one, ["bleu", "chrf"])
    write_run(
        here / "b",
        other,
        [{"name": "bleu", "tokenize": "intl"}, {"name": "chrf", "lowercase": True}],
    )
    with pytest.raises(UserError) as error:
        nlpbench.compare(["a", "b"])
    first, second = str(error.value).splitlines()
    assert first.startswith("bleu is not the same metric: ")
    assert "tok:13a" in first
    assert "tok:intl" in first
    assert first.endswith("in b; name it with --metrics to score both anew")
    assert second.startswith("chrf is not the same metric: ")
    assert list(by_key(nlpbench.compare(["a", "b"], metrics=["bleu"]))) == ["bleu"]


@pytest.mark.parametrize(
    ("origin", "other", "message"),
    [
        (
            "windows:strided|context:8",
            "windows:strided|context:4",
            "context:8 in a, .*context:4 in b",
        ),
        ("first:skipped", "first:after <s>", "first:skipped in a"),
        ("first:after <eos>", "first:after <s>", None),
    ],
)
def test_likelihoods_that_were_found_in_another_way_are_refused(here, origin, other, message):
    references, likelihoods = np.array([[2, 9]] * 5), np.array([[-8.0, 3.0]] * 5)
    one = answered("log-likelihoods", references, likelihoods)
    write_run(here / "a", one, ["perplexity"], origin=origin)
    write_run(here / "b", one, ["perplexity"], origin=other)
    if message is None:
        assert "perplexity" in by_key(nlpbench.compare(["a", "b"]))
        return
    with pytest.raises(UserError, match=message):
        nlpbench.compare(["a", "b"])
    with pytest.raises(UserError, match="did not answer in the same way"):
        nlpbench.compare(["a", "b"], metrics=[{"name": "perplexity", "units": ["byte"]}])


def test_perplexity_by_token_is_left_out_where_tokens_differ(here):
    references = np.array([[2, 9]] * 5)
    for name, tokens in (("a", 3.0), ("b", 4.0)):
        write_run(
            here / name,
            answered("log-likelihoods", references, np.array([[-8.0, tokens]] * 5)),
            ["perplexity"],
        )
    found = nlpbench.compare(["a", "b"])
    assert list(by_key(found)) == ["word_perplexity", "byte_perplexity", "bits_per_byte"]
    assert any(note.startswith("perplexity is left out: it is by token") for note in found.notes)


def test_another_search_and_other_library_versions_are_told(here):
    _, _, _, (one, other) = translations(20, seed=1)
    write_run(here / "a", one, ["bleu"], origin="search:greedy")
    write_run(here / "b", other, ["bleu"], origin="search:beams-4")
    edit_record(
        here / "b",
        lambda record: record["scores"]["bleu"].update(
            signature=record["scores"]["bleu"]["signature"].replace("version:2", "version:1")
        ),
    )
    notes = nlpbench.compare(["a", "b"]).notes
    assert (
        "the answers were searched for in different ways: search:greedy and search:beams-4" in notes
    )
    assert "the runs were scored by other library versions; here all are scored anew" in notes


def test_metrics_that_do_not_fit_are_refused(here):
    two_runs(here)
    for metrics, message in [
        (["bleu"], "--metrics: bleu does not score the labels of text-classification"),
        (["f2"], "--metrics.*f2"),
        (["roc-auc"], "roc-auc reads probabilities, which these predictions do not hold"),
        (["f1", {"name": "f1", "positive_label": "no"}], "two metrics give the score f1"),
    ]:
        with pytest.raises(UserError, match=message):
            nlpbench.compare(["a", "b"], metrics=metrics)


def test_another_test_can_be_asked_for(here):
    two_runs(here)
    tests = {
        test: nlpbench.compare(["a", "b"], test=test).scores[0].test
        for test in ("mcnemar", "randomisation", "bootstrap")
    }
    assert tests == {
        "mcnemar": "exact McNemar test",
        "randomisation": "approximate randomisation",
        "bootstrap": "paired bootstrap test",
    }


# What is refused


def other_runs():
    one, other = of_accuracy(0.75, 0.9, 50, seed=1)
    third = labelled(one.references, other.predictions.answers, ids=[f"row {n}" for n in range(50)])
    named = labelled(one.references, other.predictions.answers, ["nay", "yea"])
    fewer, _ = of_accuracy(0.75, 0.9, 49, seed=1)
    values = answered("values", one.references.astype(float), np.zeros(50))
    return one, [
        (other, {"task": "multiple-choice"}, "task: text-classification and multiple-choice"),
        (
            other,
            {"split": "validation", "data": {"validation": {"rows": 50, "fingerprint": "x"}}},
            "split: test and validation",
        ),
        (named, {}, "labels: no, yes and nay, yea"),
        (fewer, {}, "data: 50 rows with the fingerprint sha256:.* and 49 with sha256:"),
        (third, {"same data": True}, "the second has no example 0, and 49 more are missing"),
        (values, {"metrics": ["mse"]}, "kind of answers: labels and values"),
    ]


@pytest.mark.parametrize("number", range(6))
def test_runs_that_do_not_compare_are_refused_with_what_differs(here, number):
    one, cases = other_runs()
    other, changes, message = cases[number]
    write_run(here / "a", one)
    if changes.pop("same data", False):
        changes["data"] = json.loads((here / "a/record.json").read_text())["data"]
    write_run(here / "b", other, **changes)
    with pytest.raises(UserError, match=message):
        nlpbench.compare(["a", "b"])


def test_all_that_differs_is_told_at_once(here):
    two_runs(here)
    edit_record(here / "b", lambda record: record.update(task="multiple-choice", labels=["x", "y"]))
    with pytest.raises(UserError) as error:
        nlpbench.compare(["a", "b"])
    assert str(error.value).splitlines() == [
        "a and b cannot be compared; they differ in task: text-classification and multiple-choice",
        "a and b cannot be compared; they differ in labels: no, yes and x, y",
    ]


def test_references_that_differ_are_refused(here):
    one, other = two_runs(here)
    changed = one.references.copy()
    changed[7] = 1 - changed[7]
    data = json.loads((here / "a/record.json").read_text())["data"]
    write_run(here / "b", replace(other, references=changed), data=data)
    with pytest.raises(
        UserError, match=r"a/predictions.jsonl and b/predictions.jsonl .* of the example 7 differ"
    ):
        nlpbench.compare(["a", "b"])


def damage(here, how):
    file, record = here / "b/predictions.jsonl", here / "b/record.json"
    lines = file.read_text().splitlines(keepends=True)
    if how == "cut":
        file.write_text("".join(lines)[:-20])
    elif how == "short":
        file.write_text("".join(lines[:-1]))
    elif how == "edited":
        row = json.loads(lines[3])
        row["prediction"] = "no" if row["prediction"] == "yes" else "yes"
        file.write_text("".join([*lines[:3], json.dumps(row) + "\n", *lines[4:]]))
    elif how == "gone":
        file.unlink()
    elif how == "record":
        record.write_text(record.read_text()[:-40])
    elif how == "newer":
        edit_record(here / "b", lambda values: values.update(schema_version=9))
    elif how == "config":
        edit_record(here / "b", lambda values: values["config"].update(task="cooking"))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("cut", r"b/predictions.jsonl:200 is damaged"),
        ("short", r"b/predictions.jsonl is damaged: it holds 199 rows, and b/record.json says 200"),
        (
            "edited",
            r"b/predictions.jsonl is damaged: it gives accuracy 0\.\d+, and b/record.json says 0",
        ),
        ("gone", r"b/predictions.jsonl"),
        ("record", r"b/record.json is damaged"),
        ("newer", r"schema version 9"),
        ("config", r"the config in b/record.json cannot be used: task.*cooking"),
    ],
)
def test_damaged_runs_are_refused(here, how, message):
    two_runs(here)
    damage(here, how)
    with pytest.raises(UserError, match=message):
        nlpbench.compare(["a", "b"])


def test_a_place_without_a_run_is_refused(here):
    two_runs(here)
    (here / "empty").mkdir()
    (here / "several").mkdir()
    shutil.copytree(here / "a", here / "several/one")
    shutil.copytree(here / "a", here / "several/two")
    for runs, message in [
        (["a"], "a comparison takes two runs at least"),
        (["a", "a"], "a and a are the same run"),
        (["a", "b", here / "b"], "b and .*b are the same run"),
        (["a", "nowhere"], "nowhere holds no record.json"),
        (["a", "empty"], "empty holds no record.json"),
        (["a", "several"], "not the seeds of one; name them one by one: several/one several/two"),
    ]:
        with pytest.raises(UserError, match=message):
            nlpbench.compare(runs)


# Seeds


def seeds_of(here, name, shares, first=1, **more):
    """A run for each share of right answers, and the scores."""
    references = np.random.default_rng(0).integers(0, 2, 200)
    scores = []
    for seed, share in enumerate(shares, start=first):
        chance = np.random.default_rng([seed, len(name), ord(name[0])])
        answers = np.where(chance.random(200) < share, references, 1 - references)
        write_run(
            here / name / f"seed-{seed}",
            labelled(references, answers),
            seed=seed,
            model=name,
            **more,
        )
        scores.append(float((answers == references).mean()))
    return scores


def test_several_seeds_are_compared_over_rows_and_over_seeds(here):
    ones = seeds_of(here, "a", [0.7, 0.72, 0.71, 0.69])
    others = seeds_of(here, "b", [0.9, 0.88, 0.91, 0.9])
    found = nlpbench.compare(["a", "b"])
    assert found.seeds == [1, 2, 3, 4]
    rows, seeds = found.scores
    assert (rows.over, rows.test) == ("rows", "approximate randomisation of means over seeds")
    assert (seeds.over, seeds.test) == ("seeds", "paired t-test, 4 seeds")
    assert seeds.baseline == pytest.approx(statistics.fmean(ones))
    assert seeds.baseline_deviation == pytest.approx(statistics.stdev(ones))
    assert seeds.runs[0].deviation == pytest.approx(statistics.stdev(others))
    assert seeds.runs[0].p_value == pytest.approx(ttest_rel(others, ones).pvalue)
    assert rows.runs[0].difference == pytest.approx(seeds.runs[0].difference)
    assert rows.runs[0].verdict == seeds.runs[0].verdict == "better"
    [by_row] = found.by_row
    assert by_row.wins + by_row.losses + by_row.ties == 200
    change = by_row.changes[0]
    assert len(change.baseline) == len(change.prediction) == 4
    assert abs(change.change) == pytest.approx(
        abs(change.prediction.count(change.reference) - change.baseline.count(change.reference)) / 4
    )


def test_two_seeds_are_not_tested_and_it_is_said(here):
    seeds_of(here, "a", [0.7, 0.72])
    seeds_of(here, "b", [0.9, 0.88])
    found = nlpbench.compare(["a", "b"])
    [seeds] = [each for each in found.scores if each.over == "seeds"]
    assert seeds.test == "no test, 2 seeds"
    assert (seeds.runs[0].p_value, seeds.runs[0].low, seeds.runs[0].verdict) == (
        None,
        None,
        "not tested",
    )
    assert any(note.startswith("no test over 2 seeds: it takes 3 at least") for note in found.notes)


def test_seeds_that_all_have_are_paired(here):
    seeds_of(here, "a", [0.7, 0.72, 0.71, 0.69, 0.7])
    seeds_of(here, "b", [0.9, 0.88, 0.91, 0.9], first=3)
    found = nlpbench.compare(["a", "b"])
    assert found.seeds == [3, 4, 5]
    assert "left out of a: seeds 1, 2, which not all have" in found.notes
    assert "left out of b: seed 6, which not all have" in found.notes
    seeds_of(here, "c", [0.9, 0.88], first=8)
    with pytest.raises(UserError, match=r"no seed was run by all, .*\(a: 1, 2, 3, 4, 5; c: 8, 9\)"):
        nlpbench.compare(["a", "c"])


def test_one_seed_stands_for_a_run(here):
    seeds_of(here, "a", [0.7])
    seeds_of(here, "b", [0.9])
    found = nlpbench.compare(["a", "b"])
    assert found.seeds == []
    assert [each.over for each in found.scores] == ["rows"]


def test_evaluations_of_the_seeds_of_a_run_are_its_seeds(here):
    for name, shares in {"a": [0.7, 0.72, 0.7], "b": [0.9, 0.91, 0.9]}.items():
        seeds_of(here, name, shares)
        for seed in (1, 2, 3):
            place = here / name / f"seed-{seed}"
            model = f"runs/{name}/seed-{seed}"

            def evaluation(record, model=model):
                record.update(command="evaluate", seed=42)
                record["config"].update(seed=42, model={"name_or_path": model})

            edit_record(place, evaluation)
    assert nlpbench.compare(["a", "b"]).seeds == [1, 2, 3]


def test_seeds_are_not_compared_with_a_single_run(here):
    seeds_of(here, "a", [0.7, 0.72])
    with pytest.raises(
        UserError,
        match="a holds 2 seeds, and a/seed-1 is a single run; name one of the seeds, such as a/seed-1",
    ):
        nlpbench.compare(["a", "a/seed-1"])


def test_seeds_of_other_configs_are_refused(here):
    seeds_of(here, "a", [0.7, 0.72])
    seeds_of(here, "b", [0.9, 0.88])

    def slower(record):
        record["config"]["training"]["learning_rate"] = 1e-6

    edit_record(here / "b/seed-2", slower)
    with pytest.raises(UserError, match="b/seed-1 and b/seed-2 differ by more than their seed"):
        nlpbench.compare(["a", "b"])


def test_what_is_written_is_what_is_found(here):
    two_runs(here)
    found = nlpbench.compare(["a", "b"])
    found.write_examples(here / "changed.jsonl")
    rows = [json.loads(line) for line in (here / "changed.jsonl").read_text().splitlines()]
    [by_row] = found.by_row
    assert len(rows) == len(by_row.changes)
    assert rows[0] == {
        "run": "b",
        "against": "a",
        "id": by_row.changes[0].id,
        "reference": by_row.changes[0].reference,
        "baseline": by_row.changes[0].baseline,
        "prediction": by_row.changes[0].prediction,
        "change": by_row.changes[0].change,
        "by": "right or wrong",
    }
    assert isinstance(Record.model_validate_json((here / "a/record.json").read_text()), Record)
