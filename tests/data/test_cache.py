"""What is kept on disk from run to run: found again, made anew where it is not what it was."""

from __future__ import annotations

import errno
import logging
import multiprocessing
import os
import re
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from conftest import write_jsonl

from nlpbench.config.cache_home import cache_home
from nlpbench.config.errors import UserError
from nlpbench.config.sections import DataSection
from nlpbench.data import cache, formats, sealed
from nlpbench.data.load import load

ROWS = [{"text": f"text {number}", "label": "ab"[number % 2]} for number in range(30)]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NLPBENCH_CACHE", str(tmp_path / "cache"))
    cache._note_once.cache_clear()
    cache._temporary.cache_clear()
    return tmp_path / "cache"


@pytest.fixture
def conversions(monkeypatch):
    """The files that are read as rows, not found in the cache."""
    read: list[str] = []
    real = formats.read_file

    def note(file, *rest):
        read.append(file.place)
        return real(file, *rest)

    monkeypatch.setattr(formats, "read_file", note)
    return read


def read(name="a.jsonl", **options):
    return load(DataSection(train=name, **options), ["train"], ["text"]).splits["train"]


def entries(folder, kind="rows"):
    return sorted((folder / kind).glob("*.arrow"))


def test_a_file_is_converted_once(folder, conversions):
    write_jsonl(Path("a.jsonl"), ROWS)
    first, again = read(), read()
    assert conversions == ["a.jsonl"]
    assert first.rows.to_list() == again.rows.to_list() == ROWS
    assert first.fingerprint == again.fingerprint
    assert again.locate(29) == "a.jsonl, row 30"


def test_what_a_file_is_called_does_not_matter_and_what_it_holds_does(folder, conversions):
    write_jsonl(Path("a.jsonl"), ROWS)
    read()
    shutil.copy("a.jsonl", "b.jsonl")
    os.utime("b.jsonl", (0, 0))
    assert read("b.jsonl").locate(3) == "b.jsonl, row 4"
    assert conversions == ["a.jsonl"]
    text = Path("b.jsonl").read_text()
    Path("b.jsonl").write_text(text.replace("text 29", "text 92"))
    os.utime("b.jsonl", (0, 0))
    assert read("b.jsonl").rows[29]["text"] == "text 92"
    assert conversions == ["a.jsonl", "b.jsonl"]


def test_how_a_file_is_read_is_part_of_what_it_holds(folder, conversions):
    Path("a.csv").write_text("text;label\na;b\n")
    Path("a.txt").write_text("text;label\na;b\n")
    assert read("a.csv", delimiter=";").rows.column_names == ["text", "label"]
    named = read("a.csv", delimiter=";", column_names=["text", "other"])
    assert named.rows["text"][:] == ["text", "a"]
    assert read("a.txt").rows["text"][:] == ["text;label", "a;b"]
    assert conversions == ["a.csv", "a.csv", "a.txt"]


def test_an_entry_of_another_version_is_not_read(folder, conversions, monkeypatch):
    write_jsonl(Path("a.jsonl"), ROWS)
    read()
    monkeypatch.setattr(cache, "VERSION", cache.VERSION + 1)
    read()
    assert len(conversions) == 2


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-100])


def emptied(path):
    path.write_bytes(b"")


def one_byte_changed(path):
    data = bytearray(path.read_bytes())
    place = data.index(b"text 17")
    data[place] ^= 1
    path.write_bytes(data)


def other_facts(path):
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"facts"', b'"fakes"'))


def foreign(path):
    path.write_bytes(os.urandom(2000))


DAMAGES = [cut_off, emptied, one_byte_changed, other_facts, foreign]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_made_again(folder, conversions, damage, caplog):
    write_jsonl(Path("a.jsonl"), ROWS)
    read()
    [entry] = entries(folder)
    damage(entry)
    with caplog.at_level(logging.INFO, "nlpbench"):
        assert read().rows.to_list() == ROWS
    messages = [record.getMessage() for record in caplog.records]
    assert messages == [f"{entry} is damaged and is made again"]
    assert conversions == ["a.jsonl"] * 2
    assert read().rows.to_list() == ROWS
    assert len(conversions) == 2


def test_without_the_digest_a_changed_byte_would_be_believed(folder, monkeypatch):
    write_jsonl(Path("a.jsonl"), ROWS)
    monkeypatch.setattr(sealed, "_digest", lambda stream, size: "the same")
    read()
    one_byte_changed(entries(folder)[0])
    assert read().rows.to_list() != ROWS


def test_an_error_leaves_nothing_behind(folder):
    Path("a.jsonl").write_text('{"text": "a"}\n{"text": \n')
    for _ in range(2):
        with pytest.raises(UserError, match="row 2: not JSON"):
            read()
    assert [path.suffix for path in (folder / "rows").iterdir()] == [".lock"]


