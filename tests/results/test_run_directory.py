"""A run directory is claimed once, and never taken from another run."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpbench.config.document import parse
from nlpbench.config.errors import UserError
from nlpbench.config.yaml12 import dump
from nlpbench.results.run_directory import (
    check_free,
    check_space,
    discard,
    free_name,
    identity,
    open_run,
    state_of,
)

CONFIG: dict[str, Any] = {"seed": 42, "training": {"learning_rate": 5e-5}, "output_dir": "here"}
OTHER = {**CONFIG, "seed": 43}
Make = Callable[[Path], object]


def finish(place: Path) -> None:
    open_run(place, CONFIG)
    (place / "record.json").write_text("{}", encoding="utf-8")


def put(name: str, text: bytes = b"") -> Make:
    def make(place: Path) -> None:
        place.mkdir()
        (place / name).write_bytes(text)

    return make


STATES: list[tuple[Make, str]] = [
    (lambda place: None, "empty"),
    (Path.mkdir, "empty"),
    (put("notes.txt"), "other files"),
    (put("record.json", b"{}"), "other files"),
    (lambda place: (place / "config.yaml").mkdir(parents=True), "other files"),
    (put("config.yaml"), "other files"),
    (put("config.yaml", b"- 1\n"), "other files"),
    (put("config.yaml", b"a: [1\n"), "other files"),
    (put("config.yaml", b"a: \xff\n"), "another config"),
    (put("config.yaml", b"a: 1\n"), "another config"),
    (lambda place: open_run(place, OTHER), "another config"),
    (lambda place: open_run(place, CONFIG), "unfinished"),
    (lambda place: open_run(place, CONFIG | {"output_dir": "there"}), "unfinished"),
    (finish, "finished"),
]


def snapshot(folder: Path) -> dict[str, bytes | None]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize(("make", "state"), STATES)
def test_state_of(make: Make, state: str, tmp_path: Path) -> None:
    make(tmp_path / "run")

    assert state_of(tmp_path / "run", CONFIG) == state


REFUSED = {
    ("other files", False): "is not empty and no run directory; name a new one with --output-dir",
    ("other files", True): "is not empty and no run directory; name a new one with --output-dir",
    ("another config", False): "holds a run of another config ({differences}); name a new one with "
    "--output-dir",
    ("another config", True): "holds a run of another config ({differences}); name a new one with "
    "--output-dir",
    ("finished", False): "holds the finished run of this config (see: nlpbench results {place}); "
    "name a new one with --output-dir to run it again",
    ("finished", True): "holds the finished run of this config (see: nlpbench results {place}); "
    "name a new one with --output-dir to run it again",
    ("unfinished", False): "holds an unfinished run of this config; go on with --resume, or name "
    "a new one with --output-dir",
    ("empty", True): "holds no run to resume; start it without --resume",
}


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize(("make", "state"), STATES)
def test_check_free(make: Make, state: str, resume: bool, tmp_path: Path) -> None:
    place = tmp_path / "run"
    make(place)
    before = snapshot(tmp_path)

    if message := REFUSED.get((state, resume)):
        with pytest.raises(UserError) as caught:
            check_free(place, CONFIG, resume)
        found = str(caught.value)
        if state == "another config":
            found = re.sub(r"\(.+: .+ there, .+ here\)", "({differences})", found)
            message = message.replace("{differences}", "{{differences}}")
        assert found == f"{place} {message.format(place=place)}"
    else:
        check_free(place, CONFIG, resume)
    assert snapshot(tmp_path) == before


def test_the_keys_that_differ_are_named(tmp_path: Path) -> None:
    place = tmp_path / "run"
    open_run(place, CONFIG)
    other = {"training": {"learning_rate": 1e-3}, "seeds": [1, 2], "a": {"b": 1, "c": None}}
    with pytest.raises(UserError) as caught:
        check_free(place, other, resume=True)
    assert str(caught.value) == (
        f"{place} holds a run of another config (seed: 42 there, null here; "
        "training.learning_rate: 5e-05 there, 0.001 here; seeds: null there, [1, 2] here; "
        "a.b: null there, 1 here); name a new one with --output-dir"
    )


@pytest.mark.parametrize("name", ["file", "file/run", "file/deep/run"])
def test_a_file_is_in_the_way(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(UserError) as caught:
        check_free(tmp_path / name, CONFIG, resume=False)
    assert str(caught.value) == (
        f"cannot write {tmp_path / name}: {tmp_path / 'file'} is not a directory"
    )
    with pytest.raises(UserError, match="cannot write"):
        open_run(tmp_path / name, CONFIG)


def test_no_right_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)

    with pytest.raises(UserError, match=f"no right to write in {tmp_path}$"):
        check_free(tmp_path / "deep" / "run", CONFIG, resume=False)


def test_no_right_to_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", refuse)
    with pytest.raises(UserError, match=r"cannot write .*run: Permission denied"):
        check_free(tmp_path / "run", CONFIG, resume=False)


def test_a_relative_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    check_free(Path("runs/one"), CONFIG, resume=False)
    check_space(Path("runs/one"), 0.001)
    assert list(tmp_path.iterdir()) == []


def test_check_space(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the run needs about 1000000000000 MB, and its disk has"):
        check_space(tmp_path / "run", 1e12)


def test_open_run_keeps_the_config_that_is_there(tmp_path: Path) -> None:
    open_run(tmp_path / "deep" / "run", CONFIG)
    text = (tmp_path / "deep" / "run" / "config.yaml").read_text(encoding="utf-8")
    open_run(tmp_path / "deep" / "run", OTHER)

    assert (tmp_path / "deep" / "run" / "config.yaml").read_text(encoding="utf-8") == text
    assert parse(text, "config.yaml").values == CONFIG


def test_discard_takes_only_what_never_began(tmp_path: Path) -> None:
    open_run(tmp_path / "began", CONFIG)
    (tmp_path / "began" / "history.jsonl").touch()
    open_run(tmp_path / "not", CONFIG)
    for name in ("began", "not", "absent"):
        discard(tmp_path / name)

    assert sorted(snapshot(tmp_path)) == ["began", "began/config.yaml", "began/history.jsonl"]


def test_free_name(tmp_path: Path) -> None:
    base = tmp_path / "v1.5"
    assert free_name(base, CONFIG, resume=False) == base

    finish(base)
    assert free_name(base, CONFIG, resume=False) == tmp_path / "v1.5-2"
    open_run(tmp_path / "v1.5-2", OTHER)
    open_run(tmp_path / "v1.5-4", CONFIG)
    assert free_name(base, CONFIG, resume=False) == tmp_path / "v1.5-3"


def test_resume_takes_the_last_unfinished_run_of_the_config(tmp_path: Path) -> None:
    base = tmp_path / "run"
    finish(base)
    open_run(tmp_path / "run-2", CONFIG)
    open_run(tmp_path / "run-3", CONFIG)
    open_run(tmp_path / "run-4", OTHER)

    assert free_name(base, CONFIG, resume=True) == tmp_path / "run-3"
    assert free_name(base, OTHER, resume=True) == tmp_path / "run-4"


def test_nothing_to_resume(tmp_path: Path) -> None:
    for make in (lambda place: None, finish):
        make(tmp_path / "run")
        with pytest.raises(UserError, match=r"there is no unfinished run of this config at"):
            free_name(tmp_path / "run", CONFIG, resume=True)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"))
)
CONFIGS = st.dictionaries(
    st.text(st.characters(categories=["L", "N"]), min_size=1),
    st.recursive(
        SCALARS,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3)
        ),
        max_leaves=6,
    ),
    min_size=1,
    max_size=4,
)


@given(CONFIGS, st.text())
def test_identity_ignores_order_and_place(config: dict[str, Any], place: str) -> None:
    turned = dict(reversed(config.items()))

    assert identity(config) == identity(turned | {"output_dir": place})
    assert identity(config) != identity(config | {"another key": 1})


@given(CONFIGS)
def test_identity_survives_the_file(config: dict[str, Any]) -> None:
    document = parse(dump(config), "config.yaml")

    assert not document.problems
    assert identity(document.values) == identity(config)
