"""Columns read in pieces against columns read at once."""

from __future__ import annotations

import math

import pytest
from datasets import Dataset, concatenate_datasets
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpbench.tasks import _columns
from nlpbench.tasks._columns import Texts, find_distinct


@pytest.fixture(autouse=True, scope="module")
def small_pieces():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_columns, "BATCH", 4)
        yield


values = st.one_of(
    st.lists(st.sampled_from([None, "", "a", "b", "c"]), min_size=1, max_size=15),
    st.lists(st.sampled_from([None, 1, 2, 3, -1]), min_size=1, max_size=15),
    st.lists(st.sampled_from([None, True, False]), min_size=1, max_size=15),
    st.lists(st.sampled_from([None, 0.5, math.nan, -2.0]), min_size=1, max_size=15),
)


@settings(deadline=None)
@given(values=values, reverse=st.booleans())
def test_distinct_values(values, reverse):
    rows = Dataset.from_dict({"label": values})
    if reverse:
        rows, values = rows.select(range(len(values) - 1, -1, -1)), values[::-1]
    found = find_distinct(rows, "label")
    assert list(map(repr, found.values)) == list(dict.fromkeys(map(repr, values)))
    assert [repr(found.values[code]) for code in found.codes] == list(map(repr, values))
    firsts = [list(map(repr, values)).index(repr(value)) for value in found.values]
    assert found.first == firsts


@pytest.mark.parametrize(
    ("labels", "expected", "first"),
    [
        ([["a"], None, ["b"]], [["a"], None], [0, 1]),
        ([None] * 5 + [{"a": 1}], [None, {"a": 1}], [0, 5]),
        ([[1]] * 6, [[1]], [0]),
    ],
)
def test_nested_values_count_as_one(labels, expected, first):
    found = find_distinct(Dataset.from_dict({"label": labels}), "label")
    assert (found.values, found.first) == (expected, first)
    assert [found.values[code] is None for code in found.codes] == [
        label is None for label in labels
    ]


def test_texts_are_read_as_they_stand():
    first = Dataset.from_dict({"a": [f"a{n}" for n in range(9)], "b": [f"b{n}" for n in range(9)]})
    rows = concatenate_datasets([first, first]).select([*range(17, 0, -2)])
    expected = [f"a{n % 9}\nb{n % 9}" for n in range(17, 0, -2)]
    texts = Texts(rows, ["a", "b"])
    assert len(texts) == 9
    assert list(texts) == list(texts) == expected
    assert [texts[number] for number in range(9)] == expected
    assert texts[2:7] == expected[2:7]
    assert list(Texts(rows, ["b"])) == [text.partition("\n")[2] for text in expected]
    with pytest.raises(IndexError):
        texts[9]
