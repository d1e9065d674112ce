"""The embedded samples are what their README says, and hard enough to be worth a model."""

from __future__ import annotations

import re
import runpy
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from nlpbench.config.sections import DataSection
from nlpbench.data.audit import audit, normalise
from nlpbench.data.embedded import sample_folder, sample_names, sample_summary
from nlpbench.data.load import load

SPLITS = ("train", "validation", "test")
ROOT = Path(__file__).parent.parent.parent
# The columns of each sample, and of those the ones that hold its text.
COLUMNS = {
    "faq-pairs": ["query", "positive"],
    "field-guide": ["text"],
    "help-center-qa": ["title", "context", "question", "answers"],
    "how-to-steps": ["context", "choices", "label"],
    "meeting-notes": ["notes", "summary"],
    "news-entities": ["tokens", "tags"],
    "product-phrases": ["en", "fr"],
    "support-tickets": ["text", "intent", "sentiment", "priority"],
}
TEXTS = {
    "faq-pairs": ["query", "positive"],
    "field-guide": ["text"],
    "help-center-qa": ["title", "context"],
    "how-to-steps": ["context", "choices"],
    "meeting-notes": ["notes", "summary"],
    "news-entities": ["tokens"],
    "product-phrases": ["en", "fr"],
    "support-tickets": ["text"],
}
Rows = dict[str, list[dict[str, Any]]]


def read(name: str) -> Rows:
    data = load(DataSection(source=f"sample:{name}"), SPLITS, ["id", *COLUMNS[name]])
    return {split: data.splits[split].rows.to_list() for split in SPLITS}


def texts_of(row: dict[str, Any], column: str) -> list[str]:
    """What of the row must not come back: its text, or each of its choices."""
    value = row[column]
    if column == "tokens":
        return [" ".join(value)]
    return list(value) if isinstance(value, list) else [value]


@pytest.fixture(scope="module")
def samples() -> dict[str, Rows]:
    return {name: read(name) for name in COLUMNS}


@pytest.fixture(scope="module")
def tickets():
    data = load(DataSection(source="sample:support-tickets"), SPLITS, ["text", "intent"])
    return {name: data.splits[name].rows.to_list() for name in SPLITS}


def test_samples_are_listed():
    assert sample_names() == sorted(COLUMNS)


@pytest.mark.parametrize("name", sorted(COLUMNS))
def test_a_readme_sums_the_sample_up_in_a_line_and_states_sizes_and_licence(name, samples):
    readme = (sample_folder(name) / "README.md").read_text(encoding="utf-8")
    assert readme.startswith(f"# {name}\n\n{sample_summary(name)}\n")
    assert 40 <= len(sample_summary(name)) <= 110
    sizes = (len(samples[name][split]) for split in SPLITS)
    assert "Splits: {:,} train, {:,} validation, {:,} test".format(*sizes) in readme
    assert f"{sum(len(rows) for rows in samples[name].values()):,} " in readme
    assert readme.rstrip().endswith("Licence: Apache-2.0, as all of nlpbench.")
    for column in COLUMNS[name]:
        assert f"| `{column}` |" in readme


@pytest.mark.parametrize("name", sorted(COLUMNS))
def test_ids_count_the_rows_of_a_split(name, samples):
    for split, rows in samples[name].items():
        assert [row["id"] for row in rows] == [f"{split}-{i:04d}" for i in range(1, len(rows) + 1)]


@pytest.mark.parametrize("name", sorted(COLUMNS))
def test_splits_are_large_enough(name, samples):
    sizes = {split: len(rows) for split, rows in samples[name].items()}
    assert sum(sizes.values()) >= 100
    for split in ("validation", "test"):
        assert sizes[split] >= 0.1 * sum(sizes.values())


@pytest.mark.parametrize(
    ("name", "column"), [(name, column) for name in sorted(TEXTS) for column in TEXTS[name]]
)
def test_no_text_stands_in_two_splits(name, column, samples):
    found = {
        split: {normalise(text) for row in rows for text in texts_of(row, column)}
        for split, rows in samples[name].items()
    }
    assert not found["train"] & found["validation"]
    assert not found["train"] & found["test"]
    assert not found["validation"] & found["test"]


@pytest.mark.parametrize(
    ("name", "column"),
    [
        (name, column)
        for name in sorted(TEXTS)
        for column in TEXTS[name]
        if name != "help-center-qa"  # several questions share a page
    ],
)
def test_no_text_stands_twice_in_a_split(name, column, samples):
    for rows in samples[name].values():
        found = Counter(normalise(text) for row in rows for text in texts_of(row, column))
        assert [text for text, count in found.items() if count > 1] == []


@pytest.mark.parametrize("name", sorted(COLUMNS))
def test_no_text_is_empty_or_padded(name, samples):
    for rows in samples[name].values():
        for row in rows:
            for column in TEXTS[name]:
                for text in texts_of(row, column):
                    assert text
                    assert text == text.strip()
                    assert "  " not in text


