"""Exact match and SQuAD's two scores, against the official rules written down a second time."""

from __future__ import annotations

import gzip
import json
import math
import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpbench.config.errors import UserError
from nlpbench.evaluation.metrics.exact_match import ExactMatch
from nlpbench.evaluation.metrics.squad_exact_match import SquadExactMatch
from nlpbench.evaluation.metrics.squad_f1 import SquadF1

PUNCTUATION = set("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
SQUAD = [SquadExactMatch, SquadF1]
ANSWERABLE, UNANSWERABLE = "[HasAns]", "[NoAns]"


def objects(*values: object) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


# The oracle: character by character and word by word, with nothing of the code under test.


def words_of(text: str) -> list[str]:
    text = "".join(character for character in text.lower() if character not in PUNCTUATION)
    text = "".join(" " if part in ("a", "an", "the") else part for part in re.split(r"(\W+)", text))
    return text.split()


def overlap(predicted: list[str], actual: list[str]) -> float:
    left, shared = list(actual), 0
    for word in predicted:
        if word in left:
            left.remove(word)
            shared += 1
    if not shared:
        return 0.0
    precision, recall = shared / len(predicted), shared / len(actual)
    return 2 * precision * recall / (precision + recall)


def official(prediction: str, answers: list[str], version: int) -> tuple[float, float]:
    """Exact match and F1 of one question, by the script of version 1.1 or 2.0."""
    predicted, golds = words_of(prediction), [words_of(answer) for answer in answers]
    if version == 2:
        golds = [gold for gold in golds if gold] or [[]]
        best = [1.0 if gold == predicted == [] else overlap(predicted, gold) for gold in golds]
    else:
        best = [overlap(predicted, gold) for gold in golds]
    return max(float(gold == predicted) for gold in golds), max(best)


def official_scores(predictions, references, version: int) -> dict[str, float]:
    pairs = list(zip(predictions, references, strict=True))
    rows = [official(guess, answers, version) for guess, answers in pairs]
    has = [bool(answers) for answers in references]
    scores = {}
    for column, key in enumerate(("squad_exact_match", "squad_f1")):
        values = [row[column] for row in rows]
        parts = {
            "": values,
            ANSWERABLE: [
                value for value, answerable in zip(values, has, strict=True) if answerable
            ],
            UNANSWERABLE: [value for value, known in zip(values, has, strict=True) if not known],
        }
        scores |= {key + at: math.fsum(v) / len(v) for at, v in parts.items() if v}
    return scores


def overall(scores: dict[str, float]) -> dict[str, float]:
    """Without the scores of one kind of question."""
    return {key: score for key, score in scores.items() if not key.endswith("]")}


def our_scores(predictions, references, answerability: bool = False) -> dict[str, float]:
    scores = {}
    for metric in SQUAD:
        scores |= metric(answerability=answerability).compute(predictions, references)
    return scores


def noisy(answers: list[str], context: str, random: np.random.Generator) -> str:
    """An answer as models give them: right, cut, longer, decorated, elsewhere in the text, none."""
    answer = str(random.choice(answers)) if answers else ""
    words, place = context.split(), context.find(answer)
    start = int(random.integers(0, max(1, len(words) - 5)))
    ways = [
        answer,
        answer.upper(),
        f"The {answer}.",
        f"  {answer.replace(' ', '  ')},",
        " ".join(answer.split()[1:]),
        context[place : place + len(answer) + 12],
        " ".join(words[start : start + int(random.integers(1, 6))]),
        f"{answer} {answer}",
        "",
        "the",
    ]
    return ways[int(random.integers(len(ways)))]


PIECES = [
    "a",
    "An",
    "the",
    "The.",
    "cat",
    "Cat",
    "cats",
    "theatre",
    "U.S.",
    "the-end",
    "12,5",
    "naïve",
]
PIECES += ["«ok»", "don't", "!", "", "\t", " ", "犬", "a_b"]
texts = st.lists(st.sampled_from(PIECES), max_size=5).map(" ".join)


@given(guess=texts, answers=st.lists(texts, max_size=3))
@settings(deadline=None, max_examples=500, database=None, derandomize=True)
def test_agrees_with_the_official_rules_of_version_2(guess: str, answers: list[str]):
    predictions, references = objects(guess), objects(answers)
    expected = overall(official_scores(predictions, references, version=2))
    assert our_scores(predictions, references) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("guess", "answer", "exact", "f1"),
    [
        ("the Broncos", "Denver Broncos", 0, 2 / 3),
        ("Denver Broncos!", "the denver  broncos", 1, 1),
        ("a theatre", "theatre", 1, 1),
        ("US", "U.S.", 1, 1),
        ("cat cat", "cat", 0, 2 / 3),
        ("", "Denver", 0, 0),
        ("dog", "cat", 0, 0),
    ],
)
def test_one_question_by_hand(guess: str, answer: str, exact: float, f1: float):
    assert our_scores(objects(guess), objects([answer])) == {
        "squad_exact_match": exact,
        "squad_f1": pytest.approx(f1),
    }


