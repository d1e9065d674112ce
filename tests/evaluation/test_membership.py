"""Which rows are in which slice."""

from __future__ import annotations

import re

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features
from hypothesis import given
from hypothesis import strategies as st
from sliced_rows import LABELS, cut, parts, rows_of

from nlpbench.config.errors import UserError
from nlpbench.config.slices import Slicing
from nlpbench.evaluation import membership
from nlpbench.evaluation.membership import Rows


class Tokenizer:
    """A token for each letter, and two special ones unless they are left out."""

    def __call__(self, texts, add_special_tokens=True, truncation=True, verbose=True):
        special = [0, 0] if add_special_tokens else []
        return {"input_ids": [[*special, *map(ord, text)] for text in texts]}


def test_a_column_makes_a_slice_of_each_value_in_the_order_of_the_alphabet():
    [sliced] = cut({"language": ["de", "en", "de", "ar"]}, "language")
    assert parts(sliced) == {"language=ar": [3], "language=de": [0, 2], "language=en": [1]}


def test_numbers_stand_in_their_own_order_and_truths_are_words():
    [size, flag] = cut({"size": [10, 9, 10], "flag": [True, False, True]}, "size", "flag")
    assert parts(size) == {"size=9": [1], "size=10": [0, 2]}
    assert parts(flag) == {"flag=false": [1], "flag=true": [0, 2]}


def test_a_column_of_class_labels_is_told_by_their_names():
    rows = Dataset.from_dict(
        {"topic": [1, 0, 1]}, features=Features({"topic": ClassLabel(names=["art", "sport"])})
    )
    [sliced] = membership.find(
        [Slicing(column="topic")], Rows(rows, [""] * 3, np.zeros(3), [], str)
    )
    assert parts(sliced) == {"topic=art": [1], "topic=sport": [0, 2]}


def test_rows_without_a_value_are_in_no_slice_and_that_is_told():
    [sliced] = cut({"group": ["a", None, "", "a"]}, "group")
    assert parts(sliced) == {"group=a": [0, 3]}
    assert sliced.notes == ["slices by group: 2 rows have no value, and no slice"]


def test_values_that_are_asked_for_are_there_even_if_no_row_has_them():
    [sliced] = cut({"language": ["de", "en"]}, {"column": "language", "values": ["en", "fr"]})
    assert parts(sliced) == {"language=en": [1], "language=fr": []}


def test_values_are_compared_as_they_are_written():
    [sliced] = cut({"stars": [1, 2, 2]}, {"column": "stars", "values": [2, "1"]})
    assert parts(sliced) == {"stars=2": [1, 2], "stars=1": [0]}


def test_values_of_few_rows_are_left_out_and_named():
    [sliced] = cut({"language": [*"aabc"]}, {"column": "language", "min_rows": 2})
    assert parts(sliced) == {"language=a": [0, 1]}
    assert sliced.notes == [
        "slices by language: left out for having fewer than 2 rows: b, c",
    ]


def test_too_many_values_are_refused_with_a_way_out():
    columns = {"author": [f"author {number}" for number in range(51)]}
    with pytest.raises(UserError, match=re.escape("evaluation.slices[0]: author makes 51 slices")):
        cut(columns, "author")
    [sliced] = cut(columns, {"column": "author", "max_values": 51})
    assert len(sliced.slices) == 51


def test_a_column_without_a_value_makes_no_slices():
    with pytest.raises(UserError, match=r"group makes no slice; .* 2 rows have no value"):
        cut({"group": [None, None], "text": ["a", "b"]}, "group")


def test_a_list_is_no_value_and_its_row_is_told():
    with pytest.raises(UserError, match=r'd\.csv:2: .*tags holds \["a"\]'):
        cut({"tags": [["a"], ["b"]]}, "tags")


def test_two_columns_make_a_slice_of_each_combination_that_occurs():
    columns = {"language": ["de", "en", "de"], "domain": ["news", "news", "web"]}
    [crossed, named] = cut(
        columns,
        {"columns": ["language", "domain"]},
        {"columns": ["domain", "language"], "name": "origin"},
    )
    assert parts(crossed) == {
        "language=de,domain=news": [0],
        "language=de,domain=web": [2],
        "language=en,domain=news": [1],
    }
    assert list(parts(named)) == ["origin=news,de", "origin=news,en", "origin=web,de"]


