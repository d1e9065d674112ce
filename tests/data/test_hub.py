"""Hub data sets without a hub: offline for real, and with `load_dataset` replaced."""

from __future__ import annotations

import datasets
import huggingface_hub
import pytest

from nlpbench.config.errors import UserError
from nlpbench.config.sections import DataSection
from nlpbench.data import hub
from nlpbench.data.load import load


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def offline(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


NOT_CACHED = (
    "data.source: the hub data set {} is not in the cache, and the hub cannot be reached "
    "(offline). On a connected machine run: hf download --repo-type dataset {} --local-dir DIR  "
    "then copy DIR here and set data.source to it. There is no such path here either ({}/{})"
)


@pytest.mark.parametrize("source", ["stanfordnlp/no-such-set", "no_such_set"])
def test_offline(offline, tmp_path, source):
    with pytest.raises(UserError) as caught:
        load(DataSection(source=source), ["train"], ["text"])
    assert str(caught.value) == NOT_CACHED.format(source, source, tmp_path, source)


def test_offline_names_subset_and_revision(offline, tmp_path):
    config = DataSection(source="a/glue", subset="mrpc", revision="v1")
    with pytest.raises(UserError, match=r"a/glue \(mrpc\) is not in .* a/glue --revision v1 --loc"):
        load(config, ["train"], ["text"])


def test_no_connection_answers_without_retries(monkeypatch, tmp_path):
    def refuse(*args, **kwargs):
        raise OSError("no route")

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub.socket, "create_connection", refuse)
    for name in ("https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match="hub cannot be reached"):
        load(DataSection(source="a/b"), ["train"], ["text"])
    assert datasets.config.HF_HUB_OFFLINE is False
    assert huggingface_hub.constants.HF_HUB_OFFLINE is False


def rows(count):
    return datasets.Dataset.from_dict({"text": [f"text {number}" for number in range(count)]})


@pytest.fixture
def online(monkeypatch):
    """`load_dataset` answers from a dictionary, and records what it was asked."""
    asked = []
    content = {"train": rows(30), "validation": rows(5), "unsupervised": rows(3)}

    def load_dataset(path, name=None, revision=None, split=None):
        asked.append((path, name, revision, split))
        if split is None:
            return datasets.DatasetDict(content)
        base, _, part = split.partition("[:")
        return content[base].select(range(int(part.rstrip("]")))) if part else content[base]

    monkeypatch.setattr(hub, "connected", lambda: True)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return asked


def test_splits_of_the_hub(online):
    config = DataSection(source="a/b", subset="c", revision="v1", train="train[:10]")
    loaded = load(config, ["train", "validation"], ["text"])
    assert online == [("a/b", "c", "v1", None), ("a/b", "c", "v1", "train[:10]")]
    assert loaded.splits["train"].rows.num_rows == 10
    assert loaded.splits["train"].locate(2) == "a/b c train[:10], row 3"
    assert loaded.splits["validation"].locate(2) == "a/b c validation, row 3"


def test_missing_split_of_the_hub(online):
    with pytest.raises(UserError) as caught:
        load(DataSection(source="a/b", validation="valdation"), ["validation"], ["text"])
    assert str(caught.value) == (
        'data.validation: a/b has no split "valdation"; did you mean validation?'
    )
    with pytest.raises(UserError) as caught:
        load(DataSection(source="a/b", test="wiki[:3]"), ["test"], ["text"])
    assert str(caught.value) == (
        'data.test: a/b has no split "wiki"; allowed: train, unsupervised, validation'
    )


ERRORS = [
    (
        datasets.exceptions.DatasetNotFoundError("Dataset 'a/b' doesn't exist on the Hub."),
        "data.source: a/b is not on the hub, or not open to you (Dataset 'a/b' doesn't exist on "
        "the Hub); log in with hf auth login if it is private or gated. There is no such path "
        "here either ({cwd}/a/b)",
    ),
    (
        ValueError("BuilderConfig 'cola' not found. Available: ['cole', 'mrpc']"),
        'data.subset: a/b has no subset "cola"; did you mean cole?',
    ),
    (
        ValueError(
            "Config name is missing.\nPlease pick one among the available configs: "
            "['cole', 'mrpc']\nExample of usage: ..."
        ),
        "data.source: a/b has several subsets; choose one with data.subset (cole, mrpc)",
    ),
    (
        RuntimeError("Dataset scripts are no longer supported, but found b.py"),
        "data.source: a/b cannot be loaded from the hub "
        "(Dataset scripts are no longer supported, but found b.py)",
    ),
]


@pytest.mark.parametrize(("error", "message"), ERRORS)
def test_errors_of_the_hub(monkeypatch, tmp_path, error, message):
    def load_dataset(*args, **kwargs):
        raise error

    monkeypatch.setattr(hub, "connected", lambda: True)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(UserError) as caught:
        load(DataSection(source="a/b", subset="cola"), ["train"], ["text"])
    assert str(caught.value) == message.format(cwd=tmp_path)