def test_a_cache_that_cannot_be_written_is_told_and_done_without(tmp_path, monkeypatch, caplog):
    write_jsonl(Path("a.jsonl"), ROWS)
    Path("file").write_text("in the way")
    monkeypatch.setenv("NLPBENCH_CACHE", str(tmp_path / "file" / "cache"))
    assert read().rows.to_list() == ROWS
    assert read().rows.to_list() == ROWS
    [message] = [each.getMessage() for each in caplog.records]
    assert message.startswith("the cache cannot be written (")
    assert message.endswith("set NLPBENCH_CACHE to a directory that can be written")


def test_an_entry_is_read_from_a_cache_that_cannot_be_written(folder, conversions, monkeypatch):
    write_jsonl(Path("a.jsonl"), ROWS)
    read()

    def refuse(*args, **kwargs):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", refuse)
    monkeypatch.setattr(os, "open", refuse)
    assert read().rows.to_list() == ROWS
    assert len(conversions) == 1


def test_a_disk_that_fills_up_on_the_way_is_told_and_done_without(folder, monkeypatch, caplog):
    write_jsonl(Path("a.jsonl"), ROWS)
    real = sealed.seal

    def fill(path, facts):
        if path.is_relative_to(folder):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(path, facts)

    monkeypatch.setattr(cache, "seal", fill)
    assert read().rows.to_list() == ROWS
    assert "No space left on device" in caplog.text
    assert entries(folder) == []


def test_no_room_anywhere_is_the_users_to_mend(folder, monkeypatch):
    write_jsonl(Path("a.jsonl"), ROWS)

    def fill(path, facts):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cache, "seal", fill)
    with pytest.raises(UserError, match=r"no place for rows \(No space left on device\); set NLPB"):
        read()


def test_a_file_that_changes_while_it_is_read_is_refused(folder, monkeypatch):
    write_jsonl(Path("a.jsonl"), ROWS)
    real = formats.convert

    def change(*args):
        counts = real(*args)
        write_jsonl(Path("a.jsonl"), ROWS[:5])
        return counts

    monkeypatch.setattr(formats, "convert", change)
    with pytest.raises(UserError, match=r"^a\.jsonl: has changed while it was read"):
        read()
    assert entries(folder) == []


@pytest.mark.parametrize(
    ("own", "xdg", "expected"),
    [
        ("own", "xdg", "{cwd}/own"),
        ("", "{cwd}/xdg", "{cwd}/xdg/nlpbench"),
        (None, None, "{home}/.cache/nlpbench"),
        ("~/kept", None, "{home}/kept"),
    ],
)
def test_where_the_cache_is(tmp_path, monkeypatch, own, xdg, expected):
    places = {"cwd": tmp_path, "home": tmp_path / "home"}
    monkeypatch.setenv("HOME", str(places["home"]))
    for name, value in (("NLPBENCH_CACHE", own), ("XDG_CACHE_HOME", xdg)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value.format(**places))
    assert str(cache_home()) == expected.format(**places)


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="Linux tells what is resident")
def test_what_was_read_does_not_stay_in_memory(folder):
    def mapped():
        [line] = re.findall(r"RssFile:\s+(\d+)", Path("/proc/self/status").read_text())
        return int(line) / 1024

    Path("a.txt").write_text(("word " * 20 + "\n") * 400_000)
    rows = read("a.txt").rows
    cache.release_pages()
    before = mapped()
    assert sum(len(text) for batch in rows.iter(10_000) for text in batch["text"]) == 40_000_000
    assert mapped() - before > 30
    cache.release_pages()
    assert mapped() - before < 5
    assert rows[399_999]["text"].startswith("word word")


def write_slowly(folder, ready, results):
    os.environ["NLPBENCH_CACHE"] = str(folder)
    written = []

    def write(path):
        written.append(path)
        table = pa.table({"text": [f"text {number}" for number in range(200_000)]})
        with pa.ipc.new_stream(str(path), table.schema) as writer:
            writer.write_table(table, max_chunksize=1000)
        return {"rows": [table.num_rows]}

    ready.wait()
    found = cache.stored("rows", {"the": "same"}, write)
    results.put((len(written), found.table.num_rows, found.table.column("text")[-1].as_py()))


def test_two_processes_at_once_make_one_entry(folder):
    spawn = multiprocessing.get_context("spawn")
    ready, results = spawn.Barrier(3), spawn.Queue()
    processes = [
        spawn.Process(target=write_slowly, args=(folder, ready, results)) for _ in range(3)
    ]
    for process in processes:
        process.start()
    found = [results.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    assert {(rows, last) for _, rows, last in found} == {(200_000, "text 199999")}
    assert sum(written for written, _, _ in found) == 1
    assert len(entries(folder)) == 1
