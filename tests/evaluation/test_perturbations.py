"""Altered texts: as many as the rate says, the same ones every time, and no character split."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from nlpbench.config import registry
from nlpbench.config.component import ComponentField
from nlpbench.config.errors import ConfigError
from nlpbench.config.load import loads
from nlpbench.evaluation.graphemes import graphemes, is_mark

OPTIONS = [
    {"name": "typos"},
    *({"name": "typos", "kinds": [kind]} for kind in ("neighbour", "swap", "drop", "double")),
    *({"name": "case", "to": to} for to in ("lower", "upper", "title", "random")),
    *({"name": "punctuation", "change": change} for change in ("remove", "add")),
    *({"name": "whitespace", "change": change} for change in ("double", "remove", "tab")),
]
FAMILY, FLAG, ACCENT = "👩‍👩‍👧‍👦", "🇩🇪", "e\u0301\u0323"
LETTERS = [*"abcXYZßéŉ1 .,!'\t", FAMILY, FLAG, ACCENT, "漢", "क्षि", "\ud800", "ǆ", "\n"]
TEXTS = st.lists(st.sampled_from(LETTERS), max_size=30).map("".join)
SENTENCE = "The quick brown fox jumps over the lazy dog, and nobody saw it at all. " * 40


def make(name="typos", **options):
    return ComponentField("perturbation").build({"name": name, **options})


@pytest.fixture(params=OPTIONS, ids=lambda values: "-".join(map(str, values.values())))
def values(request):
    return request.param


def test_every_perturbation_is_tried_here():
    assert {values["name"] for values in OPTIONS} == set(registry.names("perturbation"))


@settings(max_examples=30, deadline=None)
@given(text=TEXTS, rate=st.sampled_from([0.3, 1.0]), seed=st.integers(0, 3))
@pytest.mark.parametrize("values", OPTIONS, ids=lambda values: "-".join(map(str, values.values())))
def test_the_same_text_is_altered_the_same_way_and_something_is_left(values, text, rate, seed):
    perturbation = make(**values, rate=rate, seed=seed)
    found = perturbation.perturb(text)
    assert found == make(**values, rate=rate, seed=seed).perturb(text)
    assert bool(found.strip()) == bool(text.strip())
    words = text.split()
    altered = perturbation.perturb(words)
    assert len(altered) == len(words)
    assert all(word.strip() for word in altered)


@settings(max_examples=50, deadline=None)
@given(text=TEXTS)
@pytest.mark.parametrize(
    "values", [each for each in OPTIONS if each["name"] != "case"], ids=lambda each: str(each)
)
def test_no_grapheme_is_split(values, text):
    """Of every cluster there are as many as before, fewer, or more of the whole ones."""
    found = Counter(graphemes(make(**values, rate=1.0).perturb(text)))
    before = Counter(graphemes(text))
    for cluster in (FAMILY, FLAG, ACCENT, "क्षि"):
        assert (cluster in found) <= (cluster in before)
    joined = "".join(found)
    for cluster in (FAMILY, FLAG):
        for part in set(cluster):
            assert (part in joined) <= any(part in each for each in before)
    new = {cluster for cluster in set(found) - set(before) if len(cluster) > 1}
    assert new <= {"\r\n"}, new


def test_the_rate_is_the_share_of_letters_that_a_typo_is_made_at():
    for kind, change in (("drop", -1), ("double", 1)):
        text = "abcdefghij " * 400
        found = make(rate=0.1, kinds=[kind]).perturb(text)
        share = (len(found) - len(text)) * change / 4000
        assert 0.07 < share < 0.13


def test_the_rate_is_the_share_of_words_of_marks_and_of_gaps():
    lower = make("case", to="upper", rate=0.25).perturb("word " * 2000)
    assert 0.2 < lower.count("WORD") / 2000 < 0.3
    removed = make("punctuation", rate=0.25).perturb("a, " * 2000)
    assert 0.2 < 1 - removed.count(",") / 2000 < 0.3
    added = make("punctuation", change="add", rate=0.25).perturb("word " * 2000)
    assert 0.2 < len(re.findall(r"[,.;:!?]", added)) / 2000 < 0.3
    joined = make("whitespace", change="remove", rate=0.25).perturb("word " * 2000)
    assert 0.2 < 1 - joined.count(" ") / 2000 < 0.3


def test_a_larger_rate_alters_more_of_the_same():
    few, many = (make("case", to="upper", rate=rate).perturb("word " * 500) for rate in (0.2, 0.6))
    one, other = (
        {number for number, word in enumerate(text.split()) if word.isupper()}
        for text in (few, many)
    )
    assert one < other


def test_another_seed_alters_something_else():
    assert make(seed=1).perturb(SENTENCE) != make(seed=2).perturb(SENTENCE)
    assert make(seed=1).perturb(SENTENCE) == make(seed=1).perturb(SENTENCE)


@settings(max_examples=50, deadline=None)
@given(st.text(alphabet="abcdefg ", max_size=40))
def test_a_typo_is_what_it_says(text):
    def altered(kind):
        return make(kinds=[kind], rate=1.0).perturb(text)

    assert Counter(altered("swap")) == Counter(text)
    assert altered("double") == "".join(letter * (1 + (letter != " ")) for letter in text)
    assert altered("drop") == re.sub(r"(\w)\w+", r"\1", text)
    beside = altered("neighbour")
    assert len(beside) == len(text)
    for one, other in zip(text, beside, strict=True):
        assert (one == other) == (one == " ")


@pytest.mark.parametrize(
    ("letter", "near"), [("q", "wa"), ("g", "ftyhbv"), ("m", "njk"), ("A", "QWSZ"), ("p", "ol")]
)
def test_neighbours_are_those_of_the_keyboard(letter, near):
    found = {make(kinds=["neighbour"], rate=1.0, seed=seed).perturb(letter) for seed in range(60)}
    assert found == set(near)


@pytest.mark.parametrize(
    ("options", "text", "expected"),
    [
        ({"name": "case"}, "Der STRAßE ÉTÉ", "der straße été"),
        ({"name": "case", "to": "upper"}, "straße 'tis", "STRASSE 'TIS"),
        ({"name": "case", "to": "title"}, 'don\'t say "éTÉ" ok', 'Don\'t Say "Été" Ok'),
        ({"name": "punctuation"}, "Hi, there! 3.5 is «one», a-b…", "Hi there 3.5 is one ab"),
        ({"name": "punctuation"}, "keycap *️⃣ stays", "keycap *️⃣ stays"),
        ({"name": "punctuation"}, "?!", "?!"),
        ({"name": "whitespace", "rate": 1.0}, " a b\nc ", " a  b\n\nc "),
        ({"name": "whitespace", "rate": 1.0, "change": "remove"}, "a b \u0301c d", "ab \u0301cd"),
        ({"name": "whitespace", "rate": 1.0, "change": "tab"}, "a b  c", "a\tb\tc"),
        ({"name": "typos", "rate": 1.0, "kinds": ["drop"]}, "a bc 漢字", "a b 漢"),
    ],
)
def test_texts_are_altered_as_said(options, text, expected):
    assert make(**options).perturb(text) == expected


def test_words_that_are_marks_stay():
    words = ["Hello", ",", "Dr.", "..."]
    assert make("punctuation").perturb(words) == ["Hello", ",", "Dr", "..."]


def test_combining_marks_stay_on_their_letters():
    text = "cafe\u0301 re\u0301sume\u0301 nai\u0308ve " * 30
    for kind in ("swap", "drop", "double"):
        found = make(kinds=[kind], rate=0.5).perturb(text)
        for one, other in pairwise(found):
            if unicodedata.combining(other):
                assert (one, other) in {("e", "\u0301"), ("i", "\u0308")}
    assert not any(is_mark(cluster) for cluster in graphemes("e\u0301*️⃣"))


# What a config says


CONFIG = "model: m\ndata: d.csv\ntask: {task}\nevaluation: {{perturbations: {value}}}\n"


@pytest.mark.parametrize(
    ("task", "value", "message"),
    [
        ("text-classification", "[typpos]", 'unknown perturbation (got "typpos")  did you mean'),
        ("text-classification", "[]", "must hold at least 1 item"),
        ("text-classification", "[{name: typos, rate: 0}]", "must be greater than 0"),
        ("text-classification", "[{name: typos, rate: 1.5}]", "must be at most 1"),
        ("text-classification", "[{name: typos, kinds: [slip]}]", "kinds"),
        ("text-classification", "[case, {name: case, to: lower}]", "is the same perturbation as"),
        ("causal-language-modeling", "[typos]", "has no text that could be altered without its"),
        ("masked-language-modeling", "[typos]", "has no text that could be altered without its"),
        ("next-sentence-prediction", "[typos]", "has no text that could be altered without its"),
        ("{name: text-generation, messages_column: m}", "[typos]", "has no text that could be"),
        ("token-classification", "[case, whitespace]", "perturbations[1]  whitespace alters what"),
    ],
)
def test_a_config_that_cannot_be_meant_is_told(task, value, message):
    with pytest.raises(ConfigError) as caught:
        loads(CONFIG.format(task=task, value=value))
    assert message in str(caught.value)


def test_two_of_a_kind_have_names_of_their_own():
    text = "[typos, {name: typos, rate: 0.2, kinds: [swap, drop]}, {name: case, seed: 3}]"
    config = loads(CONFIG.format(task="text-classification", value=text))
    labels = [each.label for each in config.evaluation.perturbations]
    assert labels == ["typos", "typos[rate=0.2,kinds=swap+drop]", "case[seed=3]"]
    again = type(config).model_validate(config.resolved())
    assert again.evaluation.perturbations == config.evaluation.perturbations


def test_options_are_typed():
    with pytest.raises((ValidationError, ValueError)):
        make("case", to="sideways")


COLUMNS = [
    ("{name: text-classification, text_column: a, text_pair_column: b}", ["a", "b"]),
    ("sentence-similarity", ["sentence1", "sentence2"]),
    ("token-classification", ["tokens"]),
    ("question-answering", ["question"]),
    ("{name: multiple-choice, question_column: q}", ["context", "q"]),
    ("{name: translation, source_language: en, target_language: de}", ["en"]),
    ("{name: summarization, source_column: s}", ["s"]),
    ("{name: text-generation, prompt_template: '{more} {prompt}'}", ["prompt"]),
    ("retrieval", ["text"]),
    ("{name: retrieval, query_column: q, positive_column: p}", ["q"]),
]


@pytest.mark.parametrize(("task", "columns"), COLUMNS)
def test_only_what_a_model_answers_to_is_altered(task, columns):
    config = loads(CONFIG.format(task=task, value="[typos]"))
    assert config.task.altered_columns == columns
