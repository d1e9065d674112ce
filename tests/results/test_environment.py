"""What a record says of software and hardware, and what it keeps to itself."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nlpbench.results.environment import cpu_name, describe, git_commit


def git(*arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that is in no repository."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_describe(outside: Path) -> None:
    found = describe()

    assert list(found) == [
        "python", "platform", "packages", "cpu", "cpu_cores", "memory_gb", "git",
    ]  # fmt: skip
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert {"nlpbench", "torch", "transformers", "numpy"} <= set(found["packages"])
    assert all(re.match(r"\d", version) for version in found["packages"].values())
    assert found["cpu_cores"] >= 1
    assert found["memory_gb"] > 0
    assert found["cpu"] == cpu_name() != ""
    assert found["git"] is None


def test_describe_tells_no_secrets(outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY", "USER", "HOSTNAME"):
        monkeypatch.setenv(name, "s3cr3t-value")
    git("init")
    git("remote", "add", "origin", "https://user:s3cr3t-value@example.org/x.git")
    git("commit", "--allow-empty", "-m", "s3cr3t-value")

    text = json.dumps(describe())
    assert "s3cr3t" not in text
    assert str(Path.home()) not in text or str(Path.home()) == "/"
    assert str(outside) not in text


def test_commit(outside: Path) -> None:
    git("init")
    assert git_commit() is None

    (outside / "file").write_text("one", encoding="utf-8")
    git("add", "file")
    git("commit", "-m", "one")
    (outside / "untracked").touch()
    found = git_commit()
    assert found is not None
    assert re.fullmatch(r"[0-9a-f]{40}", found["commit"])
    assert found["dirty"] is False

    (outside / "file").write_text("two", encoding="utf-8")
    assert git_commit() == found | {"dirty": True}


def test_without_git(outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(outside))

    assert git_commit() is None


def test_results_know_no_torch() -> None:
    program = (
        "import sys, nlpbench.results.environment as e, nlpbench.results.render\n"
        "import nlpbench.results.run_directory\n"
        "e.describe()\n"
        "heavy = {'torch', 'transformers', 'datasets', 'evaluate', 'sklearn', 'scipy'}\n"
        "sys.exit(' '.join(heavy & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")
