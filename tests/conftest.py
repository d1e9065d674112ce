"""Tiny models of the real classes, tiny data, and the command line in a process of its own."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Tiny models gain nothing from a second thread, and lose much where tests share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows and tokens that tests keep go to a directory of this session."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["NLPBENCH_CACHE"] = str(folder)
    return folder


@pytest.fixture(autouse=True)
def quiet_again() -> Iterator[None]:
    """The program sets up its logger; what a test calls of it must not speak in the next one."""
    logger = logging.getLogger("nlpbench")
    before = logger.handlers, logger.level, logger.propagate
    yield
    logger.handlers, logger.level, logger.propagate = before


TOPICS = {
    "fruit": "apple pear plum cherry grape melon lemon orange peach mango".split(),
    "tools": "hammer saw drill wrench pliers chisel file clamp level spanner".split(),
    "birds": "robin finch heron eagle sparrow swan crow wren owl stork".split(),
}


def topic_rows(count: int, offset: int = 0) -> list[dict[str, Any]]:
    """Rows that a tiny model can learn: the words of a topic, its name, and how many words."""
    rows = []
    for number in range(offset, offset + count):
        topic = sorted(TOPICS)[number % len(TOPICS)]
        words = TOPICS[topic]
        length = 2 + number % 7
        chosen = [words[(number * 3 + step * 7) % len(words)] for step in range(length)]
        text = f"{' '.join(chosen)} number {number}"
        rows.append({"text": text, "label": topic, "length": float(length)})
    return rows


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def topics(tmp_path: Path) -> Path:
    """A directory with train, validation and test rows."""
    folder = tmp_path / "topics"
    write_jsonl(folder / "train.jsonl", topic_rows(48))
    write_jsonl(folder / "validation.jsonl", topic_rows(15, 100))
    write_jsonl(folder / "test.jsonl", topic_rows(18, 200))
    return folder


TINY_BERT = {
    "model_type": "bert",
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}


@pytest.fixture
def tiny_config(topics: Path, tmp_path: Path) -> dict[str, Any]:
    """A whole config, as values, of a run that takes a second or two."""
    return {
        "seed": 1,
        "model": {"config": TINY_BERT, "tokenizer": {"train": {"vocab_size": 300}}},
        "data": {"source": str(topics)},
        "task": {"name": "text-classification", "max_length": 32},
        "training": {
            "num_train_epochs": 2,
            "learning_rate": 0.005,
            "effective_batch_size": 8,
            "precision": "fp32",
        },
        "evaluation": {"efficiency": False, "resamples": 100},
    }


@pytest.fixture
def write_config(tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    """Writes config values to a YAML file."""

    def write(values: dict[str, Any], name: str = "tiny.yaml") -> Path:
        from nlpbench.config.yaml12 import dump

        file = tmp_path / name
        file.write_text(dump(values), encoding="utf-8")
        return file

    return write


@pytest.fixture
def nlpbench(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the program in a process of its own, in the test's directory."""

    def run(
        *arguments: object, check: int | None = 0, **env: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "nlpbench.commands.main", *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "200", **env},
            capture_output=True,
            text=True,
            timeout=300,
        )
        if check is not None:
            assert done.returncode == check, done.stdout + done.stderr
        return done

    return run
