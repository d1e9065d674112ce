"""The embedded samples are what their README says, and hard enough to be worth a model."""

from __future__ import annotations

import re
import runpy
from collections import Counter
from pathlib import Path

import pytest

from nlpbench.config.sections import DataSection
from nlpbench.data.audit import audit, normalise
from nlpbench.data.embedded import sample_names
from nlpbench.data.load import load

SPLITS = ("train", "validation", "test")
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def tickets():
    data = load(DataSection(source="sample:support-tickets"), SPLITS, ["text", "intent"])
    return {name: data.splits[name].rows.to_list() for name in SPLITS}


def test_samples_are_listed():
    assert "support-tickets" in sample_names()


def test_the_audit_finds_nothing(tickets):
    texts = {name: [row["text"] for row in rows] for name, rows in tickets.items()}
    labels = {name: [row["intent"] for row in rows] for name, rows in tickets.items()}
    report = audit(texts, labels, max_leakage=0.0)
    assert report.warnings == []
    for split in report.splits.values():
        assert (split.empty_texts, split.normalised_duplicates) == (0, 0)


def test_no_two_messages_are_nearly_the_same(tickets):
    rows = [row["text"] for part in tickets.values() for row in part]
    trigrams = []
    for text in rows:
        words = normalise(text).split()
        trigrams.append(frozenset(zip(words, words[1:], words[2:], strict=False)))
    holders: dict[tuple[str, ...], list[int]] = {}
    for number, found in enumerate(trigrams):
        for trigram in found:
            holders.setdefault(trigram, []).append(number)
    shared = Counter(
        (one, two)
        for numbers in holders.values()
        for place, one in enumerate(numbers)
        for two in numbers[place + 1 :]
    )
    for (one, two), count in shared.items():
        share = count / len(trigrams[one] | trigrams[two])
        assert share <= 0.2, (rows[one], rows[two])


@pytest.mark.parametrize(("column", "values"), [("intent", 8), ("sentiment", 3), ("priority", 5)])
def test_every_split_holds_every_value(tickets, column, values):
    for rows in tickets.values():
        assert len({row[column] for row in rows}) == values


def test_splits_have_equal_shares_of_the_intents(tickets):
    for rows in tickets.values():
        assert len(set(Counter(row["intent"] for row in rows).values())) == 1


def test_rows_are_plain(tickets):
    for rows in tickets.values():
        for row in rows:
            assert row["text"].isascii()
            assert row["text"] == row["text"].strip()
            assert 3 <= len(row["text"].split()) <= 115
            assert not re.search(r"https?:|@", row["text"])


def test_the_readme_states_what_counting_words_reaches():
    script = runpy.run_path(str(ROOT / "scripts" / "tfidf_baseline.py"))
    scores = script["baseline"]("support-tickets", "intent")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for score in scores.values():
        assert f"{score:.3f}" in readme
        assert score < 0.85
