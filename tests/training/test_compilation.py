"""Compiled where the steps repay it, and to the same result."""

from __future__ import annotations

import shutil

import pytest
import torch
from conftest import TINY_BERT
from safetensors.torch import load_file

from nlpbench.config.errors import UserError
from nlpbench.config.load import loads
from nlpbench.config.yaml12 import dump
from nlpbench.runs.finetune import finetune
from nlpbench.training import compilation
from nlpbench.training.compilation import choose

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("asked", "device", "steps", "constant", "compiler", "on", "reason"),
    [
        ("auto", CPU, 10**6, True, "g++", False, "a compiled step is not faster on cpu"),
        ("auto", GPU, 10**6, True, "g++", True, "1000000 steps repay it"),
        ("auto", GPU, 100, True, "g++", False, "100 steps do not repay it"),
        ("auto", GPU, 10**6, True, None, False, "no C++ compiler was found"),
        ("auto", GPU, 10**6, False, "g++", False, "what is trained changes on the way"),
        (True, CPU, 1, True, "g++", True, "asked for"),
        (False, GPU, 10**6, True, "g++", False, "not asked for"),
    ],
)
def test_the_choice(monkeypatch, asked, device, steps, constant, compiler, on, reason):
    monkeypatch.setattr(compilation.shutil, "which", lambda name: compiler)
    found = choose(asked, device, steps, constant)
    assert (found.on, found.reason) == (on, reason)


def test_there_is_no_compiler(monkeypatch):
    monkeypatch.setattr(compilation.shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="needs a C\\+\\+ compiler"):
        choose(True, CPU, 1)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
@pytest.mark.filterwarnings("ignore")
def test_a_compiled_model_learns_the_same(tiny_config, tmp_path):
    found = {}
    for compiled in (False, True):
        values = {
            **tiny_config,
            "model": {
                "config": {
                    **TINY_BERT, "hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0,
                },
                "tokenizer": {"train": {"vocab_size": 300}},
            },
            "training": {**tiny_config["training"], "torch_compile": compiled, "max_steps": 4},
        }  # fmt: skip
        [record] = finetune(loads(dump(values)), tmp_path / str(compiled))
        assert record.training["compiled"] is compiled
        found[compiled] = load_file(tmp_path / str(compiled) / "model" / "model.safetensors")
    for key, value in found[False].items():
        assert torch.allclose(value, found[True][key], atol=1e-4), key