@pytest.mark.parametrize("metric", SQUAD)
def test_the_best_of_several_answers_counts(metric):
    answers = ["in 1999", "1999", "the year 1999"]
    assert metric().compute(objects("1999"), objects(answers)) == {metric().key: 1.0}


@pytest.mark.parametrize("metric", SQUAD)
def test_a_question_without_an_answer_wants_the_empty_text(metric):
    key = metric().key
    assert metric().compute(objects("", "The"), objects([], [])) == {key: 1.0}
    assert metric().compute(objects("Denver"), objects([])) == {key: 0.0}


@pytest.mark.parametrize("metric", SQUAD)
def test_answerable_and_unanswerable_questions_apart(metric):
    predictions = objects("cat", "dog", "", "dog")
    references = objects(["cat"], ["cat"], [], ["dog"])
    key = metric().key
    assert metric(answerability=True).compute(predictions, references) == {
        key: 0.75,
        key + ANSWERABLE: pytest.approx(2 / 3),
        key + UNANSWERABLE: 1.0,
    }


@pytest.mark.parametrize("metric", SQUAD)
def test_a_kind_of_question_that_was_not_drawn_is_undefined(metric):
    metric = metric(answerability=True)
    predictions, references = objects("cat", ""), objects(["cat"], [])
    resampled = metric.resample(predictions, references, np.array([[2, 0], [0, 2], [1, 1]]))
    np.testing.assert_array_equal(resampled[metric.key + ANSWERABLE], [1, math.nan, 1])
    np.testing.assert_array_equal(resampled[metric.key + UNANSWERABLE], [math.nan, 1, 1])
    np.testing.assert_array_equal(resampled[metric.key], [1, 1, 1])


@pytest.mark.parametrize("metric", SQUAD)
def test_what_is_no_text_and_list_of_texts_is_refused_with_its_row(metric):
    metric, good = metric(), ["cat"]
    assert metric.check(objects("cat", "", "cat"), objects(good, good, [])) == []
    with pytest.raises(UserError, match=r"row 2: the right answers must be a list .*\(got \"cat\""):
        metric.check(objects("cat", "cat"), objects(good, "cat"))
    with pytest.raises(UserError, match=r"row 1: the right answers must be a list .*\(got \[7\]\)"):
        metric.check(objects("cat"), objects([7]))
    with pytest.raises(UserError, match=r"row 1: the prediction must be a text, .*\(got null\)"):
        metric.check(objects(None), objects(good))
    with pytest.raises(UserError, match=r"1 predictions for 2 questions; give one prediction"):
        metric.check(objects("cat"), objects(good, good))


