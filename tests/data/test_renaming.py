"""Columns that get another name as they are read."""

from __future__ import annotations

import pytest
from conftest import write_jsonl

from nlpbench.config.errors import UserError
from nlpbench.config.sections import DataSection
from nlpbench.data.load import load

ROWS = [
    {"sentence": f"row {n}", "gold": n % 2, "key": f"k{n}", "pair": {"en": f"e{n}", "de": f"d{n}"}}
    for n in range(6)
]


@pytest.fixture
def file(tmp_path):
    return str(write_jsonl(tmp_path / "test.jsonl", ROWS))


def read(file, names, columns, **options):
    section = DataSection(test=file, rename_columns=names, **options)
    return load(section, ["test"], columns).splits["test"]


def test_all_keys_mean_the_new_names(file):
    names = {"sentence": "text", "gold": "label", "key": "id"}
    split = read(file, names, ["text", "label"], id_column="id")
    assert split.rows["text"][:2] == ["row 0", "row 1"]
    assert split.rows["label"][:2] == [0, 1]
    assert split.id(3) == "k3"
    assert "sentence" not in split.rows.column_names


def test_the_fingerprint_is_that_of_a_file_with_the_new_names(file, tmp_path):
    plain = write_jsonl(tmp_path / "plain.jsonl", [{"text": row["sentence"]} for row in ROWS])
    assert (
        read(file, {"sentence": "text"}, ["text"]).fingerprint
        == read(str(plain), {}, ["text"]).fingerprint
    )


def test_two_columns_exchange_their_names(file):
    split = read(file, {"sentence": "key", "key": "sentence"}, ["sentence", "key"])
    assert split.rows[0]["sentence"] == "k0"
    assert split.rows[0]["key"] == "row 0"


def test_a_column_inside_another_one(file):
    split = read(file, {"pair.en": "source", "pair.de": "target"}, ["source", "target"])
    assert split.rows[2]["source"] == "e2"
    assert split.rows[2]["target"] == "d2"


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (
            {"sentense": "text"},
            'no column "sentense"; did you mean sentence? columns: sentence, gold, key, pair, '
            "pair.en, pair.de",
        ),
        (
            {"sentence": "gold"},
            '"sentence" cannot be called "gold", which is a column already; rename that one too, '
            'or set the task to read "sentence"',
        ),
    ],
)
def test_a_name_that_cannot_be(file, names, told):
    with pytest.raises(UserError) as caught:
        read(file, names, ["gold"])
    assert str(caught.value) == f"{file}: data.rename_columns: {told}"


def test_a_column_under_its_old_name_is_gone(file):
    with pytest.raises(UserError, match='no column "sentence"'):
        read(file, {"sentence": "text"}, ["sentence"])
