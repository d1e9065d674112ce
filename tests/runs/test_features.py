"""A second run tokenises nothing; what tokens follow from makes them anew, and labels do not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY_BERT, topic_rows, write_jsonl
from datasets import Dataset
from transformers import BertTokenizer

from nlpbench import models
from nlpbench.config.load import loads
from nlpbench.config.sections import DataSection, ModelSection
from nlpbench.config.yaml12 import dump
from nlpbench.data import features as kept_features
from nlpbench.data.features import lengths
from nlpbench.data.load import load
from nlpbench.models.tokenizer_digest import tokenizer_digest
from nlpbench.runs.features import encode
from nlpbench.runs.finetune import finetune
from nlpbench.tasks import Bundle, text_classification
from nlpbench.tasks.text_classification import TextClassification


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NLPBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def tokenised(monkeypatch):
    """How many texts go to a tokenizer."""
    counts: list[int] = []
    real = text_classification._tokenize

    def count(tokenizer, options, batch):
        counts.append(len(batch[options["text_column"]]))
        return real(tokenizer, options, batch)

    monkeypatch.setattr(text_classification, "_tokenize", count)
    return counts


@pytest.fixture
def tokenizer():
    section = ModelSection(config=TINY_BERT, tokenizer={"train": {"vocab_size": 300}})
    return models.tokenizer(section, [row["text"] for row in topic_rows(48)])


def task(**options):
    return TextClassification(name="text-classification", **options)


def rows(tmp_path, count=40, change=lambda row: row):
    path = write_jsonl(tmp_path / "rows.jsonl", [change(row) for row in topic_rows(count)])
    config = DataSection(train=str(path))
    return load(config, ["train"], ["text", "label"]).splits["train"].rows


def test_a_second_run_tokenises_nothing(tiny_config, tmp_path, tokenised):
    config = loads(dump(tiny_config))
    [first] = finetune(config, tmp_path / "first")
    assert sum(tokenised) == 48 + 15 + 18
    tokenised.clear()
    [second] = finetune(config, tmp_path / "second")
    assert tokenised == []
    assert second.scores == first.scores
    assert (tmp_path / "first" / "predictions.jsonl").read_bytes() == (
        tmp_path / "second" / "predictions.jsonl"
    ).read_bytes()


def test_kept_features_are_those_made_anew(tmp_path, tokenizer):
    data = rows(tmp_path)
    references = np.arange(40)
    this = task(max_length=8)
    plain = this.encode(data, references, Bundle(tokenizer))
    for _ in range(2):
        found = encode(this, data, references, Bundle(tokenizer))
        assert found.to_list() == plain.to_list()
        assert found.column_names == plain.column_names


def test_batches_follow_one_another(tmp_path, tokenizer, monkeypatch):
    monkeypatch.setattr(kept_features, "BATCH", 7)
    data = rows(tmp_path)
    assert (
        encode(task(), data, None, Bundle(tokenizer)).to_list()
        == task().encode(data, None, Bundle(tokenizer)).to_list()
    )


def test_labels_are_no_part_of_the_tokens(tmp_path, tokenizer, tokenised):
    encode(task(), rows(tmp_path), np.zeros(40, np.int64), Bundle(tokenizer))
    other = rows(tmp_path, change=lambda row: {**row, "label": "other"})
    found = encode(task(), other, np.ones(40, np.int64), Bundle(tokenizer))
    assert sum(tokenised) == 40
    assert found["labels"][:] == [1] * 40


@pytest.mark.parametrize(
    "change",
    [
        {"options": {"max_length": 9}},
        {"options": {"text_pair_column": "label"}},
        {"row": lambda row: {**row, "text": row["text"].replace("number 39", "number 40")}},
        {"count": 39},
        {"tokenizer": lambda it: it.add_tokens(["apple"])},
        {"tokenizer": lambda it: setattr(it, "truncation_side", "left")},
        {"tokenizer": lambda it: setattr(it, "pad_token", "[UNK]")},
    ],
)
def test_what_tokens_follow_from_makes_them_anew(tmp_path, tokenizer, tokenised, change):
    encode(task(), rows(tmp_path), None, Bundle(tokenizer))
    tokenised.clear()
    change.get("tokenizer", lambda it: None)(tokenizer)
    data = rows(tmp_path, change.get("count", 40), change.get("row", lambda row: row))
    this = task(**change.get("options", {}))
    found = encode(this, data, None, Bundle(tokenizer))
    assert sum(tokenised) == len(data)
    assert found.to_list() == this.encode(data, None, Bundle(tokenizer)).to_list()


def test_another_run_of_the_same_tokenizer_knows_it(tmp_path, tokenizer):
    before = tokenizer_digest(tokenizer)
    tokenizer(["apple pear"] * 2, truncation=True, max_length=3, padding=True)
    assert tokenizer_digest(tokenizer) == before
    tokenizer.save_pretrained(tmp_path / "saved")
    assert tokenizer_digest(BertTokenizer.from_pretrained(tmp_path / "saved")) == before


def test_a_tokenizer_in_python_is_known_by_its_files(tmp_path):
    from transformers import CanineTokenizer

    one, two = CanineTokenizer(), CanineTokenizer(model_max_length=64)
    assert tokenizer_digest(one) == tokenizer_digest(CanineTokenizer())
    assert tokenizer_digest(one) != tokenizer_digest(two)


def test_a_damaged_entry_is_tokenised_again(folder, tmp_path, tokenizer, tokenised):
    expected = encode(task(), rows(tmp_path), None, Bundle(tokenizer)).to_list()
    [entry] = (folder / "features").glob("*.arrow")
    data = bytearray(entry.read_bytes())
    data[len(data) // 2] ^= 1
    entry.write_bytes(data)
    assert encode(task(), rows(tmp_path), None, Bundle(tokenizer)).to_list() == expected
    assert sum(tokenised) == 80


@pytest.mark.parametrize(
    ("problem_type", "references"),
    [
        ("single_label_classification", np.array([2, 0, 1])),
        ("multi_label_classification", np.array([[1, 0], [0, 0], [1, 1]])),
        ("regression", np.array([0.5, -1.25, 3.0])),
    ],
)
def test_labels_come_back_as_they_were(tmp_path, tokenizer, problem_type, references):
    found = encode(
        task(problem_type=problem_type), rows(tmp_path, 3), references, Bundle(tokenizer)
    )
    assert found["labels"][:] == references.tolist()
    batch = task().collate(Bundle(tokenizer))(found.to_list())
    assert batch["labels"].tolist() == references.tolist()
    assert batch["labels"].is_floating_point() == (problem_type != "single_label_classification")


def test_lengths_are_an_array(tmp_path, tokenizer):
    found = encode(task(max_length=8), rows(tmp_path), None, Bundle(tokenizer))
    for column in ("length", "whole_length"):
        assert lengths(found, column).tolist() == found[column][:]
    some = found.select([7, 3, 3])
    assert lengths(some).tolist() == some["length"][:]
    assert lengths(Dataset.from_dict({"length": [3, 1]})).tolist() == [3, 1]


def test_two_runs_at_once(tmp_path, tokenizer):
    data = rows(tmp_path)
    found = {}
    threads = [
        threading.Thread(
            target=lambda name=name: found.update(
                {name: encode(task(), data, None, Bundle(tokenizer))}
            )
        )
        for name in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = task().encode(data, None, Bundle(tokenizer)).to_list()
    assert [each.to_list() for each in found.values()] == [expected] * 3


MEASURE = """
import re, sys
from pathlib import Path
from nlpbench.config.load import loads
from nlpbench.runs import material as materials
from nlpbench.runs.libraries import settle_libraries
from nlpbench import models
from nlpbench.tasks import Bundle
settle_libraries()
def status(name):
    return int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
