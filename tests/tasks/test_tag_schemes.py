"""Tag schemes: what tells them apart, what breaks their rules, and all of them as IOB2."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.scheme import BILOU, IOB1, IOB2, IOBES, IOE2, Entities

from nlpbench.evaluation import entities as scored
from nlpbench.tasks.tagging import tag_schemes as schemes

# A sentence: runs of words, each outside of entities (None) or one entity of a type.
SENTENCE = st.lists(
    st.tuples(st.sampled_from([None, "PER", "LOC", "work-of-art"]), st.integers(1, 4)), max_size=8
)
CORPUS = st.lists(SENTENCE, max_size=5)


def written(runs, scheme):
    """The tags of a sentence, by the definition of each scheme."""
    tags = []
    for number, (kind, length) in enumerate(runs):
        if kind is None:
            tags += ["O"] * length
            continue
        after_its_like = number > 0 and runs[number - 1][0] == kind
        before_its_like = number + 1 < len(runs) and runs[number + 1][0] == kind
        first, middle, last, single = {
            "iob2": "BIIB",
            "iob1": "BIIB" if after_its_like else "IIII",
            "ioe1": "IIEE" if before_its_like else "IIII",
            "ioe2": "IIEE",
            "bilou": "BILU",
            "bioes": "BIES",
            "bmes": "BMES",
            "bmew": "BMEW",
        }[scheme]
        letters = single if length == 1 else first + middle * (length - 2) + last
        tags += [f"{letter}-{kind}" for letter in letters]
    return tags


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        *((name, name) for name in ("iob2", "iob1", "bilou", "bioes", "bmes")),
        *(("ioe1", "ioe"), ("ioe2", "ioe"), ("bmew", "bmes")),
    ],
)
@given(corpus=CORPUS)
def test_every_scheme_says_the_same_in_iob2(name, scheme, corpus):
    sentences = [written(runs, name) for runs in corpus]
    expected = [written(runs, "iob2") for runs in corpus]
    assert [schemes.to_iob2(tags, scheme) for tags in sentences] == expected
    assert list(schemes.faults(sentences, scheme)) == []
    found = schemes.detect(sentences)
    assert [schemes.to_iob2(tags, found) for tags in sentences] == expected
    assert list(schemes.faults(sentences, found)) == []


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("iob2", IOB2),
        ("iob1", IOB1),
        ("ioe2", IOE2),
        ("bilou", BILOU),
        ("bioes", IOBES),
    ],
)
@given(corpus=CORPUS)
def test_entities_are_those_of_seqeval(name, theirs, corpus):
    sentences = [written(runs, name) for runs in corpus]
    found = [
        [(number, *entity) for entity in schemes.entities(schemes.to_iob2(tags, read_as(name)))]
        for number, tags in enumerate(sentences)
    ]
    expected = [
        [(entity.sent_id, entity.tag, entity.start, entity.end) for entity in of_one]
        for of_one in Entities(sentences, theirs).entities
    ]
    assert found == expected


def read_as(name):
    return "ioe" if name.startswith("ioe") else name


@given(st.lists(st.sampled_from(["O", "B", "I", "B-X", "I-X", "B-Y", "I-Y"])))
def test_entities_are_the_ones_that_are_scored(tags):
    assert list(schemes.entities(tags)) == [tuple(one) for one in scored.entities(tags)]


@pytest.mark.parametrize(
    ("sentences", "scheme"),
    [
        ([["B-A", "I-A", "O"]], "iob2"),
        ([["O"], ["I-A", "O"]], "iob1"),
        ([["I-A", "B-A", "O", "I-B", "I-A"]], "iob1"),
        ([["I-A", "E-A"]], "ioe"),
        ([["U-A"]], "bilou"),
        ([["B-A", "L-A"]], "bilou"),
        ([["S-A"]], "bioes"),
        ([["B-A", "M-A", "E-A"]], "bmes"),
        ([["O", "O"], []], "iob2"),
        ([["B-A", "L-A", "S-A"]], None),
    ],
)
def test_the_letters_tell_the_scheme(sentences, scheme):
    assert schemes.detect(sentences) == scheme


def test_bs_that_iob1_does_not_need_make_it_iob2_with_faults():
    sentences = [["O", "B-A"], ["I-A", "O", "B-B", "I-A"]]
    assert schemes.detect(sentences) == "iob2"
    assert list(schemes.faults(sentences, "iob2")) == [(1, 0), (1, 3)]
    assert schemes.to_iob2(sentences[1], "iob2") == ["B-A", "O", "B-B", "B-A"]


@pytest.mark.parametrize(
    ("tags", "scheme", "words"),
    [
        (["I-A", "I-A", "I-B"], "iob2", [0, 2]),
        (["B-A", "O", "L-A", "B-A"], "bilou", [1, 2, 3]),
        (["B-A", "U-A", "I-A", "L-A"], "bilou", [1, 2]),
        (["B-A", "E-B", "S-A"], "bioes", [1]),
        (["B-A", "M-A", "B-A", "E-A"], "bmes", [2]),
        (["I-A", "E-B", "I-A"], "ioe", []),
    ],
)
def test_faults(tags, scheme, words):
    assert [place.word for place in schemes.faults([["O"], tags], scheme)] == words


def test_types_in_a_row_are_entities():
    assert schemes.to_iob2(["PER", "PER", "O", "art", "PER"], "io") == [
        *("B-PER", "I-PER", "O", "B-art", "B-PER")
    ]


def test_types_may_hold_hyphens_and_be_left_out():
    assert schemes.split_tag("B-work-of-art") == ("B", "work-of-art")
    assert schemes.to_iob2(["B", "I", "O", "I"], "iob1") == ["B", "I", "O", "B"]
    assert schemes.types_of(["O", "B-Y", "I-X", "B-Y", "B"], "iob2") == ["Y", "X", ""]
    assert schemes.tags_of(["Y", ""]) == ["O", "B-Y", "I-Y", "B", "I"]


@pytest.mark.parametrize("tag", ["PER", "NN", "B-", "b-per", "X-PER", "O-PER", "", "B_PER", "-PER"])
def test_no_tag_of_an_entity(tag):
    assert schemes.split_tag(tag) is None
