"""Texts that cannot be scored as they are, or should not."""

from __future__ import annotations

import pytest
from noisy_texts import CHINESE, JAPANESE, SENTENCES, THAI, as_array

from nlpbench.config.errors import UserError
from nlpbench.evaluation.text_checks import (
    check_texts,
    name_rows,
    reference_count,
    spaceless,
)

RIGHT = [[text] for text in SENTENCES]


def test_texts_that_are_right_raise_no_doubt():
    assert check_texts(as_array(SENTENCES), as_array(RIGHT)) == []
    assert check_texts(SENTENCES, [[text, text.upper()] for text in SENTENCES]) == []
    assert check_texts([], []) == []


@pytest.mark.parametrize(
    ("predictions", "references", "message"),
    [
        (
            SENTENCES[:2],
            RIGHT[:1],
            r"the predictions \(2\) and the rows of references \(1\) differ",
        ),
        (SENTENCES[:2], RIGHT[:3], r"\(2\) and the rows of references \(3\)"),
        ([], RIGHT[:2], r"\(0\) and the rows of references \(2\)"),
        (["a", "b", "c"], [["a", "b", "c"]], "transposed: 1 lists of 3 texts, where 3 .* of 1"),
        (["a", "b", "c"], [["a", "b", "c"], ["d", "e", "f"]], "transposed: 2 lists of 3 texts"),
        (["a", "b"], ["a", "b"], r'row 1: .*\(got the string "a"\); write \["a"\]'),
        (["a", "b"], [["a"], "b"], "row 2: the references must be a list of strings"),
        (["a", "b"], [["a"], None], r"row 2: the references must be a list .*\(got null\)"),
        (["a", "b"], [["a"], ["b", None]], r"row 2: a reference must be a string \(got null\)"),
        (["a", "b"], [["a"], [3]], r"row 2: a reference must be a string \(got 3\)"),
        (["a", "b"], [["a"], [["b"]]], r"row 2: a reference must be a string \(got \[\"b\"\]\)"),
        (["a", None], [["a"], ["b"]], r"row 2: the prediction must be a string \(got null\)"),
        (["a", "b", "c"], [["a"], [], []], r"2 of 3 rows have no reference \(rows 2, 3\)"),
        (["a", "b"], [["a"], [""]], r"1 of 2 rows have an empty reference \(row 2\)"),
        (["a", "b"], [["a", " \n"], ["b"]], r"empty reference \(row 1\)"),
    ],
)
def test_what_cannot_be_meant_so_is_refused_with_its_row(predictions, references, message):
    with pytest.raises(UserError, match=message):
        check_texts(as_array(predictions), as_array(references))


def test_empty_predictions_are_counted():
    predictions = as_array([*SENTENCES[:-3], "", " ", SENTENCES[-1]])
    assert check_texts(predictions, as_array(RIGHT)) == [
        "2 of 16 predictions are empty (rows 14, 15)"
    ]


def test_tokenised_text_is_told():
    tokenised = [text.replace(".", " .").replace(",", " ,") for text in SENTENCES]
    [warning] = check_texts(as_array(tokenised), as_array(RIGHT))
    assert warning.startswith("15 of 16 predictions end in ' .'")
    assert "detokenise" in warning
    [warning] = check_texts(as_array(SENTENCES), as_array([[text] for text in tokenised]))
    assert warning.startswith("15 of 16 first references")


def test_a_few_such_endings_among_many_are_no_sign():
    texts = [*SENTENCES * 10, *["A stray space ."] * 6]
    assert check_texts(as_array(texts), as_array([["a"]] * len(texts))) == []
    many = [*SENTENCES * 100, *["A stray space ."] * 100]
    assert len(check_texts(as_array(many), as_array([["a"]] * len(many)))) == 1


@pytest.mark.parametrize(
    ("language", "texts"),
    [
        ("Chinese", CHINESE),
        ("Japanese", JAPANESE),
        ("Thai", THAI),
        ("Lao", ["ຫໍສະໝຸດເປີດເວລາເກົ້າໂມງເຊົ້າ", "ແມວຂອງພວກເຮົາມັກນອນ"]),
        ("Khmer", ["បណ្ណាល័យបើកនៅម៉ោងប្រាំបួនព្រឹក", "ឆ្មារបស់យើងចូលចិត្តគេង"]),
        ("Burmese", ["စာကြည့်တိုက်ကို မနက်ကိုးနာရီတွင် ဖွင့်သည်။", "ကျွန်ုပ်တို့၏ကြောင်သည် အိပ်ရတာကြိုက်သည်။"]),
    ],
)
def test_languages_without_spaces_are_recognised(language, texts):
    found = spaceless(texts)
    assert found is not None
    assert found.language == language
    assert 0.8 < found.share <= 1
    mixed = spaceless([*texts, *SENTENCES])
    assert mixed is not None
    assert mixed.share < 0.3


@pytest.mark.parametrize(
    "texts",
    [
        [],
        [""],
        SENTENCES,
        ["도서관은 평일 아침 아홉 시에 문을 엽니다."],
        ["Библиотека открывается в девять."],
        ["पुस्तकालय नौ बजे खुलता है।"],
        ["图书馆 工作日 上午 九点 开门 。"],
        ["ห้องสมุด เปิด เวลา เก้า โมง เช้า"],
    ],
    ids=["none", "empty", "english", "korean", "russian", "hindi", "words apart", "Thai words"],
)
def test_languages_with_spaces_and_words_set_apart_are_not(texts):
    assert spaceless(texts) is None


def test_rows_are_named_from_one_and_counted_when_many():
    assert name_rows([0]) == "row 1"
    assert name_rows([1, 4]) == "rows 2, 5"
    assert name_rows(range(9)) == "rows 1, 2, 3, 4, 5 and 4 more"


def test_the_number_of_references_is_told_or_said_to_vary():
    assert reference_count([["a"], ["b"]]) == "1"
    assert reference_count([["a", "b"], ["b", "c"]]) == "2"
    assert reference_count([["a"], ["b", "c"]]) == "var"
