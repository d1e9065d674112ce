"""Models that cannot be used: each gets one clear message, and nothing is written."""

from __future__ import annotations

import json
import shutil
import stat

import pytest
import torch
from conftest import TINY_BERT, topic_rows
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

from nlpbench import models
from nlpbench.config.errors import UserError
from nlpbench.config.load import loads
from nlpbench.config.sections import ModelSection
from nlpbench.config.yaml12 import dump
from nlpbench.runs.evaluate import evaluate
from nlpbench.runs.finetune import finetune

AUTO = "AutoModelForSequenceClassification"
HEAD = {"problem_type": "single_label_classification", "num_labels": 3}


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """A saved tiny BERT with its tokenizer."""
    directory = tmp_path_factory.mktemp("models") / "bert"
    section = ModelSection(config=TINY_BERT, tokenizer={"train": {"vocab_size": 300}})
    tokenizer = models.tokenizer(section, [row["text"] for row in topic_rows(48)])
    models.save(models.load(section, AUTO, HEAD, tokenizer, 32).model, tokenizer, directory)
    return directory


@pytest.fixture
def broken(bert, tmp_path):
    """A copy of it to break."""
    return shutil.copytree(bert, tmp_path / "broken")


@pytest.fixture
def refuse(tiny_config, tmp_path):
    """Fine-tunes, expects a refusal, and returns what it says."""

    def run(model, **task):
        values = {**tiny_config, "model": model, "task": {**tiny_config["task"], **task}}
        with pytest.raises(UserError) as caught:
            finetune(loads(dump(values)), tmp_path / "run")
        assert not (tmp_path / "run").exists()
        return str(caught.value)

    return run


def edit(directory, **keys):
    file = directory / "config.json"
    values = {**json.loads(file.read_text()), **keys}
    file.write_text(json.dumps({key: value for key, value in values.items() if value is not None}))


def test_no_tokenizer(broken, refuse):
    (broken / "tokenizer.json").unlink()
    assert refuse(str(broken)) == (
        f"{broken} holds no tokenizer (none of tokenizer.json, vocab.txt, vocab.json, spiece.model, "
        "sentencepiece.bpe.model, tokenizer.model, source.spm); name one with model.tokenizer"
    )


def test_damaged_tokenizer(broken, refuse):
    (broken / "tokenizer.json").write_text('{"version": ')
    assert refuse(str(broken)).startswith(f"the tokenizer of {broken} cannot be loaded: ")


def test_no_weights(broken, refuse):
    (broken / "model.safetensors").unlink()
    assert refuse(str(broken)) == f"{broken} holds no weights (no model.safetensors)"


def test_only_a_pickle(broken, refuse):
    (broken / "model.safetensors").rename(broken / "pytorch_model.bin")
    assert refuse(str(broken)) == (
        f"{broken} has its weights as a pickle (pytorch_model.bin), which can run code when it is "
        "read; convert it where you trust it: AutoModel.from_pretrained(DIR).save_pretrained(DIR)"
    )


@pytest.mark.parametrize("size", [0, 4, 100, 20_000])
def test_truncated_weights(broken, refuse, size):
    file = broken / "model.safetensors"
    file.write_bytes(file.read_bytes()[:size])
    message = refuse(str(broken))
    assert message.startswith(f"{file} is damaged or cut short ({size} bytes): ")
    assert message.endswith("; copy or download it again")


def sharded(directory):
    weights = load_file(directory / "model.safetensors")
    names = sorted(weights)
    half = {name: f"model-0000{1 + (i % 2)}-of-00002.safetensors" for i, name in enumerate(names)}
    for shard in set(half.values()):
        part = {name: weights[name] for name in names if half[name] == shard}
        save_file(part, directory / shard, {"format": "pt"})
    index = {"metadata": {"total_size": 1}, "weight_map": half}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    (directory / "model.safetensors").unlink()
    return directory


def test_shards(broken, refuse):
    sharded(broken)
    tokenizer = models.load_tokenizer(str(broken))
    assert models.load_finetuned(str(broken), None, AUTO, tokenizer, 32).fresh == ()
    (broken / "model-00002-of-00002.safetensors").unlink()
    assert refuse(str(broken)) == (
        f"the weights file {broken}/model-00002-of-00002.safetensors is missing"
    )


def test_damaged_index(broken, refuse):
    sharded(broken)
    (broken / "model.safetensors.index.json").write_text("{}")
    assert refuse(str(broken)) == (
        f"{broken}/model.safetensors.index.json is damaged: 'weight_map'"
    )


@pytest.mark.parametrize("model_type", ["vit", "marian", "whisper"])
def test_an_architecture_without_such_a_head(broken, refuse, model_type):
    edit(broken, model_type=model_type, architectures=None)
    assert refuse(str(broken)) == (
        f"{broken} is a {model_type} model, which transformers cannot load as {AUTO}; take one that "
        "has such a head"
    )


