"""Files and directories are whole or not there, whatever happens while they are written."""

from __future__ import annotations

import errno
import json
import math
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from nlpbench.config.errors import UserError
from nlpbench.results.files import NO_PLACE, new_directory, told_clearly, write_jsonl, write_text

REWRITE = Path(__file__).with_name("rewrite_forever.py")


def kill_while_rewriting(what: str, path: Path, delay: float) -> None:
    with subprocess.Popen(
        [sys.executable, str(REWRITE), what, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(delay)
        process.kill()


def is_whole(text: str) -> bool:
    return len(text) == 50_001 and text == text[0] * 50_000 + "\n"


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_killed_program_leaves_the_file_whole(tmp_path: Path) -> None:
    file, random_delay = tmp_path / "record.json", random.Random(1)
    for _ in range(12):
        kill_while_rewriting("file", file, random_delay.uniform(0, 0.02))
        assert is_whole(file.read_text(encoding="utf-8"))
        assert set(names(tmp_path)) <= {"record.json", "record.json.partial"}

    write_text(file, "after\n")
    assert names(tmp_path) == ["record.json"]


def test_a_killed_program_leaves_the_directory_whole(tmp_path: Path) -> None:
    place, random_delay = tmp_path / "model", random.Random(2)
    for _ in range(12):
        kill_while_rewriting("directory", place, random_delay.uniform(0, 0.02))
        # Between two renames the old directory may have its other name.
        found = place if place.exists() else tmp_path / "model.replaced"
        assert names(found) == ["a", "b", "inner", "inner/c"]
        texts = {(found / name).read_text(encoding="utf-8") for name in ("a", "b", "inner/c")}
        assert len(texts) == 1
        assert is_whole(texts.pop())

    with new_directory(place) as partial:
        (partial / "after").touch()
    assert names(tmp_path) == ["model", "model/after"]


def test_a_directory_that_a_kill_left_under_its_other_name_comes_back(tmp_path: Path) -> None:
    old = tmp_path / "model.replaced"
    old.mkdir()
    (old / "weights").touch()

    with pytest.raises(RuntimeError), new_directory(tmp_path / "model"):
        raise RuntimeError
    assert names(tmp_path) == ["model", "model/weights"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("before", [True, False])
def test_an_exception_leaves_the_directory_as_it_was(
    tmp_path: Path, error: type[BaseException], before: bool
) -> None:
    place = tmp_path / "model"
    if before:
        place.mkdir()
        (place / "old").touch()

    with pytest.raises(error), new_directory(place) as partial:
        (partial / "new").touch()
        raise error
    assert names(tmp_path) == (["model", "model/old"] if before else [])


def test_a_directory_is_not_there_before_it_is_whole(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "model"
    with new_directory(place) as partial:
        (partial / "weights").touch()
        assert not place.exists()

    assert names(place) == ["weights"]
    assert names(place.parent) == ["model", "model/weights"]


def test_leftovers_of_a_kill_are_not_mixed_in(tmp_path: Path) -> None:
    (tmp_path / "model.partial").mkdir()
    (tmp_path / "model.partial" / "half").touch()
    (tmp_path / "model.replaced").mkdir()
    (tmp_path / "model").mkdir()

    with new_directory(tmp_path / "model") as partial:
        (partial / "weights").touch()
    assert names(tmp_path) == ["model", "model/weights"]


def test_the_old_directory_comes_back_where_the_new_cannot_take_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "model"
    place.mkdir()
    (place / "old").touch()
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if self.name == "model.partial":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    told = pytest.raises(UserError, match=r"cannot write .*model: No space left")
    with told, new_directory(place) as partial:
        (partial / "new").touch()
    assert names(tmp_path) == ["model", "model/old"]


def test_a_file_is_not_replaced_by_a_directory(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("mine", encoding="utf-8")

    with pytest.raises(UserError, match="cannot write"), new_directory(tmp_path / "model"):
        pass
    assert (tmp_path / "model").read_text(encoding="utf-8") == "mine"


def test_no_space_left(tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    write_text(file, "before\n")
    (tmp_path / "record.json.partial").symlink_to("/dev/full")

    with pytest.raises(UserError) as caught:
        write_text(file, "after\n" * 10_000)

    assert str(caught.value) == f"cannot write {file}: No space left on device"
    assert file.read_text(encoding="utf-8") == "before\n"
    assert names(tmp_path) == ["record.json"]


@pytest.mark.parametrize("code", sorted(NO_PLACE))
def test_a_place_that_cannot_be_written_is_the_users_to_mend(code: int, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught, told_clearly(tmp_path):
        raise OSError(code, os.strerror(code))

    assert str(caught.value) == f"cannot write {tmp_path}: {os.strerror(code)}"


def test_a_broken_disk_is_not(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Input/output"), told_clearly(tmp_path):
        raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize("name", ["absent/file", "file/below", "directory", "n" * 300])
def test_no_such_place(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "directory").mkdir()

    with pytest.raises(UserError, match="cannot write"):
        write_text(tmp_path / name, "text")
    assert names(tmp_path) == ["directory", "file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_right_to_write(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)

    with pytest.raises(UserError, match="Permission denied"):
        write_text(tmp_path / "file", "text")
    with pytest.raises(UserError, match="Permission denied"), new_directory(tmp_path / "model"):
        pass


def test_jsonl_is_strict_and_takes_broken_text(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"text": "naïve 模型", "scores": [math.nan, 1.5]},
        {"text": "half a pair: \ud83d", "score": math.inf},
        {"text": "a\u2028b\nc"},
    ]
    write_jsonl(tmp_path / "rows.jsonl", rows)

    lines = (tmp_path / "rows.jsonl").read_bytes().decode("utf-8").split("\n")
    assert "模型" in lines[0]
    assert [json.loads(line, parse_constant=pytest.fail) for line in lines[:-1]] == [
        {"text": "naïve 模型", "scores": [None, 1.5]},
        {"text": "half a pair: \ud83d", "score": None},
        {"text": "a\u2028b\nc"},
    ]
    assert lines[-1] == ""
