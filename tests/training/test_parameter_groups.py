"""Which learning rate and which weight decay every parameter gets."""

from __future__ import annotations

import pytest
import torch
from tiny_models import ARCHITECTURES, ENCODER_DECODERS, LAYERS, classifier, encoder_decoder
from torch import nn
from transformers import Trainer, TrainingArguments

from nlpbench.config.strategies import Freeze
from nlpbench.config.training import TrainingSection
from nlpbench.training.freezing import freeze
from nlpbench.training.parameter_groups import parameter_groups

RATE, DECAY = 1e-3, 0.5


def section(**values):
    return TrainingSection(learning_rate=RATE, weight_decay=0.01, **values)


def of_each(model, groups, key):
    """The `key` of its group, for every parameter by its name."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = [(names[id(p)], group[key]) for group in groups for p in group["params"]]
    assert len(dict(found)) == len(found), "no parameter is in two groups"
    return dict(found)


def trainers_groups(model, tmp_path):
    arguments = TrainingArguments(
        output_dir=str(tmp_path), use_cpu=True, learning_rate=RATE, weight_decay=0.01
    )
    return Trainer(model=model, args=arguments).create_optimizer().param_groups


@pytest.mark.parametrize("model_type", [*ARCHITECTURES, *ENCODER_DECODERS])
def test_without_strategies_there_are_the_groups_of_the_trainer(model_type, tmp_path):
    make = encoder_decoder if model_type in ENCODER_DECODERS else classifier
    model = make(model_type)
    ours, theirs = parameter_groups(model, section()), trainers_groups(model, tmp_path)
    assert len(ours) == len(theirs) == 2
    for mine, other in zip(ours, theirs, strict=True):
        assert [id(p) for p in mine["params"]] == [id(p) for p in other["params"]]
        assert (mine["lr"], mine["weight_decay"]) == (other["lr"], other["weight_decay"])


@pytest.mark.parametrize(
    "strategies",
    [{}, {"head_learning_rate": 0.1}, {"layerwise_lr_decay": DECAY}],
    ids=["plain", "head", "layerwise"],
)
@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_only_matrices_and_tables_are_decayed(model_type, strategies):
    model = classifier(model_type)
    decays = of_each(model, parameter_groups(model, section(**strategies)), "weight_decay")
    assert set(decays) == {name for name, _ in model.named_parameters()}
    norms = {
        f"{name}.{key}"
        for name, module in model.named_modules()
        if isinstance(module, nn.LayerNorm)
        for key in ("weight", "bias")
    }
    for name, decay in decays.items():
        spared = name in norms or "bias" in name.rpartition(".")[2]
        assert decay == (0.0 if spared else 0.01), name
    embeddings = model.get_input_embeddings().weight
    assert decays[next(n for n, p in model.named_parameters() if p is embeddings)] == 0.01


@pytest.mark.parametrize("model_type", [name for name in ARCHITECTURES if name != "albert"])
def test_every_layer_learns_slower_than_the_one_above(model_type):
    model = classifier(model_type)
    rates = of_each(model, parameter_groups(model, section(layerwise_lr_decay=DECAY)), "lr")
    stack = next(
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == LAYERS
    )
    for name, rate in rates.items():
        if name.startswith(stack):
            number = int(name.removeprefix(f"{stack}.").partition(".")[0])
            assert rate == pytest.approx(RATE * DECAY ** (LAYERS - number)), name
    embeddings = model.get_input_embeddings().weight
    table = next(name for name, p in model.named_parameters() if p is embeddings)
    assert rates[table] == pytest.approx(RATE * DECAY ** (LAYERS + 1)) == min(rates.values())
    head = {name for name, rate in rates.items() if rate == RATE}
    assert max(rates.values()) == RATE
    assert all(".pooler." in n or not n.startswith(f"{model.base_model_prefix}.") for n in head)


def test_the_rates_of_bert_written_out():
    model = classifier("bert")
    settings = section(layerwise_lr_decay=DECAY, head_learning_rate=0.02)
    rates = of_each(model, parameter_groups(model, settings), "lr")
    shown = {
        "classifier.weight": 0.02,
        "bert.pooler.dense.weight": 0.02,
        "bert.encoder.layer.2.output.dense.weight": 0.0005,
        "bert.encoder.layer.2.output.LayerNorm.bias": 0.0005,
        "bert.encoder.layer.1.output.dense.weight": 0.00025,
        "bert.encoder.layer.0.output.dense.weight": 0.000125,
        "bert.embeddings.word_embeddings.weight": 0.0000625,
        "bert.embeddings.LayerNorm.weight": 0.0000625,
    }
    assert {name: rates[name] for name in shown} == pytest.approx(shown)


def test_shared_layers_have_one_rate():
    model = classifier("albert")
    groups = parameter_groups(model, section(layerwise_lr_decay=DECAY))
    rates = {group["name"]: group["lr"] for group in groups if group["weight_decay"]}
    assert rates == pytest.approx(
        {
            "head": RATE,
            "albert.encoder.albert_layer_groups.0": RATE * DECAY,
            "embeddings": RATE * DECAY**2,
        }
    )


def test_a_decoder_learns_faster_than_its_encoder():
    model = encoder_decoder("t5")
    rates = of_each(model, parameter_groups(model, section(layerwise_lr_decay=DECAY)), "lr")
    assert rates["decoder.final_layer_norm.weight"] == pytest.approx(RATE * DECAY)
    assert rates["encoder.block.2.layer.1.DenseReluDense.wi.weight"] == pytest.approx(
        RATE * DECAY ** (1 + LAYERS)
    )
    assert rates["shared.weight"] == pytest.approx(RATE * DECAY ** (1 + 2 * LAYERS))


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_the_head_alone_has_its_own_rate(model_type):
    model = classifier(model_type)
    rates = of_each(model, parameter_groups(model, section(head_learning_rate=0.02)), "lr")
    assert set(rates) == {name for name, _ in model.named_parameters()}
    base = f"{model.base_model_prefix}."
    for name, rate in rates.items():
        assert rate == (RATE if name.startswith(base) and ".pooler." not in name else 0.02), name


def test_frozen_parameters_are_left_out():
    model = classifier("bert")
    freeze(model, Freeze(embeddings=True, layers=1))
    for strategies in ({}, {"layerwise_lr_decay": DECAY}):
        rates = of_each(model, parameter_groups(model, section(**strategies)), "lr")
        assert set(rates) == {n for n, p in model.named_parameters() if p.requires_grad}


def test_a_step_moves_each_part_by_its_rate():
    model = classifier("bert")
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    groups = parameter_groups(model, section(layerwise_lr_decay=DECAY))
    rates = of_each(model, groups, "lr")
    optimizer = torch.optim.SGD([{**group, "weight_decay": 0.0} for group in groups])
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    for name, parameter in model.named_parameters():
        moved = (before[name] - parameter.detach()).mean().item()
        assert moved == pytest.approx(rates[name], rel=1e-3), name
