"""Models of one GGUF file: unpacked once, and the same as what was packed."""

from __future__ import annotations

import json
import logging
import shutil

import pytest
import torch
from tiny_models import SENTENCES, outputs, tiny, tiny_tokenizer

from nlpbench import models
from nlpbench.config.errors import UserError
from nlpbench.config.sections import ModelSection
from nlpbench.models import gguf as unpacking
from nlpbench.models import source as sources

gguf = pytest.importorskip("gguf")
CAUSAL = "AutoModelForCausalLM"
PARTS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
WHOLE = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}


def gguf_name(name):
    if name in WHOLE:
        return WHOLE[name]
    _, _, layer, part = name.split(".", 3)
    return f"blk.{layer}.{PARTS[part.removesuffix('.weight')]}.weight"


def rotated(name, value, config):
    """Queries and keys in the order of rotary dimensions that llama.cpp reads."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for part, count in heads.items():
        if part in name:
            halves = value.reshape(count, 2, value.shape[0] // count // 2, *value.shape[1:])
            return halves.swapaxes(1, 2).reshape(value.shape)
    return value


def pack(model, tokenizer, file):
    """Writes a Llama as one GGUF file in float32, as the format's own library lays it out."""
    config = model.config
    writer = gguf.GGUFWriter(str(file), "llama")
    writer.add_name("tiny")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    rules = json.loads(tokenizer.backend_tokenizer.to_str())
    vocabulary = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    special = set(tokenizer.all_special_tokens)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(vocabulary)
    writer.add_token_types([3 if token in special else 1 for token in vocabulary])
    writer.add_token_merges([" ".join(pair) for pair in rules["model"]["merges"]])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    for name, value in model.state_dict().items():
        writer.add_tensor(gguf_name(name), rotated(name, value.numpy(), config).copy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    """A tiny Llama, its tokenizer, and the directory of its GGUF file."""
    directory = tmp_path_factory.mktemp("gguf")
    tokenizer = tiny_tokenizer("llama")
    model = tiny("llama", CAUSAL, tokenizer)
    pack(model, tokenizer, directory / "tiny.gguf")
    return model, tokenizer, directory


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NLPBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


def inputs(tokenizer):
    rows = tokenizer(SENTENCES[:3], padding=True, return_tensors="pt")
    return {key: rows[key] for key in ("input_ids", "attention_mask")}


def test_it_computes_what_the_packed_model_does(llama, cache):
    model, tokenizer, directory = llama
    again = models.load_tokenizer(str(directory))
    loaded = models.load_finetuned(str(directory), None, CAUSAL, again, 32)
    assert loaded.fresh == ()
    assert loaded.model.dtype == torch.float32
    for text in SENTENCES[:6]:
        ids = again(text, add_special_tokens=False)["input_ids"]
        assert ids == tokenizer(text, add_special_tokens=False)["input_ids"]
        assert again.decode(ids) == text
    rows = inputs(tokenizer)
    [before, *_], [after, *_] = outputs(model, rows), outputs(loaded.model, rows)
    assert torch.allclose(before, after, atol=1e-6)
    assert loaded.directory is not None
    assert loaded.directory.parent == cache
    assert models.size_mb(loaded.directory) == (directory / "tiny.gguf").stat().st_size / 1e6


def test_it_is_unpacked_once(llama, cache, monkeypatch):
    _, _, directory = llama
    first = models.load_tokenizer(str(directory))
    [entry] = [path for path in cache.iterdir() if path.is_dir()]
    monkeypatch.setattr(unpacking, "_convert", None)
    models.load_finetuned(str(directory), None, CAUSAL, first, 32)
    assert entry.is_dir()
    other = cache.parent / "copy"
    shutil.copytree(directory, other)  # the same content in another place
    models.load_finetuned(str(other), None, CAUSAL, first, 32)


def test_another_content_is_another_model(llama, tmp_path, cache):
    model, tokenizer, directory = llama
    changed = tiny("llama", CAUSAL, tokenizer)
    with torch.no_grad():
        changed.get_input_embeddings().weight.mul_(2)
    shutil.copytree(directory, tmp_path / "models")
    rows = inputs(tokenizer)

    def states():
        name = str(tmp_path / "models")
        return outputs(models.load_finetuned(name, None, CAUSAL, tokenizer, 32).model, rows)[0]

    assert torch.allclose(states(), outputs(model, rows)[0], atol=1e-6)
    pack(changed, tokenizer, tmp_path / "models" / "tiny.gguf")
    assert torch.allclose(states(), outputs(changed, rows)[0], atol=1e-6)
    assert len([path for path in cache.iterdir() if path.is_dir()]) == 2


def test_a_damaged_entry_is_made_again(llama, cache, caplog):
    _, tokenizer, directory = llama
    first = models.load_finetuned(str(directory), None, CAUSAL, tokenizer, 32)
    weights = first.directory / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:1000])
    with caplog.at_level(logging.INFO, "nlpbench"):
        again = models.load_finetuned(str(directory), None, CAUSAL, tokenizer, 32)
    assert "is damaged and is made again" in caplog.text
    assert (again.directory / "model.safetensors").read_bytes() == whole
    assert [path.name for path in cache.iterdir() if path.is_dir()] == [again.directory.name]


