"""Quicker dropout and attention on a CPU: the same mathematics, and gone after training."""

from __future__ import annotations

import pytest
import torch
from conftest import TINY_BERT
from scipy.stats import chisquare
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification

from nlpbench.training import cpu_kernels
from nlpbench.training.cpu_kernels import CpuDropout, CpuKernels, multipliers

GPT2 = {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64}


def make(options, **more):
    values = {**options, "vocab_size": 100, "num_labels": 3, "pad_token_id": 0, **more}
    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_config(
        AutoConfig.for_model(values.pop("model_type"), **values)
    )


def batch(pad_left=False):
    torch.manual_seed(1)
    ids = torch.randint(5, 100, (4, 9))
    mask = torch.ones_like(ids)
    for row, length in enumerate([9, 5, 1, 7]):
        mask[row, : 9 - length] = 0 if pad_left else 1
        if not pad_left:
            mask[row, length:] = 0
    return {"input_ids": ids * mask, "attention_mask": mask}


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_masks_are_drawn_with_the_probability_of_dropout(p, dtype):
    torch.manual_seed(3)
    factors = multipliers(torch.empty(64, 999, dtype=dtype), p)
    assert factors.dtype == dtype
    dropped = int((factors == 0).sum())
    total = factors.numel()
    assert chisquare([dropped, total - dropped], [p * total, (1 - p) * total]).pvalue > 1e-3
    kept = factors[factors != 0]
    assert torch.all(kept == torch.tensor(1 / (1 - p)).to(dtype))
    # neither rows nor columns of it are alike
    columns = (factors == 0).float().mean(0)
    assert abs(columns.std() - (p * (1 - p) / 64) ** 0.5) < 0.02


def test_the_seed_of_torch_decides_the_mask():
    values = torch.ones(50, 50)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        one, two = multipliers(values, 0.5), multipliers(values, 0.5)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        again = multipliers(values, 0.5)
    assert torch.equal(one, again)
    assert not torch.equal(one, two)


def test_the_gradient_passes_where_the_value_does():
    dropout = CpuDropout(0.5)
    values = torch.ones(40, 40, requires_grad=True)
    found = dropout(values)
    found.sum().backward()
    assert torch.equal(found.detach(), values.grad)
    assert torch.equal(dropout.eval()(values), values)


@pytest.mark.parametrize("options", [TINY_BERT, GPT2], ids=["bert", "gpt2"])
@pytest.mark.parametrize("pad_left", [False, True])
def test_attention_is_that_of_torch(options, pad_left):
    zeros = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    if options is GPT2:
        zeros = {"embd_pdrop": 0.0, "resid_pdrop": 0.0, "attn_pdrop": 0.0}
    model = make(options, **zeros).train()
    inputs = batch(pad_left)
    expected = model(**inputs).logits
    expected.sum().backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    with CpuKernels(model)():
        assert model.config._attn_implementation == cpu_kernels.ATTENTION
        found = model(**inputs).logits
        found.sum().backward()
    assert torch.allclose(found, expected, atol=1e-6)
    for name, parameter in model.named_parameters():
        if name in gradients:
            assert torch.allclose(parameter.grad, gradients[name], atol=1e-5), name


def test_attention_drops_some_of_its_shares():
    model = make(TINY_BERT, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.5).train()
    inputs = batch()
    with CpuKernels(model)():
        one, two = model(**inputs).logits, model(**inputs).logits
        assert not torch.equal(one, two)
        assert torch.equal(model.eval()(**inputs).logits, model(**inputs).logits)


def test_nothing_is_left_of_them():
    model = make(TINY_BERT)
    before = [type(module) for module in model.modules()]
    kernels = CpuKernels(model)
    with pytest.raises(ZeroDivisionError), kernels():
        assert kernels.in_use
        assert any(type(module) is CpuDropout for module in model.modules())
        raise ZeroDivisionError
    assert not kernels.in_use
    assert [type(module) for module in model.modules()] == before
    assert model.config._attn_implementation == "sdpa"
    assert not any(isinstance(module, CpuDropout) for module in model.modules())


def test_another_device_keeps_its_own_kernels():
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    kernels = CpuKernels(model)
    with kernels():
        assert not kernels.in_use