def test_a_label_is_that_of_the_reference_and_one_without_rows_is_empty():
    [sliced] = cut({"text": ["", "", ""]}, "label", references=[1, 0, 1], labels=[*LABELS, "odd"])
    assert parts(sliced) == {"label=negative": [1], "label=positive": [0, 2], "label=odd": []}


def test_a_row_of_two_labels_is_in_both_slices():
    references = np.array([[1, 1], [0, 1], [0, 0]])
    [sliced] = cut({"text": ["", "", ""]}, "label", references=references, labels=LABELS)
    assert parts(sliced) == {"label=negative": [0], "label=positive": [0, 1]}
    assert membership.names_by_row([sliced], 3) == [
        ["label=negative", "label=positive"],
        ["label=positive"],
        [],
    ]


@pytest.mark.parametrize(
    ("unit", "title"), [(None, "length"), ("words", "words"), ("characters", "characters")]
)
def test_a_bound_of_lengths_belongs_to_the_slice_below_it(unit, title):
    texts = ["a b", "a b c", "a b c d", "a b c d e"] if unit == "words" else ["ab", "abc", "abcd"]
    texts = texts if unit == "words" else [*texts, "abcde"]
    slicing = Slicing(length=[2, 4], unit=unit)
    [sliced] = membership.find([slicing], rows_of({"text": texts}), Tokenizer())
    assert parts(sliced) == {f"{title}<=2": [0], f"2<{title}<=4": [1, 2], f"{title}>4": [3]}


def test_without_a_tokenizer_nothing_is_cut_by_tokens():
    assert cut({"text": ["a"]}, {"length": [4]}) == []


def test_a_pattern_makes_a_slice_and_its_complement():
    columns = {"text": ["not good", "a knot", "NOT"], "title": ["x", "not", "y"]}
    [named, unnamed, other] = cut(
        columns,
        {"pattern": r"\bnot\b", "name": "negation"},
        {"pattern": "(?i)not"},
        {"pattern": "^not$", "column": "title", "name": "title"},
    )
    assert parts(named) == {"negation": [0], "not negation": [1, 2]}
    assert parts(unnamed) == {"/(?i)not/": [0, 1, 2], "not /(?i)not/": []}
    assert parts(other) == {"title": [1], "not title": [0, 2]}


def test_a_pattern_needs_texts():
    with pytest.raises(UserError, match=r"d\.csv:3: .* the column title is empty \(null\)"):
        cut({"title": ["a", None]}, {"pattern": "a", "column": "title"})


def test_two_slices_of_one_name_are_refused():
    with pytest.raises(UserError, match=r"slices\[1\]: makes a slice not a, as .*slices\[0\] does"):
        cut({"text": ["a"]}, {"pattern": "a", "name": "a"}, {"pattern": "b", "name": "not a"})


def test_a_positive_label_must_be_one_of_the_labels():
    slicing = {"column": "text", "fairness": True, "positive_label": "positiv"}
    with pytest.raises(
        UserError, match=r"positive_label: .*\"positiv\".*allowed: negative, positive"
    ):
        cut({"text": ["a"]}, slicing, labels=LABELS)


@given(st.data())
def test_a_slicing_with_a_value_in_every_row_parts_the_rows(data):
    texts = data.draw(st.lists(st.text("ab ", min_size=1), min_size=1, max_size=30))
    references = data.draw(st.lists(st.integers(0, 1), min_size=len(texts), max_size=len(texts)))
    bounds = sorted(data.draw(st.sets(st.integers(1, 9), min_size=1)))
    found = cut(
        {"text": texts, "group": [text[0] for text in texts]},
        "group",
        "label",
        {"length": bounds, "unit": "characters"},
        {"pattern": "ab?"},
        {"columns": ["group", "text"]},
        references=references,
        labels=LABELS,
    )
    for sliced in found:
        together = sorted(row for rows in parts(sliced).values() for row in rows)
        assert together == list(range(len(texts)))
    names = membership.names_by_row(found, len(texts))
    assert all(len(of_row) == len(found) for of_row in names)
    for sliced in found:
        for part in sliced.slices:
            assert part.rows.tolist() == [
                row for row, of_row in enumerate(names) if part.name in of_row
            ]
