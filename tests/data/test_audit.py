"""The audit against counts made the slow way."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpbench.config.errors import UserError
from nlpbench.data.audit import audit, normalise


def test_normalise():
    assert (
        normalise(" It 's  GOOD, really! ") == normalise("it's good really") == "it s good really"
    )
    assert normalise("¡Straße!") == "strasse"
    assert normalise("हिन्दी।") == "हिन्दी"
    assert normalise("c++") != normalise("c")
    assert normalise("😀") != normalise("😡")
    assert normalise("?!") == "?!"
    assert normalise(" \n") == ""


TEXTS = {
    "train": ["Good film.", "good film", "Good film.", "bad", "", " "],
    "validation": ["new"],
    "test": ["GOOD FILM", "bad", "fresh", ""],
}
LABELS = {"train": list("ppnnpp"), "validation": ["p"], "test": list("pnpn")}


def test_counts():
    found = audit(TEXTS, LABELS, None)
    train = found.splits["train"]
    assert train.classes == {"n": 2, "p": 4}
    assert (train.rows, train.empty_texts) == (6, 2)
    assert (train.exact_duplicates, train.normalised_duplicates) == (1, 2)
    assert (train.conflicting_texts, train.conflicting_rows) == (1, 3)
    assert train.words == {"p50": 1, "p90": 2, "p99": 2, "max": 2}
    assert train.characters["max"] == 10
    leak = found.leakage["test"]
    assert (leak.exact_rows, leak.normalised_rows, leak.normalised_share) == (1, 2, 0.5)
    assert leak.examples == [(0, 0), (1, 3)]
    assert found.warnings == [
        "2 of 4 test rows (50.0%, 1 of them word for word) stand in train as well, so scores on "
        'them flatter the model; for example test row 1 and train row 1: "GOOD FILM"'
    ]
    assert json.loads(json.dumps(found.to_json())) == found.to_json()
    assert found.to_json()["leakage"]["test"]["examples"] == [[0, 0], [1, 3]]


def test_table():
    assert audit(TEXTS, LABELS, None).lines() == [
        ("", "train", "validation", "test"),
        ("rows", "6", "1", "4"),
        ("classes", "2 (n 2 … p 4)", "1 (1 each)", "2 (2 each)"),
        ("empty texts", "2", "0", "1"),
        ("duplicates, exact", "1", "0", "0"),
        ("duplicates, normalised", "2", "0", "0"),
        ("label conflicts", "1 text (3 rows)", "0", "0"),
        ("words, p50 p90 p99 max", "1 2 2 2", "1 1 1 1", "1 2 2 2"),
        ("characters, p50 p90 p99 max", "3 10 10 10", "3 3 3 3", "3 9 9 9"),
        ("stand in train, exact", "", "0 (0.0%)", "1 (25.0%)"),
        ("stand in train, normalised", "", "0 (0.0%)", "2 (50.0%)"),
    ]


def test_without_labels_and_train():
    found = audit({"test": ["a", "a"]}, None, 0.0)
    assert found.splits["test"].classes is None
    assert found.leakage == {}
    assert found.warnings == []
    assert [line[0] for line in found.lines()][:3] == ["", "rows", "empty texts"]


def test_too_much_leakage():
    assert audit(TEXTS, None, 0.5).warnings
    with pytest.raises(UserError) as caught:
        audit(TEXTS, None, 0.49, lambda name, index: f"{name}.csv, row {index + 1}")
    assert str(caught.value) == (
        "test: 2 of 4 rows (50.0%) stand in train as well, more than data.max_leakage allows "
        '(49.0%), such as test.csv, row 1 and train.csv, row 1: "GOOD FILM"; '
        "remove them from train, or raise data.max_leakage"
    )


def test_one_warning_for_all_splits():
    found = audit({"train": ["a"], "validation": ["a"], "test": ["A", "b"]}, None, None)
    assert found.warnings == [
        "1 of 1 validation rows (100.0%, 1 of them word for word) and 1 of 2 test rows (50.0%, "
        "0 of them word for word) stand in train as well, so scores on them flatter the model; "
        'for example test row 1 and train row 1: "A"'
    ]


texts = st.lists(
    st.sampled_from(["", " ", "a", "A", "a!", "a b", "A  B", "b", "!", "?"]), max_size=15
)


@given(train=texts, test=texts, data=st.data())
def test_counts_equal_a_brute_force_count(train, test, data):
    label = st.sampled_from("xy")
    labels = {
        "train": data.draw(st.lists(label, min_size=len(train), max_size=len(train))),
        "test": data.draw(st.lists(label, min_size=len(test), max_size=len(test))),
    }
    found = audit({"train": train, "test": test}, labels, None)
    for name, rows in (("train", train), ("test", test)):
        keys = [normalise(row) for row in rows]
        split = found.splits[name]
        span = range(len(rows))
        assert split.exact_duplicates == sum(
            any(rows[i] == rows[j] for j in range(i)) for i in span if rows[i].strip()
        )
        assert split.normalised_duplicates == sum(
            any(keys[i] == keys[j] for j in range(i)) for i in span if keys[i]
        )
        assert split.conflicting_rows == sum(
            any(keys[i] == keys[j] and labels[name][i] != labels[name][j] for j in span)
            for i in span
            if keys[i]
        )
        assert split.empty_texts == sum(not row.strip() for row in rows)
    leak = found.leakage["test"]
    train_keys = [normalise(row) for row in train]
    hits = [i for i, row in enumerate(test) if row.strip() and normalise(row) in train_keys]
    assert leak.normalised_rows == len(hits)
    assert leak.exact_rows == sum(test[i] in train for i in hits)
    assert leak.examples == [(i, train_keys.index(normalise(test[i]))) for i in hits[:3]]


def test_a_hundred_thousand_texts_take_seconds():
    rows = [
        f"This is message number {number % 90_000}, about an invoice!" for number in range(100_000)
    ]
    started = time.perf_counter()
    found = audit({"train": rows[:90_000], "test": rows[90_000:]}, None, None)
    assert time.perf_counter() - started < 6  # about one second; room for a busy machine
    assert found.leakage["test"].exact_share == 1
