"""The digest of a model: the same wherever it lies, another one for whatever changes its answers."""

from __future__ import annotations

import json
import shutil

import pytest
from tiny_models import classifier, tiny_tokenizer

from nlpbench.config.errors import UserError
from nlpbench.models.content import content_digest


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    directory = tmp_path_factory.mktemp("content") / "model"
    classifier("bert", layers=1).save_pretrained(directory)
    tiny_tokenizer("bert").save_pretrained(directory)
    return directory


@pytest.fixture
def model(original, tmp_path):
    return shutil.copytree(original, tmp_path / "elsewhere")


def test_the_place_does_not_count(original, model, tmp_path):
    assert content_digest(str(original)) == content_digest(str(model))
    run = tmp_path / "run"
    shutil.copytree(original, run / "model")
    (run / "config.yaml").write_text("seed: 1\n")
    assert content_digest(str(run)) == content_digest(str(original))


def test_a_file_that_no_model_is_read_from_does_not_count(original, model):
    (model / "README.md").write_text("a model card")
    (model / "training_args.bin").write_bytes(b"x")
    assert content_digest(str(model)) == content_digest(str(original))


def change_weights(model):
    file = model / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))


def change_json(name, key, value):
    def change(model):
        file = model / name
        file.write_text(json.dumps({**json.loads(file.read_text()), key: value}))

    return change


@pytest.mark.parametrize(
    "change",
    [
        change_weights,
        change_json("config.json", "hidden_act", "relu"),
        change_json("tokenizer_config.json", "model_max_length", 7),
        lambda model: (model / "tokenizer.json").rename(model / "vocab.json"),
    ],
    ids=["weights", "configuration", "tokenizer", "name of a file"],
)
def test_what_changes_answers_counts(original, model, change):
    change(model)
    assert content_digest(str(model)) != content_digest(str(original))


def test_a_model_of_the_hub_is_its_commit(tmp_path, monkeypatch):
    import transformers.utils.hub as hub

    def cached(commit):
        place = tmp_path / "snapshots" / commit / "config.json"
        return lambda name, file, revision: str(place)

    digests = set()
    for commit in ("aaaa", "bbbb"):
        monkeypatch.setattr(hub, "cached_file", cached(commit))
        digests |= {content_digest("org/one"), content_digest("org/two")}
        assert content_digest("org/one") in digests
    assert len(digests) == 4


def test_a_model_that_is_not_there():
    with pytest.raises(UserError, match="there is no model directory"):
        content_digest("./nowhere")
    with pytest.raises(UserError, match="not in the cache"):
        content_digest("org/none-such")
