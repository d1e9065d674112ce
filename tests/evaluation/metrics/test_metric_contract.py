"""What every registered metric must keep, those of plugins and of tomorrow included."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from ruamel.yaml import YAML

from nlpbench.config import registry
from nlpbench.config.errors import UserError
from nlpbench.evaluation.metrics import Metric

NAMES = registry.names("metric")
# The first labels of every example; a YAML sample may name them as its positive label.
LABELS = ("spam", "yes", "maybe", "no", "other")


@dataclass(frozen=True)
class Case:
    """A metric with options, on one of the answers it scores."""

    metric: Metric
    answer: str

    def __str__(self) -> str:
        given = self.metric.model_dump(exclude_defaults=True, exclude={"name"})
        options = ",".join(f"{key}={value}" for key, value in given.items())
        return f"{self.metric.name}({options})-{self.answer}"


@dataclass(frozen=True)
class Example:
    predictions: np.ndarray
    references: np.ndarray
    labels: tuple[str, ...]


def yaml_sample(name: str) -> list[Metric]:
    """The metrics of the YAML sample in the docstring, validated."""
    docstring = registry.load("metric", name).__doc__ or ""
    found = re.search(r"```yaml\n(.*?)```", docstring, re.DOTALL)
    assert found, f"the docstring of {name} shows no YAML sample between ```yaml and ```"
    listed = YAML(typ="safe").load(found[1])["metrics"]
    options = [{"name": item} if isinstance(item, str) else item for item in listed]
    return [registry.load("metric", item["name"]).model_validate(item) for item in options]


# Few distinct numbers, so that ties, constants and missing classes come up often.


def draw_labels(draw: Callable, n: int, k: int, reads: str) -> Example:
    references = draw(arrays(np.int64, n, elements=st.integers(0, k - 1)))
    if reads == "answers":
        predictions = draw(arrays(np.int64, n, elements=st.integers(0, k - 1)))
    else:
        odds = draw(arrays(np.float64, (n, k), elements=st.sampled_from([0.01, 1.0, 2.0, 3.0])))
        predictions = maybe_single_precision(draw, odds / odds.sum(axis=1, keepdims=True))
    return Example(predictions, references, LABELS[:k])


def draw_label_sets(draw: Callable, n: int, k: int, reads: str) -> Example:
    references = draw(arrays(np.int64, (n, k), elements=st.integers(0, 1)))
    if reads == "answers":
        predictions = draw(arrays(np.int64, (n, k), elements=st.integers(0, 1)))
    else:
        share = st.sampled_from([0.0, 0.25, 0.3, 0.5, 1.0])
        predictions = maybe_single_precision(draw, draw(arrays(np.float64, (n, k), elements=share)))
    return Example(predictions, references, LABELS[:k])


def draw_values(draw: Callable, n: int, k: int, reads: str) -> Example:
    numbers = st.sampled_from([-3.0, -0.5, 0.0, 0.1, 0.7, 2.0, 5.0])
    references = draw(arrays(np.float64, n, elements=numbers))
    predictions = draw(arrays(np.float64, n, elements=numbers))
    return Example(maybe_single_precision(draw, predictions), references, ())


def maybe_single_precision(draw: Callable, array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if draw(st.booleans()) else array


DRAW = {"labels": draw_labels, "label-sets": draw_label_sets, "values": draw_values}


@st.composite
def examples(draw: Callable, case: Case, least: int = 1) -> Example:
    n, k = draw(st.integers(least, 12)), draw(st.integers(2, len(LABELS)))
    example = DRAW[case.answer](draw, n, k, case.metric.reads)
    assume(applies(case.metric, example))
    return example


def applies(metric: Metric, example: Example) -> bool:
    """Whether the options can apply; a UserError is the way to say that they cannot."""
    try:
        metric.compute(example.predictions, example.references, example.labels)
    except UserError:
        return False
    return True


def example_of(case: Case, seed: int, n: int, k: int) -> Example:
    """An example whose every class occurs, for the tests that need an ordinary one."""
    assert case.answer in DRAW, f"{case.metric.name}: tell DRAW and example_of about {case.answer}"
    random = np.random.default_rng(seed)
    labels = LABELS[:k]
    if case.answer == "values":
        return Example(random.normal(size=n), random.normal(size=n), ())
    if case.answer == "labels":
        references = random.permutation(np.arange(n) % k)
        if case.metric.reads == "answers":
            return Example(random.permutation(references), references, labels)
        return Example(random.dirichlet(np.ones(k), n), references, labels)
    references = random.integers(0, 2, (n, k))
    if case.metric.reads == "answers":
        return Example(random.integers(0, 2, (n, k)), references, labels)
    return Example(random.random((n, k)), references, labels)


def ordinary_examples(case: Case) -> list[Example]:
    found = [example_of(case, seed, n=40, k=k) for seed, k in enumerate((2, 3, 5))]
    return [example for example in found if applies(case.metric, example)]


def repeated(example: Example, drawn: np.ndarray) -> Example:
    index = np.repeat(np.arange(len(drawn)), drawn)
    return replace(
        example, predictions=example.predictions[index], references=example.references[index]
    )


def compute(metric: Metric, example: Example) -> dict[str, float]:
    return metric.compute(example.predictions, example.references, example.labels)


def all_cases() -> list[Case]:
    """Every metric, with the options of its YAML sample too, on every answer they apply to."""
    found = {}
    for name in NAMES:
        samples = [metric for metric in yaml_sample(name) if metric.name == name]
        for metric in (registry.load("metric", name)(), *samples):
            for case in (Case(metric, answer) for answer in metric.answers):
                if any(applies(metric, example_of(case, 0, n=6, k=k)) for k in (2, 3)):
                    found[str(case)] = case
    return list(found.values())


every_metric = pytest.mark.parametrize("name", NAMES)
every_case = pytest.mark.parametrize("case", all_cases(), ids=str)


@every_case
def test_resamples_score_as_the_repeated_rows_do(case: Case) -> None:
    @settings(deadline=None, max_examples=25, database=None, derandomize=True)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        example = data.draw(examples(case))
        n = len(example.references)
        if example.predictions.dtype.kind == "f" and data.draw(st.integers(0, 4)) == 0:
            example.predictions[data.draw(st.integers(0, n - 1))] = np.nan
        draws = data.draw(arrays(np.int64, (5, n), elements=st.integers(0, n - 1)))
        counts = np.stack([np.bincount(row, minlength=n) for row in draws])
        expected = [compute(case.metric, repeated(example, drawn)) for drawn in counts]
        found = case.metric.resample(
            example.predictions, example.references, counts, example.labels
        )
        assert list(found) == list(expected[0])
        for key, values in found.items():
            assert values.shape == (5,)
            np.testing.assert_allclose(values, [row[key] for row in expected], rtol=0, atol=1e-9)

    check()


@every_case
def test_many_resamples_of_many_rows(case: Case) -> None:
    """More cells than one block holds, with ties: the order of the blocks is kept."""
    k = 2 if applies(case.metric, example_of(case, 0, n=6, k=2)) else 3
    example = example_of(case, seed=3, n=12_000, k=k)
    if example.predictions.dtype.kind == "f":
        example = replace(example, predictions=np.round(example.predictions, 2))
    random = np.random.default_rng(4)
    draws = random.integers(0, 12_000, (100, 12_000))
    counts = np.stack([np.bincount(row, minlength=12_000) for row in draws])
    found = case.metric.resample(example.predictions, example.references, counts, example.labels)
    for row in (0, 57, 99):
        expected = compute(case.metric, repeated(example, counts[row]))
        for key, value in expected.items():
            assert found[key][row] == pytest.approx(value, abs=1e-9, nan_ok=True)


@every_case
def test_keys_are_the_metrics_name_and_scores_are_python_floats(case: Case) -> None:
    for example in ordinary_examples(case):
        scores = compute(case.metric, example)
        assert scores
        assert next(iter(scores)).startswith(case.metric.key)
        assert all(type(score) is float for score in scores.values())
        assert all(math.isfinite(score) for score in scores.values())


@every_case
def test_perfect_predictions_are_no_worse_than_shuffled_ones(case: Case) -> None:
    for example in ordinary_examples(case):
        perfect = example.references
        if case.metric.reads == "probabilities":
            identity = np.eye(len(example.labels))
            perfect = identity[perfect] if perfect.ndim == 1 else perfect.astype(np.float64)
        shuffled = np.random.default_rng(5).permutation(perfect)
        best = compute(case.metric, replace(example, predictions=perfect))
        other = compute(case.metric, replace(example, predictions=shuffled))
        headline = next(iter(best))
        if case.metric.higher_is_better:
            assert best[headline] >= other[headline]
        else:
            assert best[headline] <= other[headline]


@every_case
def test_an_undefined_score_is_nan_without_warning_or_exception(case: Case) -> None:
    for example in ordinary_examples(case):
        n = len(example.references)
        drawn = np.zeros((1, n), dtype=np.int64)
        drawn[0, 0] = n
        one_example_again_and_again = repeated(example, drawn[0])
        degenerate = [
            replace(
                example,
                predictions=example.predictions[:size],
                references=example.references[:size],
            )
            for size in (0, 1, 2)
        ]
        degenerate += [one_example_again_and_again]
        if example.predictions.dtype.kind == "f":
            degenerate.append(replace(example, predictions=example.predictions * np.nan))
            assert all(math.isnan(score) for score in compute(case.metric, degenerate[-1]).values())
        for extreme in degenerate:
            scores = compute(case.metric, extreme)
            assert list(scores) == list(compute(case.metric, example))
            assert all(type(score) is float for score in scores.values())
        assert all(math.isnan(score) for score in compute(case.metric, degenerate[0]).values())
        found = case.metric.resample(example.predictions, example.references, drawn, example.labels)
        for key, score in compute(case.metric, one_example_again_and_again).items():
            assert found[key][0] == pytest.approx(score, abs=1e-9, nan_ok=True)


@every_case
def test_resampling_no_examples_gives_nan(case: Case) -> None:
    for example in ordinary_examples(case):
        found = case.metric.resample(
            example.predictions[:0],
            example.references[:0],
            np.zeros((3, 0), dtype=np.int64),
            example.labels,
        )
        assert list(found) == list(compute(case.metric, example))
        assert all(scores.shape == (3,) and np.isnan(scores).all() for scores in found.values())


@every_case
def test_the_signature_is_one_stable_line(case: Case) -> None:
    for example in ordinary_examples(case):
        signature = case.metric.signature(example.labels, case.answer)
        assert signature
        assert signature == signature.strip()
        assert "\n" not in signature
        assert case.metric.model_copy().signature(example.labels, case.answer) == signature


@every_metric
def test_options_that_change_the_score_change_the_signature(name: str) -> None:
    """Metrics of the YAML sample that score one example differently are told apart."""
    told = {}
    for metric in yaml_sample(name):
        if metric.name != name:
            continue
        example = example_of(Case(metric, metric.answers[0]), seed=7, n=40, k=2)
        scores, signature = (
            compute(metric, example),
            metric.signature(example.labels, metric.answers[0]),
        )
        assert told.setdefault(signature, scores) == scores


@every_metric
def test_the_inputs_are_left_as_they_are(name: str) -> None:
    metric = registry.load("metric", name)()
    example = example_of(Case(metric, metric.answers[0]), seed=8, n=20, k=3)
    for array in (example.predictions, example.references):
        array.flags.writeable = False
    counts = np.ones((2, 20), dtype=np.int64)
    counts.flags.writeable = False
    compute(metric, example)
    metric.resample(example.predictions, example.references, counts, example.labels)


@every_metric
def test_the_docstring_says_what_it_is_and_shows_a_sample(name: str) -> None:
    metric = registry.load("metric", name)
    assert metric.summary().endswith(".")
    assert len(metric.summary()) <= 100
    assert name in [shown.name for shown in yaml_sample(name)]


@every_metric
def test_the_class_says_what_it_scores(name: str) -> None:
    metric = registry.load("metric", name)
    assert issubclass(metric, Metric)
    assert metric.answers
    assert isinstance(metric.higher_is_better, bool)
    assert metric().key == name.replace("-", "_")


def test_naming_the_metrics_imports_nothing_heavy() -> None:
    code = """
import sys
from nlpbench.config import registry
for name in registry.names("metric"):
    if registry.load("metric", name).__module__.startswith("nlpbench."):
        registry.load("metric", name)()
print(*({"numpy", "scipy", "sklearn", "torch", "transformers"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