def test_exact_match_refuses_flat_references_and_rows_without_one():
    assert ExactMatch().check(objects("cat"), objects(["cat"])) == []
    with pytest.raises(UserError, match="row 1: the references must be a list of strings"):
        ExactMatch().check(objects("cat"), objects("cat"))
    with pytest.raises(UserError, match="1 of 1 rows have no reference"):
        ExactMatch().check(objects("cat"), objects([]))


@pytest.mark.parametrize(
    ("options", "equal"),
    [
        ({}, [True, False, False, False]),
        ({"lowercase": True}, [True, True, False, False]),
        ({"ignore_punctuation": True}, [True, False, True, False]),
        ({"lowercase": True, "ignore_punctuation": True}, [True, True, True, False]),
    ],
)
def test_exact_match_looks_past_what_its_options_say(options, equal):
    reference = ["Nein.", "Ja, gern!"]
    guesses = [" Ja, gern!\n", "ja, GERN!", "Ja  gern", "Ja gerne"]
    metric = ExactMatch(**options)
    for guess, expected in zip(guesses, equal, strict=True):
        assert metric.compute(objects(guess), objects(reference)) == {"exact_match": expected}


def test_exact_match_ignores_punctuation_beyond_ascii_and_keeps_articles():
    metric = ExactMatch(ignore_punctuation=True)
    assert metric.compute(objects("你好世界"), objects(["你好,世界。"])) == {"exact_match": 1.0}
    assert metric.compute(objects("«the end»"), objects(["the end"])) == {"exact_match": 1.0}
    assert metric.compute(objects("end"), objects(["the end"])) == {"exact_match": 0.0}


def test_signatures_tell_the_rules_and_the_scale():
    assert SquadF1().signature() == "normalisation:squad-v2|answers:best|scale:0-1"
    assert ExactMatch(lowercase=True).signature() == (
        "strip:yes|case:lower|punctuation:kept|references:any|scale:0-1"
    )


@pytest.fixture(scope="module")
def dev_set() -> tuple[list[list[str]], list[str]]:
    """The right answers and the contexts of SQuAD's whole validation split."""
    place = Path(os.environ["NLPBENCH_DATA"]) / "squad" / "validation.jsonl.gz"
    with gzip.open(place, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [row["answers"]["text"] for row in rows], [row["context"] for row in rows]


@pytest.mark.realdata
def test_the_whole_dev_set_with_noisy_predictions(dev_set):
    answers, contexts = dev_set
    assert len(answers) > 10_000
    random = np.random.default_rng(1)
    predictions = objects(*(noisy(*pair, random) for pair in zip(answers, contexts, strict=True)))
    references = objects(*answers)
    expected = official_scores(predictions, references, version=2)
    found = our_scores(predictions, references, answerability=True)
    assert math.isnan(found.pop("squad_exact_match" + UNANSWERABLE))
    assert math.isnan(found.pop("squad_f1" + UNANSWERABLE))
    assert found == pytest.approx(expected, rel=0, abs=1e-12)
    assert 0.3 < expected["squad_exact_match"] < expected["squad_f1"] < 0.9
    # The rules of version 1.1 differ where an answer is nothing but an article or punctuation.
    ordinary = np.array([all(map(words_of, right)) for right in answers])
    assert 0 < (~ordinary).sum() < 10
    predictions, references = predictions[ordinary], references[ordinary]
    expected = overall(official_scores(predictions, references, version=1))
    assert our_scores(predictions, references) == pytest.approx(expected, rel=0, abs=1e-12)


@pytest.mark.realdata
def test_the_whole_dev_set_with_unanswerable_questions(dev_set):
    answers, contexts = dev_set
    random = np.random.default_rng(2)
    answers = [[] if random.random() < 0.5 else right for right in answers]
    predictions = objects(*(noisy(*pair, random) for pair in zip(answers, contexts, strict=True)))
    references = objects(*answers)
    expected = official_scores(predictions, references, version=2)
    assert len(expected) == 6
    assert our_scores(predictions, references, answerability=True) == pytest.approx(
        expected, rel=0, abs=1e-12
    )