def test_weights_of_another_model(broken, refuse):
    edit(broken, model_type="roberta", architectures=None)
    assert refuse(str(broken)).startswith(
        f"the weights of {broken} are not those of a roberta model: 37 of 37 are missing or of "
        "another shape, such as roberta.embeddings."
    )


def test_weights_of_another_size(broken, refuse):
    edit(broken, hidden_size=64)
    assert refuse(str(broken)).startswith(f"the weights of {broken} are not those of a bert model")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "Expecting value: line 1 column 1 (char 0)"),
        ("[]", "it holds no mapping"),
    ],
)
def test_a_damaged_configuration(broken, refuse, text, what):
    (broken / "config.json").write_text(text)
    assert refuse(str(broken)) == f"{broken}/config.json is damaged: {what}"


@pytest.mark.parametrize("text", ["{}", '{"model_type": "nonesuch"}'])
def test_a_configuration_of_nothing_known(broken, refuse, text):
    (broken / "config.json").write_text(text)
    assert refuse(str(broken)).startswith(f"the configuration of {broken} cannot be loaded: ")


def test_no_configuration(broken, refuse, tmp_path):
    (broken / "config.json").unlink()
    assert refuse(str(broken)) == f"{broken} holds no config.json, so no model"


def test_a_file_instead_of_a_directory(broken, refuse):
    file = broken / "model.safetensors"
    assert refuse(str(file)) == f"the model {file} is a file; name its directory"


def test_no_such_directory(refuse, tmp_path):
    assert refuse(str(tmp_path / "none")) == f"there is no model directory {tmp_path}/none"


def test_an_unfinished_run(broken, refuse, tmp_path):
    run = tmp_path / "unfinished"
    (run / "checkpoints" / "checkpoint-1").mkdir(parents=True)
    assert refuse(str(run)) == (
        f"{run} holds no config.json, so no model; the run is unfinished: "
        "nlpbench finetune … --resume"
    )


def test_a_package_that_is_not_installed(refuse):
    assert refuse("pkg://no_such_package/model") == (
        "pkg://no_such_package/model: the package no_such_package is not installed; "
        "pip install no-such-package"
    )


def test_a_package_without_the_folder(refuse):
    assert refuse("pkg://nlpbench/nowhere") == (
        "pkg://nlpbench/nowhere: the package nlpbench holds no folder nowhere"
    )


def test_a_revision_of_a_directory(broken, refuse):
    assert refuse({"name_or_path": str(broken), "revision": "main"}) == (
        f"model.revision belongs to a hub model, and {broken} is local"
    )


def test_a_tokenizer_that_is_too_large(broken, refuse, tmp_path):
    section = ModelSection(config=TINY_BERT, tokenizer={"train": {"vocab_size": 2000}})
    texts = [f"word{number} another{number * 7}" for number in range(400)]
    large = models.tokenizer(section, texts)
    large.save_pretrained(tmp_path / "large")
    message = refuse({"name_or_path": str(broken), "tokenizer": str(tmp_path / "large")})
    assert message == (
        f"the tokenizer has {len(large)} entries and the model embeddings for 192; "
        "they do not belong together"
    )


def test_an_input_longer_than_the_positions(broken, refuse):
    assert refuse(str(broken), max_length=65) == (
        "task.max_length is 65, and this bert model has positions for 64 tokens; "
        "set task.max_length to 64 or less"
    )


@pytest.mark.parametrize(
    ("config", "longest"),
    [
        ({"model_type": "roberta", "max_position_embeddings": 66}, 65),  # pad token 0: one row lost
        ({"model_type": "gpt2", "n_positions": 64}, 64),
        ({"model_type": "distilbert", "max_position_embeddings": 40}, 40),
    ],
)
def test_positions_of_other_models(refuse, config, longest):
    small = {"roberta": {"hidden_size": 24}, "gpt2": {"n_embd": 24}, "distilbert": {"dim": 24}}
    model = {
        "config": {**small[config["model_type"]], **config},
        "tokenizer": {"train": {"vocab_size": 300}},
    }
    assert f"positions for {longest} tokens" in refuse(model, max_length=longest + 1)


def test_positions_of_a_pretrained_roberta():
    """514 rows, pad token 1: the positions of 512 tokens, as its users know it."""
    from transformers import AutoConfig

    from nlpbench.models.positions import longest_input

    config = AutoConfig.for_model(
        "roberta", hidden_size=12, num_hidden_layers=1, vocab_size=50, max_position_embeddings=514
    )
    assert longest_input(AutoModelForSequenceClassification.from_config(config)) == 512


def test_a_hub_model_while_offline(refuse):
    message = refuse("someone/no-such-model")
    assert message.startswith("the tokenizer of someone/no-such-model is not in the cache (")
    assert message.endswith(
        "), and HF_HUB_OFFLINE is set; where there is a connection, run: hf download "
        "someone/no-such-model --local-dir DIR, bring DIR here and set model.name_or_path to it"
    )


