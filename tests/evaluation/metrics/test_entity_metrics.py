"""Entity F1 and token accuracy: against seqeval, and against rows that cannot be compared."""

from __future__ import annotations

import gzip
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import seqeval.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import IOB2, Entities

from nlpbench.config.errors import UserError
from nlpbench.evaluation.entities import entities, entity_types
from nlpbench.evaluation.metrics.entity_f1 import EntityF1
from nlpbench.evaluation.metrics.token_accuracy import TokenAccuracy

TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-creative-work", "I-creative-work", "B", "I"]
MODES = {"strict": {"mode": "strict", "scheme": IOB2}, "lenient": {}}
AVERAGES = ["micro", "macro", "weighted", "per-type"]
SCORES = ["f1", "precision", "recall"]

every_mode = pytest.mark.parametrize("mode", MODES)
tag_lists = st.lists(st.sampled_from(TAGS), max_size=8)


def rows(*lists: list) -> np.ndarray:
    array = np.empty(len(lists), dtype=object)
    array[:] = lists
    return array


def noisy(references: np.ndarray, tags: list[str], seed: int, share: float = 0.2) -> np.ndarray:
    """Every tag replaced by another one now and then, whatever IOB2 allows."""
    random = np.random.default_rng(seed)
    return rows(
        *(
            [str(random.choice(tags)) if random.random() < share else tag for tag in sentence]
            for sentence in references
        )
    )


def by_seqeval(predictions, references, mode: str, average: str) -> dict[str, float]:
    """The scores that seqeval's functions give, by our keys."""
    options = {"zero_division": 0, **MODES[mode]}
    pair = list(references), list(predictions)
    if average != "per-type":
        suffix = "" if average == "micro" else f"_{average}"
        functions = [getattr(seqeval.metrics, f"{name}_score") for name in SCORES]
        return {
            f"entity_{name}{suffix}": function(*pair, average=average, **options)
            for name, function in zip(SCORES, functions, strict=True)
        }
    report = seqeval.metrics.classification_report(*pair, output_dict=True, **options)
    scores = by_seqeval(predictions, references, mode, "micro")
    for entity_type, row in report.items():
        if not entity_type.endswith(" avg"):
            scores |= {
                f"entity_{name}[{entity_type}]": row["f1-score" if name == "f1" else name]
                for name in SCORES
            }
    return scores


@every_mode
@pytest.mark.parametrize("average", AVERAGES)
@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 1.0])
def test_agrees_with_seqeval_on_rows_and_on_resamples(mode: str, average: str, share: float):
    random = np.random.default_rng(1)
    lengths = random.integers(0, 15, 80)
    references = rows(*([str(tag) for tag in random.choice(TAGS, size)] for size in lengths))
    predictions = noisy(references, TAGS, seed=2, share=share)
    metric = EntityF1(mode=mode, average=average)
    expected = by_seqeval(predictions, references, mode, average)
    scores = metric.compute(predictions, references, TAGS)
    assert scores == pytest.approx(expected, abs=1e-12)
    assert list(scores)[:3] == list(expected)[:3]
    draws = random.integers(0, 80, (10, 80))
    counts = np.stack([np.bincount(row, minlength=80) for row in draws])
    resampled = metric.resample(predictions, references, counts, TAGS)
    for number, row in enumerate(draws):
        assert {key: values[number] for key, values in resampled.items()} == pytest.approx(
            by_seqeval(predictions[row], references[row], mode, average), abs=1e-12
        )


@every_mode
@given(tags=tag_lists)
@settings(deadline=None, max_examples=300, database=None, derandomize=True)
def test_finds_the_entities_that_seqeval_finds(mode: str, tags: list[str]):
    if mode == "strict":
        expected = {
            (found.tag, found.start, found.end)
            for sentence in Entities([tags], IOB2).entities
            for found in sentence
        }
    else:
        expected = {(kind, first, last + 1) for kind, first, last in get_entities(tags)}
    assert {tuple(found) for found in entities(tags, mode)} == expected


def test_an_entity_that_begins_with_i_counts_if_lenient_only():
    references, predictions = rows(["B-PER", "I-PER"]), rows(["I-PER", "I-PER"])
    assert EntityF1(mode="lenient").compute(predictions, references)["entity_f1"] == 1
    assert EntityF1().compute(predictions, references)["entity_f1"] == 0


def test_half_an_entity_and_one_of_the_wrong_type_are_wrong():
    references = rows(["B-PER", "I-PER", "O", "B-LOC", "B-LOC"])
    predictions = rows(["B-PER", "O", "O", "B-PER", "B-LOC"])
    assert EntityF1().compute(predictions, references) == {
        "entity_f1": pytest.approx(1 / 3),
        "entity_precision": pytest.approx(1 / 3),
        "entity_recall": pytest.approx(1 / 3),
    }


