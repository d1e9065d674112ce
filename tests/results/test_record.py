"""The record: what is written is read back, and what is damaged is told with its file."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from fixed_records import make_record, score
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from nlpbench.config.errors import UserError
from nlpbench.results.record import Record, Score, find, read

NUMBERS = st.none() | st.floats()
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def put(directory: Path, text: str | bytes) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "record.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return directory


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def test_round_trip(tmp_path: Path) -> None:
    record = make_record()

    assert read(put(tmp_path, record.to_json())) == record


@given(NUMBERS, NUMBERS, st.dictionaries(st.text(), VALUES), st.dictionaries(st.text(), NUMBERS))
def test_any_record_is_strict_json_and_reads_itself(
    value: float | None, low: float | None, anything: dict, timings: dict
) -> None:
    record = make_record(
        scores={"m": score(value, low)}, efficiency=anything, config=anything, timings=timings
    )
    text = record.to_json()

    values = json.loads(text, parse_constant=refuse)
    again = Record.model_validate(values)
    assert again.to_json() == text


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_undefined(wrong: float) -> None:
    one = Score(value=math.nan, low=wrong, high=wrong, signature="m", higher_is_better=True)

    assert (one.value, one.low, one.high) == (None, None, None)
    text = make_record(efficiency={"a": [wrong, {"b": (wrong,)}]}, timings={"t": wrong}).to_json()
    values = json.loads(text, parse_constant=refuse)
    assert values["efficiency"] == {"a": [None, {"b": [None]}]}
    assert values["timings"] == {"t": None}


@pytest.mark.parametrize(("value", "text"), [(math.inf, "inf"), (-math.inf, "-inf")])
def test_an_infinite_score_is_a_word_in_json_and_reads_itself(
    tmp_path: Path, value: float, text: str
) -> None:
    record = make_record(scores={"perplexity": score(value, higher_is_better=False)})

    values = json.loads(record.to_json(), parse_constant=refuse)
    assert values["scores"]["perplexity"]["value"] == text
    assert read(put(tmp_path, record.to_json())).scores["perplexity"].value == value
    assert record.model_dump()["scores"]["perplexity"]["value"] == value


def test_a_record_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        make_record().seed = 1  # type: ignore[misc]


def test_keys_of_later_versions_are_passed_over(tmp_path: Path) -> None:
    values = json.loads(make_record().to_json())
    values["future"] = 1
    values["scores"]["f1"]["future"] = 2

    assert read(put(tmp_path, json.dumps(values))) == make_record()


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    values = json.loads(make_record().to_json()) | {"schema_version": 2}

    with pytest.raises(UserError) as caught:
        read(put(tmp_path, json.dumps(values)))

    assert str(caught.value) == (
        f"{tmp_path}/record.json has schema version 2, and this nlpbench reads up to 1; "
        "install a newer one"
    )


WHOLE = make_record().to_json()


def without(key: str) -> str:
    values = json.loads(WHOLE)
    del values[key]
    return json.dumps(values)


def changed(**changes: object) -> str:
    return json.dumps(json.loads(WHOLE) | changes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (WHOLE[:200], "Unterminated string"),
        (WHOLE[: len(WHOLE) // 2], "is damaged: "),
        ("", "is damaged: Expecting value"),
        ("[" * 100_000, "recursion"),
        (b"\xff\xfe{}", "is damaged: 'utf-8' codec"),
        ("[1, 2]", "is damaged: the file: "),
        ('"text"', "is damaged: the file: "),
        ("null", "is damaged: the file: "),
        ("{}", "is damaged: command: Field required"),
        (without("scores"), "is damaged: scores: Field required"),
        (without("task"), "is damaged: task: Field required"),
        (changed(seed="x"), "is damaged: seed: "),
        (changed(scores={"f1": {"value": "high"}}), "is damaged: scores.f1.value: "),
        (changed(schema_version=0), "is damaged: schema_version: "),
        (changed(schema_version="1"), "is damaged: schema_version: "),
        (changed(split="other"), "data does not describe the split other"),
    ],
)
def test_damage(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(UserError) as caught:
        read(put(tmp_path, text))

    assert str(caught.value).startswith(f"{tmp_path}/record.json is damaged: ")
    assert message in str(caught.value)


def test_a_nan_that_another_program_wrote_is_undefined(tmp_path: Path) -> None:
    text = WHOLE.replace("0.857142857", "NaN").replace("0.820123", "1e999")

    assert read(put(tmp_path, text)).scores["f1"].value is None
    assert read(tmp_path).scores["f1"].low is None


def test_no_record(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no record\.json, so no finished run"):
        read(tmp_path)


def test_a_record_that_is_a_directory(tmp_path: Path) -> None:
    (tmp_path / "record.json").mkdir()

    with pytest.raises(UserError, match=r"cannot read .*record\.json: Is a directory"):
        read(tmp_path)


def test_find_goes_down_in_the_order_of_paths_and_takes_each_once(tmp_path: Path) -> None:
    for name in ("b", "a/deep/er", "a"):
        put(tmp_path / name, WHOLE)

    found = find([tmp_path / "b", tmp_path, tmp_path / "a" / ".." / "a"])
    assert [path.relative_to(tmp_path).as_posix() for path, _ in found] == ["b", "a/deep/er", "a"]


def test_find_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "record.json.partial").touch()

    with pytest.raises(UserError, match="holds no finished run"):
        find([tmp_path / "empty"])
    with pytest.raises(UserError, match=r"there is no directory .*absent"):
        find([tmp_path / "absent"])