def test_entity_tags_are_iob2_and_every_split_has_every_type(samples):
    for rows in samples["news-entities"].values():
        begun = set()
        for row in rows:
            assert len(row["tokens"]) == len(row["tags"]) > 0
            previous = "O"
            for token, tag in zip(row["tokens"], row["tags"], strict=True):
                assert re.fullmatch(r"O|[BI]-(PER|ORG|LOC)", tag)
                if tag.startswith("I-"):
                    assert previous[2:] == tag[2:], row["id"]
                assert token
                assert not re.search(r"\s", token)
                previous = tag
            begun.update(tag[2:] for tag in row["tags"] if tag.startswith("B-"))
        assert begun == {"PER", "ORG", "LOC"}


def test_a_name_is_written_with_a_capital(samples):
    for rows in samples["news-entities"].values():
        for row in rows:
            for token, tag in zip(row["tokens"], row["tags"], strict=True):
                if tag.startswith("B-"):
                    assert token[0].isupper(), row["id"]


def test_answers_stand_where_their_offsets_say(samples):
    for rows in samples["help-center-qa"].values():
        for row in rows:
            answers = row["answers"]
            assert len(answers["text"]) == len(answers["answer_start"])
            for text, start in zip(answers["text"], answers["answer_start"], strict=True):
                end = start + len(text)
                assert text
                assert row["context"][start:end] == text, row["id"]
                around = row["context"][max(start - 1, 0) : start], row["context"][end : end + 1]
                for inner, outer in zip((text[0], text[-1]), around, strict=True):
                    assert not (inner.isalnum() and outer.isalnum()), row["id"]


def test_an_answer_is_more_than_punctuation_and_articles(samples):
    """SQuAD's scoring drops both, and what is then empty counts as no answer."""
    for rows in samples["help-center-qa"].values():
        for row in rows:
            for text in row["answers"]["text"]:
                words = re.findall(r"\w+", text.lower())
                assert set(words) - {"a", "an", "the"}, row["id"]


def test_about_one_question_in_six_has_no_answer(samples):
    for rows in samples["help-center-qa"].values():
        share = sum(not row["answers"]["text"] for row in rows) / len(rows)
        assert 0.12 <= share <= 0.2


def test_pages_have_one_title_and_no_question_comes_twice(samples):
    for rows in samples["help-center-qa"].values():
        pages = {(row["title"], row["context"]) for row in rows}
        assert len(pages) == len({title for title, _ in pages})
        asked = Counter((row["title"], normalise(row["question"])) for row in rows)
        assert max(asked.values()) == 1


def test_choices_are_four_and_differ_and_labels_are_balanced(samples):
    for rows in samples["how-to-steps"].values():
        for row in rows:
            assert len({normalise(choice) for choice in row["choices"]}) == len(row["choices"]) == 4
        labels = Counter(row["label"] for row in rows)
        assert set(labels) == {0, 1, 2, 3}
        assert max(labels.values()) - min(labels.values()) <= 1


def test_the_longest_choice_is_seldom_the_right_one(samples):
    rows = [row for part in samples["how-to-steps"].values() for row in part]
    hits = sum(
        max(row["choices"], key=len) == row["choices"][row["label"]] for row in rows
    )  # one in four is chance
    assert hits / len(rows) < 0.4


def test_french_has_its_typography(samples):
    for rows in samples["product-phrases"].values():
        for row in rows:
            assert row["en"].isascii() or re.search("[€…]", row["en"])
            assert not re.search(r"['\"]", row["fr"]), row["fr"]
            assert not re.search(r"[^\u00a0][:;!?%€»]", row["fr"]), row["fr"]
            assert not re.search(r"«[^\u00a0]", row["fr"]), row["fr"]


def test_a_summary_is_short_and_copies_little(samples):
    for rows in samples["meeting-notes"].values():
        for row in rows:
            notes, summary = row["notes"].split(), row["summary"].split()
            assert 60 <= len(notes) <= 140
            assert len(summary) <= 0.45 * len(notes), row["id"]
            pieces = zip(*(summary[i:] for i in range(8)), strict=False)
            copied = [piece for piece in pieces if " ".join(piece) in " ".join(notes)]
            assert copied == [], row["id"]


def test_paragraphs_of_the_field_guide_have_a_paragraphs_length(samples):
    for rows in samples["field-guide"].values():
        for row in rows:
            assert 35 <= len(row["text"].split()) <= 120
            assert row["text"][-1] in ".!?"


def test_questions_do_not_give_their_answers_away(samples):
    """Choosing the answer that shares the rarest words with the question is mostly wrong."""
    for rows in samples["faq-pairs"].values():
        answers = [set(normalise(row["positive"]).split()) for row in rows]
        holders = Counter(word for answer in answers for word in answer)
        hits = 0
        for number, row in enumerate(rows):
            asked = set(normalise(row["query"]).split())
            shared = [sum(1 / holders[word] for word in asked & answer) for answer in answers]
            hits += shared.index(max(shared)) == number
        assert hits / len(rows) < 0.4


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
