"""Re-initialised layers are as in a new model; nothing else is touched."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from tiny_models import ARCHITECTURES, ENCODER_DECODERS, LAYERS, classifier, encoder_decoder
from transformers import AutoModelForSequenceClassification

from nlpbench.config.errors import UserError
from nlpbench.config.load import loads
from nlpbench.config.yaml12 import dump
from nlpbench.models.reinitialise import reinitialise
from nlpbench.models.structure import locate
from nlpbench.runs.finetune import finetune
from nlpbench.training.trainer import BenchTrainer

SEPARATE = [name for name in ARCHITECTURES if name != "albert"]
LEARNT = 7.0


@pytest.fixture
def pretrained(tmp_path):
    """A model loaded from a checkpoint in which every weight is `LEARNT`."""

    def load(model_type):
        model = classifier(model_type)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(LEARNT)
        model.save_pretrained(tmp_path)
        return AutoModelForSequenceClassification.from_pretrained(tmp_path)

    return load


def expected(model, layers):
    structure = locate(model)
    names = [
        f"{layer.name}.{name}"
        for layer in structure.layers[-layers:]
        for name, _ in layer.modules[0].named_parameters()
    ]
    return {*names, *(name for name, _ in model.named_parameters() if ".pooler." in name)}


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("model_type", SEPARATE)
def test_the_top_layers_and_the_pooler_are_fresh_and_all_else_is_kept(
    model_type, layers, pretrained
):
    model = pretrained(model_type)
    reinitialise(model, layers, seed=1)
    fresh = {name for name, p in model.named_parameters() if (p != LEARNT).all()}
    kept = {name for name, p in model.named_parameters() if (p == LEARNT).all()}
    assert fresh == expected(model, layers)
    assert fresh | kept == {name for name, _ in model.named_parameters()}


@pytest.mark.parametrize("model_type", SEPARATE)
def test_fresh_weights_are_distributed_as_in_a_new_model(model_type, pretrained):
    model, new = pretrained(model_type), classifier(model_type)
    reinitialise(model, LAYERS, seed=1)
    for name in expected(model, LAYERS):
        ours, theirs = model.get_parameter(name).detach(), new.get_parameter(name).detach()
        if theirs.std() == 0:  # norms and most biases
            assert (ours == theirs).all(), name
        else:
            close = 6 / math.sqrt(2 * theirs.numel())  # standard errors of a standard deviation
            assert ours.std().item() == pytest.approx(theirs.std().item(), rel=close), name
            assert not torch.equal(ours, theirs)


def test_gpt2_keeps_its_smaller_projections(pretrained):
    model = pretrained("gpt2")
    reinitialise(model, 1, seed=1)
    mlp = model.transformer.h[-1].mlp
    assert mlp.c_fc.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert mlp.c_proj.weight.std().item() == pytest.approx(0.02 / math.sqrt(2 * LAYERS), rel=0.1)


@pytest.mark.parametrize("model_type", ENCODER_DECODERS)
def test_the_top_of_an_encoder_decoder_is_its_decoder(model_type):
    model = encoder_decoder(model_type)
    before = copy.deepcopy(model)
    reinitialise(model, 1, seed=1)
    changed = {
        name
        for name, p in model.named_parameters()
        if not torch.equal(p, before.get_parameter(name))
    }
    stack = "decoder.block" if model_type == "t5" else "model.decoder.layers"
    assert changed
    assert all(name.startswith(f"{stack}.{LAYERS - 1}.") for name in changed)


def test_the_seed_decides(pretrained):
    found = []
    for seed in (1, 1, 2):
        model = pretrained("bert")
        reinitialise(model, 1, seed)
        found.append(model.bert.encoder.layer[-1].output.dense.weight)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_the_random_numbers_of_the_run_go_on():
    model = classifier("bert")
    state = torch.get_rng_state()
    reinitialise(model, 1, seed=1)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("reinit_layers", [None, 1, 2])
def test_a_run_begins_with_fresh_layers(tiny_config, tmp_path, monkeypatch, reinit_layers):
    begun = {}

    def noted(self, *args, **kwargs):
        weights = {name: p.detach().clone() for name, p in self.model.named_parameters()}
        begun.setdefault(len(begun), weights)
        return original(self, *args, **kwargs)

    original = BenchTrainer.train
    monkeypatch.setattr(BenchTrainer, "train", noted)
    tiny_config["training"]["max_steps"] = 1
    finetune(loads(dump(tiny_config)), tmp_path / "plain")
    tiny_config["training"]["reinit_layers"] = reinit_layers
    finetune(loads(dump(tiny_config)), tmp_path / "fresh")
    fresh = {name for name in begun[0] if not torch.equal(begun[0][name], begun[1][name])}
    layers = [f"bert.encoder.layer.{n}." for n in range(2 - (reinit_layers or 0), 2)]
    layers += ["bert.pooler."] if reinit_layers else []
    # Norms and biases are alike in every new layer.
    matrices = {name for name in begun[0] if name.endswith("weight") and "Norm" not in name}
    assert fresh == {name for name in matrices if name.startswith(tuple(layers))}


def test_more_layers_than_there_are():
    message = r"^training\.reinit_layers is 4, and this bert model has 3 layers$"
    with pytest.raises(UserError, match=message):
        reinitialise(classifier("bert"), 4, seed=1)


def test_shared_layers():
    message = r"^training\.reinit_layers: the layers of this albert model share their weights"
    with pytest.raises(UserError, match=message):
        reinitialise(classifier("albert"), 1, seed=1)