BARE = [
    (
        {"hiden_size": 32},
        "model.config: keys that bert does not have: hiden_size: did you mean hidden_size?",
    ),
    (
        {"depth": 2, "num_layer": 2},
        "model.config: keys that bert does not have: depth: no such key; "
        "num_layer: did you mean num_hidden_layers?",
    ),
    ({"model_type": "brt"}, "model.config: unknown model_type (got brt)  did you mean bert?"),
    ({"model_type": "nothing-like-it"}, "model.config: unknown model_type (got nothing-like-it)"),
    (
        {"hidden_size": 33},
        "model.config: The hidden size (33) is not a multiple of the number of attention heads (2)",
    ),
    (
        {"vocab_size": 10},
        "model.config.vocab_size is 10, and the tokenizer has 192 entries; "
        "leave it out to have as many",
    ),
    (
        {"num_labels": 5, "dtype": "bfloat16"},
        "model.config: num_labels, dtype cannot be set here; the task sets the head, and weights "
        "are float32",
    ),
]


@pytest.mark.parametrize(("keys", "message"), BARE)
def test_a_bare_configuration_that_is_wrong(refuse, keys, message):
    model = {"config": {**TINY_BERT, **keys}, "tokenizer": {"train": {"vocab_size": 300}}}
    assert refuse(model) == message


def test_an_unknown_model_type_beside_a_named_tokenizer(refuse, broken):
    model = {"config": {"model_type": "brt"}, "tokenizer": {"name_or_path": str(broken)}}
    assert refuse(model) == "model.config: unknown model_type (got brt)  did you mean bert?"


@pytest.mark.parametrize(
    "keys",
    [
        {"hidden_size": "large"},
        {"hidden_size": -32},
        {"num_attention_heads": 0},
        {"hidden_act": "geluu"},
        {"hidden_dropout_prob": 1.5},
        {"num_hidden_layers": 1.5},
        {"max_position_embeddings": None},
    ],
)
def test_a_bare_configuration_with_impossible_values(refuse, keys):
    model = {"config": {**TINY_BERT, **keys}, "tokenizer": {"train": {"vocab_size": 300}}}
    assert refuse(model).startswith("model.config: ")


def test_a_bare_configuration_without_such_a_head(refuse, broken):
    model = {
        "config": {"model_type": "vit"},
        "tokenizer": {"name_or_path": str(broken)},
    }
    assert "which transformers cannot load as" in refuse(model)


def test_no_tokenizer_can_be_trained(refuse):
    model = {"config": {"model_type": "vit"}, "tokenizer": {"train": {"vocab_size": 300}}}
    assert refuse(model) == (
        "no tokenizer can be trained for model_type vit; name one with model.tokenizer.name_or_path"
    )


def test_a_model_without_a_trained_head_is_not_scored(broken, tiny_config, tmp_path):
    weights = load_file(broken / "model.safetensors")
    kept = {name: value for name, value in weights.items() if not name.startswith("classifier")}
    save_file(kept, broken / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError) as caught:
        evaluate(loads(dump(tiny_config)), tmp_path / "out", [str(broken)])
    assert str(caught.value) == (
        f"{broken} has no trained head for this task (classifier.bias, classifier.weight missing); "
        "fine-tune it first"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_weights_are_loaded_as_float32(broken, dtype):
    AutoModelForSequenceClassification.from_pretrained(broken, dtype=dtype).save_pretrained(broken)
    assert json.loads((broken / "config.json").read_text())["dtype"] == str(dtype)[6:]
    tokenizer = models.load_tokenizer(str(broken))
    for loaded in (
        models.load(ModelSection(name_or_path=str(broken)), AUTO, HEAD, tokenizer, 32),
        models.load_finetuned(str(broken), None, AUTO, tokenizer, 32),
    ):
        assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.float32}


def test_a_new_head_is_named(bert):
    tokenizer = models.load_tokenizer(str(bert))
    other = {**HEAD, "num_labels": 5}
    loaded = models.load(ModelSection(name_or_path=str(bert)), AUTO, other, tokenizer, 32)
    assert loaded.fresh == ("classifier.bias", "classifier.weight")
    assert loaded.model.config.num_labels == 5


def test_saved_files_can_be_read_by_others(bert):
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in bert.iterdir()}
    (bert.parent / "new").touch()
    usual = stat.S_IMODE((bert.parent / "new").stat().st_mode)
    assert modes == dict.fromkeys(modes, usual)
    assert "model.safetensors" in modes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("no weights", "holds no weights (no model.safetensors)"),
        ("vit", "is a vit model, which transformers cannot load as"),
    ],
)
def test_the_program_says_it_in_one_line(
    broken, tiny_config, write_config, nlpbench, tmp_path, change, message
):
    if change == "vit":
        edit(broken, model_type="vit", architectures=None)
    else:
        (broken / "model.safetensors").unlink()
    file = write_config({**tiny_config, "model": str(broken)})
    done = nlpbench("finetune", file, "-o", "run", check=2)
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert message in done.stderr.splitlines()[-1]
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "run").exists()