config = loads(Path(sys.argv[1]).read_text())
before = status("VmHWM")
material = materials.read(config, ["train"])
tokenizer = models.tokenizer(config.model, material.texts["train"][:1000])
features = materials.encode(config, material, Bundle(tokenizer))
shares = materials.truncated_share(features["train"])
print(before, status("VmHWM"), status("VmRSS"), len(features["train"]))
"""


@pytest.mark.slow
def test_memory_does_not_grow_as_the_rows_do(tmp_path, tiny_config):
    sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
    from synthetic_rows import write_synthetic_rows

    used = {}
    for count in (20_000, 400_000):
        write_synthetic_rows(tmp_path / f"{count}.jsonl", count)
        data = {"source": str(tmp_path / f"{count}.jsonl")}
        file = tmp_path / f"{count}.yaml"
        file.write_text(dump({**tiny_config, "data": data}))
        for kept in ("new", "kept"):
            done = subprocess.run(
                [sys.executable, "-c", MEASURE, str(file)],
                capture_output=True,
                text=True,
                check=True,
                env={**os.environ, "NLPBENCH_CACHE": str(tmp_path / "cache")},
            )
            before, peak, after, rows_found = map(float, done.stdout.split())
            assert rows_found == count
            used[count, kept] = peak - before, after - before
    for kept in ("new", "kept"):
        (small, _), (large, left) = used[20_000, kept], used[400_000, kept]
        # 380,000 rows more have 43 MB of text; as Python lists, rows and features take 220 MB.
        assert large - small < 120, json.dumps({str(key): value for key, value in used.items()})
        assert left - small < 80