def test_types_that_do_not_occur_keep_their_keys_and_are_undefined():
    scores = EntityF1(average="per-type").compute(rows(["B-PER"]), rows(["B-PER"]), TAGS)
    assert scores["entity_f1"] == scores["entity_f1[PER]"] == 1
    assert math.isnan(scores["entity_f1[LOC]"])
    assert list(scores) == list(EntityF1(average="per-type").compute(rows(), rows(), TAGS))


@pytest.mark.parametrize("average", AVERAGES)
def test_without_an_entity_the_scores_are_undefined_and_a_missed_or_false_one_gives_zero(average):
    metric, none, one = EntityF1(average=average), rows(["O"]), rows(["B-PER"])
    assert math.isnan(next(iter(metric.compute(none, none, TAGS).values())))
    assert next(iter(metric.compute(none, one, TAGS).values())) == 0
    assert next(iter(metric.compute(one, none, TAGS).values())) == 0


def test_the_types_of_tags_are_sorted_and_those_without_a_name_are_one():
    assert entity_types(TAGS) == ["LOC", "PER", "_", "creative-work"]


def test_the_types_are_needed_for_scores_per_type():
    with pytest.raises(UserError, match=r"entity-f1: average: per-type needs the tags of the task"):
        EntityF1(average="per-type").compute(rows(["O"]), rows(["O"]), ["O"])
    with pytest.raises(UserError, match="'PER' is no tag of IOB2, allowed: O, B-TYPE, I-TYPE"):
        EntityF1(average="per-type").signature(["PER"], "tags")


def test_the_signature_tells_mode_scheme_and_average():
    assert EntityF1().signature() == "mode:strict|scheme:IOB2|average:micro|zero_division:0"
    lenient = EntityF1(mode="lenient", average="macro").signature(TAGS, "tags")
    assert lenient == "mode:lenient|scheme:IOB2|average:macro|types:present|zero_division:0"


def test_unknown_options_are_refused():
    with pytest.raises(ValidationError, match="mode"):
        EntityF1(mode="loose")
    with pytest.raises(ValidationError, match="average"):
        EntityF1(average="binary")


every_metric = pytest.mark.parametrize("metric", [EntityF1(), TokenAccuracy()], ids=str)


@every_metric
def test_rows_that_cannot_be_compared_are_refused_with_their_row(metric):
    good = ["B-PER", "O"]
    assert metric.check(rows(good, good), rows(good, good)) == []
    with pytest.raises(UserError, match=r"row 2: 1 predicted tags for 2 words; give one tag"):
        metric.check(rows(good, ["O"]), rows(good, good))
    with pytest.raises(UserError, match=r"1 predictions for 2 references"):
        metric.check(rows(good), rows(good, good))


def test_entities_need_tags_of_iob2_and_accuracy_does_not():
    good, metric = ["B-PER", "O"], EntityF1()
    with pytest.raises(UserError, match=r"row 2, word 1, prediction: 'S-PER' is no tag of IOB2"):
        metric.check(rows(good, ["S-PER", "O"]), rows(good, good))
    with pytest.raises(UserError, match=r"row 1, word 2, reference: '' is no tag of IOB2"):
        metric.check(rows(good), rows(["O", ""]))
    assert TokenAccuracy().check(rows(["NOUN", "VERB"]), rows(["NOUN", "NOUN"])) == []


def test_token_accuracy_is_seqevals():
    random = np.random.default_rng(3)
    references = rows(*([str(tag) for tag in random.choice(TAGS, size)] for size in range(12)))
    predictions = noisy(references, TAGS, seed=4)
    expected = seqeval.metrics.accuracy_score(list(references), list(predictions))
    assert TokenAccuracy().compute(predictions, references) == {
        "token_accuracy": pytest.approx(expected, abs=1e-12)
    }


def test_token_accuracy_is_undefined_without_a_word():
    assert math.isnan(TokenAccuracy().compute(rows([]), rows([]))["token_accuracy"])


@pytest.mark.realdata
@every_mode
@pytest.mark.parametrize("average", AVERAGES)
def test_agrees_with_seqeval_on_wnut_17_with_noise(mode: str, average: str):
    place = Path(os.environ["NLPBENCH_DATA"]) / "wnut_17"
    with gzip.open(place / "test.jsonl.gz", "rt", encoding="utf-8") as lines:
        references = rows(*(json.loads(line)["ner_tags"] for line in lines))
    tags = json.loads((place / "labels.json").read_text(encoding="utf-8"))
    predictions = noisy(references, tags, seed=5, share=0.05)
    scores = EntityF1(mode=mode, average=average).compute(predictions, references, tags)
    assert scores == pytest.approx(
        by_seqeval(predictions, references, mode, average), rel=0, abs=1e-12
    )
    assert 0.1 < next(iter(scores.values())) < 0.9
    accuracy = seqeval.metrics.accuracy_score(list(references), list(predictions))
    assert TokenAccuracy().compute(predictions, references)["token_accuracy"] == accuracy
