"""What every registered metric must keep, those of plugins and of tomorrow included."""

from __future__ import annotations

import copy
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
from nlpbench.config.component import ComponentField
from nlpbench.config.errors import UserError
from nlpbench.evaluation.metrics import Metric
from nlpbench.tasks import objects

NAMES = registry.names("metric")
# The first labels of every example; a YAML sample may name them as its positive label.
LABELS = ("spam", "yes", "maybe", "no", "other")
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
WORDS = "the cat sat on a mat while dogs ran off and birds sang".split()
DOCUMENTS = [f"document {number}" for number in range(8)]
# What holds lists and texts is slower to score than numbers are.
OBJECTS = ("tags", "spans", "texts", "rankings")


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
    return [ComponentField("metric").build(item) for item in listed]


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


def draw_tags(draw: Callable, n: int, k: int, reads: str) -> Example:
    words = draw(st.lists(st.integers(0, 5), min_size=n, max_size=n))
    tags = st.sampled_from(TAGS)

    def sentences() -> np.ndarray:
        return objects([draw(st.lists(tags, min_size=size, max_size=size)) for size in words])

    return Example(sentences(), sentences(), TAGS)


def draw_spans(draw: Callable, n: int, k: int, reads: str) -> Example:
    answers = st.sampled_from(["the cat", "Cat!", "dog", "a dog house", "house", "The"])
    right = st.lists(answers, max_size=3)
    references = draw(st.lists(right, min_size=n, max_size=n))
    predictions = draw(st.lists(answers | st.just(""), min_size=n, max_size=n))
    return Example(objects(predictions), objects(references), ())


def draw_texts(draw: Callable, n: int, k: int, reads: str) -> Example:
    words = st.sampled_from(["cat", "Cat", "the", "sat.", "mat,", "naïve", "no"])
    text = st.lists(words, min_size=1, max_size=6).map(" ".join)
    right = st.lists(text, min_size=1, max_size=3)
    references = draw(st.lists(right, min_size=n, max_size=n))
    predictions = draw(st.lists(text | st.just(""), min_size=n, max_size=n))
    return Example(objects(predictions), objects(references), ())


def draw_log_likelihoods(draw: Callable, n: int, k: int, reads: str) -> Example:
    words = draw(arrays(np.int64, n, elements=st.integers(0, 9)))
    tokens = draw(arrays(np.int64, n, elements=st.integers(0, 12)))
    nats = draw(arrays(np.float64, n, elements=st.sampled_from([-20.0, -3.5, -0.25, 0.0])))
    return Example(np.stack([nats, tokens], axis=1), np.stack([words, 6 * words], axis=1), ())


def draw_rankings(draw: Callable, n: int, k: int, reads: str) -> Example:
    names = st.sampled_from(DOCUMENTS)
    ranking = st.lists(names, unique=True)
    grades = st.dictionaries(names, st.integers(-1, 3), max_size=4)
    return Example(
        objects(draw(st.lists(ranking, min_size=n, max_size=n))),
        objects(draw(st.lists(grades, min_size=n, max_size=n))),
        (),
    )