def test_a_cache_that_cannot_be_written(llama, tmp_path, monkeypatch, caplog):
    _, tokenizer, directory = llama
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NLPBENCH_CACHE", str(tmp_path / "file"))
    unpacking._note_once.cache_clear()
    loaded = models.load_finetuned(str(directory), None, CAUSAL, tokenizer, 32)
    assert loaded.fresh == ()
    assert "set NLPBENCH_CACHE to a directory that can be written" in caplog.text


@pytest.mark.parametrize("how", ["the key", "the name", "the directory"])
def test_one_of_several_files_is_named(llama, tmp_path, how):
    _, tokenizer, directory = llama
    shutil.copy(directory / "tiny.gguf", tmp_path / "one.gguf")
    (tmp_path / "two.gguf").write_bytes(b"")
    if how == "the key":
        section = ModelSection(name_or_path=str(tmp_path), gguf_file="one.gguf")
    else:
        name = "/one.gguf" if how == "the name" else ""
        section = ModelSection(name_or_path=f"{tmp_path}{name}")
    if how == "the directory":
        with pytest.raises(UserError) as caught:
            models.load(section, CAUSAL, {}, tokenizer, 32)
        assert str(caught.value) == (
            f"{tmp_path} holds several GGUF files; set model.gguf_file to one of one.gguf, two.gguf"
        )
        return
    assert section.label == f"{tmp_path}/one.gguf"
    assert models.load(section, CAUSAL, {}, tokenizer, 32).fresh == ()
    assert len(models.tokenizer(section)) == len(tokenizer)


def test_a_classifier_can_be_made_of_it(llama, tmp_path):
    _, tokenizer, directory = llama
    section = ModelSection(name_or_path=str(directory))
    auto_class = "AutoModelForSequenceClassification"
    loaded = models.load(section, auto_class, {"num_labels": 3}, tokenizer, 32)
    assert loaded.fresh == ("score.weight",)
    models.save(loaded.model, tokenizer, tmp_path / "saved")
    assert models.size_mb(tmp_path / "saved") == pytest.approx(
        (tmp_path / "saved" / "model.safetensors").stat().st_size / 1e6
    )
    models.load_finetuned(str(tmp_path / "saved"), None, auto_class, tokenizer, 32)


def test_a_file_that_is_not_there(llama, tmp_path):
    _, tokenizer, directory = llama
    section = ModelSection(name_or_path=str(directory), gguf_file="other.gguf")
    with pytest.raises(UserError) as caught:
        models.load(section, CAUSAL, {}, tokenizer, 32)
    assert str(caught.value) == f"{directory} holds no file other.gguf; it has tiny.gguf"
    with pytest.raises(UserError, match="there is no model directory"):
        sources.find(str(tmp_path / "none" / "m.gguf"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no GGUF file; copy or download it again"),
        (b"PK\x03\x04 something else", "is no GGUF file; copy or download it again"),
        (b"GGUF\x03\x00\x00\x00", "cannot be loaded: "),
    ],
)
def test_a_file_that_is_damaged(llama, tmp_path, cache, content, message):
    _, tokenizer, _ = llama
    (tmp_path / "bad.gguf").write_bytes(content)
    section = ModelSection(name_or_path=str(tmp_path))
    with pytest.raises(UserError, match=message):
        models.load(section, CAUSAL, {}, tokenizer, 32)
    assert not cache.exists() or not [path for path in cache.iterdir() if path.is_dir()]


def test_the_package_gguf_is_missing(llama, monkeypatch):
    _, tokenizer, directory = llama
    monkeypatch.setattr(unpacking, "find_spec", lambda _: None)
    with pytest.raises(UserError) as caught:
        models.load_finetuned(str(directory), None, CAUSAL, tokenizer, 32)
    assert str(caught.value) == "tiny.gguf needs the package gguf; pip install 'nlpbench[gguf]'"


def test_a_hub_model_is_told_apart_from_a_directory():
    found = sources.find("org/name/file.Q4_0.gguf", "main")
    assert (found.name, found.gguf_file, found.revision) == ("org/name", "file.Q4_0.gguf", "main")
    assert found.directory is None