def maybe_single_precision(draw: Callable, array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if draw(st.booleans()) else array


DRAW = {
    "labels": draw_labels,
    "label-sets": draw_label_sets,
    "values": draw_values,
    "tags": draw_tags,
    "spans": draw_spans,
    "texts": draw_texts,
    "log-likelihoods": draw_log_likelihoods,
    "rankings": draw_rankings,
}


@st.composite
def examples(draw: Callable, case: Case, least: int = 1) -> Example:
    n, k = draw(st.integers(least, 12)), draw(st.integers(2, len(LABELS)))
    example = DRAW[case.answer](draw, n, k, case.metric.reads)
    assume(applies(case.metric, example))
    return example


@st.composite
def counts_of(draw: Callable, n: int) -> np.ndarray:
    """Counts of n examples: n draws, any numbers, subsets, whole clusters, and nothing at all."""
    draws = draw(arrays(np.int64, (2, n), elements=st.integers(0, n - 1)))
    any_numbers = draw(arrays(np.int64, (2, n), elements=st.integers(0, 4)))
    subsets = draw(arrays(np.int64, (2, n), elements=st.integers(0, 1)))
    cluster = draw(arrays(np.int64, n, elements=st.integers(0, 3)))
    of_clusters = draw(arrays(np.int64, (2, 4), elements=st.integers(0, 2)))
    bootstrap = [np.bincount(row, minlength=n) for row in draws]
    nothing = np.zeros((1, n), dtype=np.int64)
    return np.concatenate([bootstrap, any_numbers, subsets, of_clusters[:, cluster], nothing])


def applies(metric: Metric, example: Example) -> bool:
    """Whether the options can apply; a UserError is the way to say that they cannot."""
    try:
        metric.compute(example.predictions, example.references, example.labels)
    except UserError:
        return False
    return True


def example_of(case: Case, seed: int, n: int, k: int) -> Example:
    """An ordinary example for the tests that need one: every class, type or kind of row occurs."""
    assert case.answer in ORDINARY, f"{case.metric.name}: tell DRAW and ORDINARY of {case.answer}"
    return ORDINARY[case.answer](np.random.default_rng(seed), n, k, case.metric.reads)


def ordinary_values(random: np.random.Generator, n: int, k: int, reads: str) -> Example:
    return Example(random.normal(size=n), random.normal(size=n), ())


def ordinary_labels(random: np.random.Generator, n: int, k: int, reads: str) -> Example:
    references = random.permutation(np.arange(n) % k)
    if reads == "answers":
        return Example(random.permutation(references), references, LABELS[:k])
    return Example(random.dirichlet(np.ones(k), n), references, LABELS[:k])


def ordinary_label_sets(random: np.random.Generator, n: int, k: int, reads: str) -> Example:
    references = random.integers(0, 2, (n, k))
    if reads == "answers":
        return Example(random.integers(0, 2, (n, k)), references, LABELS[:k])
    return Example(random.random((n, k)), references, LABELS[:k])


def ordinary_tags(random: np.random.Generator, n: int, k: int, reads: str) -> Example:
    """Every sentence holds a person and a place; one tag of each is wrong now and then."""
    sentence = ["O", "B-PER", "I-PER", "O", "B-LOC", "O"]
    references = [sentence[: 5 + int(size)] for size in random.integers(0, 2, n)]
    wrong = random.integers(0, 12, n)
    predictions = [
        ["O" if place == at else tag for place, tag in enumerate(tags)]
        for tags, at in zip(references, wrong, strict=True)
    ]
    return Example(objects(predictions), objects(references), TAGS)


def ordinary_spans(random: np.random.Generator, n: int, k: int, reads: str) -> Example:
    """Every third question has no answer; every second answer is right."""
    references, predictions = [], []
    for row in range(n):
        first, second, other = (str(word) for word in random.choice(WORDS[1:], 3))
        references.append([] if row % 3 == 2 else [f"{first} {second}", f"the {first}"])
        right = references[-1][0] if references[-1] else ""
        predictions.append(right if row % 2 else f"{first} {other}")
    return Example(objects(predictions), objects(references), ())


def ordinary_texts(random: np.random.Generator, n: int, k: int, reads: str) -> Example:
    """Predictions that share half of their words with the first of two references."""
    references, predictions = [], []
    for size in random.integers(6, 10, n):
        words = [str(word) for word in random.choice(WORDS, size)]
        other = [str(word) for word in random.choice(WORDS, size)]
        references.append([" ".join(words) + ".", " ".join(other) + "."])
        predictions.append(" ".join([*words[:4], *other[4:]]) + ".")
    return Example(objects(predictions), objects(references), ())


def ordinary_log_likelihoods(random: np.random.Generator, n: int, k: int, reads: str) -> Example:
    words = random.integers(1, 30, n)
    tokens = words + random.integers(0, 10, n)
    nats = -tokens * random.uniform(0.5, 3.0, n)
    return Example(np.stack([nats, tokens], axis=1), np.stack([words, 6 * words], axis=1), ())


def ordinary_rankings(random: np.random.Generator, n: int, k: int, reads: str) -> Example:
    """Half of the documents ranked for every query, of which three are relevant."""
    references, predictions = [], []
    for _ in range(n):
        shuffled = [str(name) for name in random.permutation(DOCUMENTS)]
        references.append(dict(zip(shuffled, (3, 1, 1, 0), strict=False)))
        predictions.append([str(name) for name in random.permutation(DOCUMENTS)[:4]])
    return Example(objects(predictions), objects(references), ())


ORDINARY = {
    "labels": ordinary_labels,
    "label-sets": ordinary_label_sets,
    "values": ordinary_values,
    "tags": ordinary_tags,
    "spans": ordinary_spans,
    "texts": ordinary_texts,
    "log-likelihoods": ordinary_log_likelihoods,
    "rankings": ordinary_rankings,
}


def perfect(case: Case, example: Example) -> np.ndarray:
    """Predictions that cannot be better."""
    if case.metric.reads == "probabilities":
        if example.references.ndim == 1:
            return np.eye(len(example.labels))[example.references]
        return example.references.astype(np.float64)
    if case.answer == "spans":
        return objects([right[0] if right else "" for right in example.references])
    if case.answer == "texts":
        return objects([right[0] for right in example.references])
    if case.answer == "rankings":
        return objects(
            [
                sorted(DOCUMENTS, key=lambda name: -grades.get(name, 0))
                for grades in example.references
            ]
        )
    if case.answer == "log-likelihoods":
        return example.predictions * [0, 1]
    return example.references


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


def instances(name: str) -> list[Metric]:
    """The metric as it is without options, where it needs none, and those of its YAML sample.

    None of a metric that is written NAME:REST: it stands for another one, which is not here.
    """
    component = registry.load("metric", name)
    if component.after_colon is not None:
        return []
    bare = not any(field.is_required() for field in component.model_fields.values())
    samples = [metric for metric in yaml_sample(name) if metric.name == name]
    return [component(), *samples] if bare else samples


def all_cases() -> list[Case]:
    """Every metric, with the options of its YAML sample too, on every answer they apply to."""
    found = {}
    for name in NAMES:
        for metric in instances(name):
            for case in (Case(metric, answer) for answer in metric.answers):
                if any(applies(metric, example_of(case, 0, n=6, k=k)) for k in (2, 3)):
                    found[str(case)] = case
    return list(found.values())


every_metric = pytest.mark.parametrize("name", NAMES)
CASES = all_cases()
every_case = pytest.mark.parametrize("case", CASES, ids=str)


@every_metric
def test_every_answer_that_a_metric_scores_is_tried(name: str) -> None:
    tried = {case.answer for case in CASES if case.metric.name == name}
    assert tried == {answer for metric in instances(name) for answer in metric.answers}


@every_case
def test_resamples_score_as_the_repeated_rows_do(case: Case) -> None:
    @settings(deadline=None, max_examples=25, database=None, derandomize=True)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        example = data.draw(examples(case))
        n = len(example.references)
        if example.predictions.dtype.kind == "f" and data.draw(st.integers(0, 4)) == 0:
            example.predictions[data.draw(st.integers(0, n - 1))] = np.nan
        counts = data.draw(counts_of(n))
        expected = [compute(case.metric, repeated(example, drawn)) for drawn in counts]
        found = case.metric.resample(
            example.predictions, example.references, counts, example.labels
        )
        assert list(found) == list(expected[0])
        for key, values in found.items():
            assert values.shape == (len(counts),)
            np.testing.assert_allclose(values, [row[key] for row in expected], rtol=0, atol=1e-9)
            assert np.isnan(values[~counts.any(axis=1)]).all()

    check()


@every_case
def test_a_mixture_of_two_systems_scores_as_the_answers_that_it_takes(case: Case) -> None:
    """The answers of both stand one below the other, and a row takes one of each pair."""
    for one in ordinary_examples(case):
        n = len(one.references)
        other = np.random.default_rng(1).permutation(one.predictions)
        takes = np.random.default_rng(2).integers(0, 2, (4, n))
        found = case.metric.resample(
            np.concatenate([one.predictions, other]),
            np.concatenate([one.references, one.references]),
            np.concatenate([takes, 1 - takes], axis=1),
            one.labels,
        )
        for row, of_one in enumerate(takes.astype(bool)):
            picked = of_one.reshape(-1, *[1] * (other.ndim - 1))
            mixed = replace(one, predictions=np.where(picked, one.predictions, other))
            for key, value in compute(case.metric, mixed).items():
                assert found[key][row] == pytest.approx(value, abs=1e-9, nan_ok=True)


@every_case
def test_resamples_that_come_in_blocks_score_as_all_at_once(case: Case) -> None:
    for example in ordinary_examples(case):
        counts = np.random.default_rng(6).integers(0, 3, (7, len(example.references)))
        answers = example.predictions, example.references
        whole = case.metric.resample(*answers, counts, example.labels)
        score = case.metric.resampler(*answers, example.labels)
        first, nothing, second = score(counts[:4]), score(counts[:0]), score(counts[4:])
        assert list(first) == list(second) == list(nothing) == list(whole)
        for key, scores in whole.items():
            assert nothing[key].shape == (0,)
            np.testing.assert_allclose(np.r_[first[key], second[key]], scores, rtol=0, atol=1e-9)


@every_case
def test_many_resamples_of_many_rows(case: Case) -> None:
    """More cells than one block holds, with ties: the order of the blocks is kept."""
    k = 2 if applies(case.metric, example_of(case, 0, n=6, k=2)) else 3
    rows, resamples = (300, 2000) if case.answer in OBJECTS else (12_000, 100)
    example = example_of(case, seed=3, n=rows, k=k)
    if example.predictions.dtype.kind == "f":
        example = replace(example, predictions=np.round(example.predictions, 2))
    random = np.random.default_rng(4)
    draws = random.integers(0, rows, (resamples, rows))
    counts = np.stack([np.bincount(row, minlength=rows) for row in draws])
    counts[resamples // 2 :] *= random.integers(0, 2, (resamples // 2, rows))  # of a part only
    found = case.metric.resample(example.predictions, example.references, counts, example.labels)
    for row in (0, resamples // 2 + 7, resamples - 1):
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
        # Of a part, such as squad_f1[NoAns], the answers may hold no example.
        assert all(math.isfinite(score) or key.endswith("]") for key, score in scores.items())
        assert math.isfinite(next(iter(scores.values())))


@every_case
def test_perfect_predictions_are_no_worse_than_shuffled_ones(case: Case) -> None:
    for example in ordinary_examples(case):
        best = perfect(case, example)
        other = np.random.default_rng(5).permutation(best)
        if case.answer == "log-likelihoods":  # those of no example fit better than another's
            other = example.predictions
        scores = compute(case.metric, replace(example, predictions=best))
        headline = next(iter(scores))
        worse = compute(case.metric, replace(example, predictions=other))[headline]
        if case.metric.higher_is_better:
            assert scores[headline] >= worse
        else:
            assert scores[headline] <= worse


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
    for case in (case for case in CASES if case.metric.name == name):
        example = example_of(case, seed=7, n=40, k=2)
        if not applies(case.metric, example):
            continue
        scores = compute(case.metric, example)
        signature = case.answer, case.metric.signature(example.labels, case.answer)
        same = told.setdefault(signature, scores)
        shared = same.keys() & scores.keys()
        assert {key: same[key] for key in shared} == {key: scores[key] for key in shared}


@every_case
def test_the_inputs_are_left_as_they_are(case: Case) -> None:
    for example in ordinary_examples(case):
        before = copy.deepcopy(example)
        n = len(example.references)
        counts = np.ones((2, n), dtype=np.int64)
        for array in (example.predictions, example.references, counts):
            array.flags.writeable = False
        compute(case.metric, example)
        case.metric.resample(example.predictions, example.references, counts, example.labels)
        case.metric.check(example.predictions, example.references)
        assert list(map(repr, example.predictions)) == list(map(repr, before.predictions))
        assert list(map(repr, example.references)) == list(map(repr, before.references))


@every_case
def test_ordinary_input_passes_the_check_and_what_is_doubtful_is_told_in_words(case: Case) -> None:
    for example in ordinary_examples(case):
        told = case.metric.check(example.predictions, example.references)
        assert all(isinstance(sentence, str) and sentence.strip() for sentence in told)
        signature = case.metric.signature_for(example.references, example.labels, case.answer)
        assert signature.strip() == signature != ""
        assert "\n" not in signature


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
    assert all(isinstance(shown.higher_is_better, bool) for shown in yaml_sample(name))
    # The key of a metric with a number in its name ends before it: recall-at-k has recall_at_10.
    key = name.replace("-", "_")
    assert {metric.key for metric in instances(name)} <= {key, key.removesuffix("_k")}


def test_naming_the_metrics_imports_nothing_heavy() -> None:
    code = """
import sys
from nlpbench.config import registry
for name in registry.names("metric"):
    if registry.load("metric", name).__module__.startswith("nlpbench."):
        component = registry.load("metric", name)
        if not any(field.is_required() for field in component.model_fields.values()):
            component()
heavy = {"numpy", "scipy", "sklearn", "torch", "transformers", "datasets", "evaluate"}
heavy |= {"sacrebleu", "rouge_score", "nltk", "jiwer", "rapidfuzz", "seqeval", "pandas", "pyarrow"}
print(*(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
