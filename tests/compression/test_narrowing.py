"""Heads, neurons and layers are taken out of every architecture as if they had been masked."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch
from tiny_models import outputs, tiny, tiny_tokenizer

from nlpbench.compression.ffn_pruning import FfnPruning
from nlpbench.compression.head_pruning import HeadPruning
from nlpbench.compression.layer_dropping import LayerDropping
from nlpbench.compression.narrowing import matrices
from nlpbench.compression.narrowing.choice import keep_in_each, keep_overall
from nlpbench.compression.narrowing.heads import all_heads
from nlpbench.compression.narrowing.neurons import all_neurons
from nlpbench.compression.narrowing.sensitivity import of_heads, sensitivity
from nlpbench.config.errors import ConfigError, UserError
from nlpbench.config.load import loads
from nlpbench.models import anatomy, compressed
from nlpbench.models.layout import Layout
from nlpbench.tasks.text_classification import TextClassification

MODELS = [
    *(
        (kind, "AutoModelForSequenceClassification")
        for kind in "bert distilbert roberta albert electra xlnet deberta-v2 modernbert".split()
    ),
    ("gpt2", "AutoModelForCausalLM"),
    ("llama", "AutoModelForCausalLM"),
    *((kind, "AutoModelForSeq2SeqLM") for kind in "t5 mt5 bart mbart pegasus marian".split()),
    ("bart", "AutoModelForCausalLM"),
]
T5 = ("t5", "mt5")
IDS = ["-".join(pair) for pair in MODELS]


def batch(model):
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(5, 90, (3, 9), generator=generator)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = torch.randint(5, 90, (3, 7), generator=generator)
    return inputs


def said(model):
    with torch.no_grad():
        return outputs(model.eval(), batch(model))[0]


def mask(group, unit):
    """Sets to zero what the output projection reads of a head."""
    with torch.no_grad():
        if group.output is None:
            group.module.o[:, unit] = 0
            return
        places = slice(unit * group.size, (unit + 1) * group.size)
        weight = group.output.weight
        (
            weight
            if weight.shape[0] == group.count * group.size and _conv(group.output)
            else weight.T
        )[places] = 0


def _conv(module):
    return type(module).__name__ == "Conv1D"


def reloaded(model, kind, place):
    compressed.save(model, tiny_tokenizer(kind), place, {"name": "it"}, [{"name": "made"}])
    note = compressed.read_note(place)
    made = type(model)
    if note.format == "transformers":
        return made.from_pretrained(place), note
    config = type(model.config).from_pretrained(place)
    return compressed.load(place, note, made._from_config, config), note


@pytest.mark.parametrize(("kind", "auto_class"), MODELS, ids=IDS)
def test_a_model_without_heads_says_what_it_says_with_them_masked(kind, auto_class, tmp_path):
    options = {"num_key_value_heads": 2} if kind == "llama" else {}
    model = tiny(kind, auto_class, **options)
    masked, pruned = copy.deepcopy(model), copy.deepcopy(model)
    for group in all_heads(masked):
        if group.count > 1:
            mask(group, 1)
    told = {number: [1] for number, group in enumerate(all_heads(pruned)) if group.count > 1}
    if kind in T5:
        for group in all_heads(pruned):
            group.keep([0])
        from nlpbench.compression.head_pruning import _keep_biases

        _keep_biases(all_heads(pruned), [[0]] * len(all_heads(pruned)))
        pruned.config.num_heads = 1
    else:
        HeadPruning(heads=told).apply(pruned, SimpleNamespace())
    assert {group.count for group in all_heads(pruned)} == {1}
    assert sum(map(torch.numel, pruned.parameters())) < sum(map(torch.numel, model.parameters()))
    torch.testing.assert_close(said(pruned), said(masked), atol=1e-5, rtol=0)
    again, note = reloaded(pruned, kind, tmp_path)
    assert torch.equal(said(again), said(pruned))
    assert (note.format == "transformers") == (kind in T5), "only T5 can say it"


@pytest.mark.parametrize(("kind", "auto_class"), MODELS, ids=IDS)
def test_a_narrow_model_says_what_it_says_with_neurons_masked(kind, auto_class, tmp_path):
    model = tiny(kind, auto_class)
    masked, pruned = copy.deepcopy(model), copy.deepcopy(model)
    found = FfnPruning(ratio=0.5, importance="magnitude")
    kept = found._kept([group.norms().double() for group in all_neurons(masked)])
    with torch.no_grad():
        for group, units in zip(all_neurons(masked), kept, strict=True):
            gone = [unit for unit in range(group.count) if unit not in units]
            matrices.by_output(group.output)[:, gone] = 0
    found.apply(pruned, SimpleNamespace())
    torch.testing.assert_close(said(pruned), said(masked), atol=1e-5, rtol=0)
    assert all(group.count == 32 for group in all_neurons(pruned)) or kind == "gpt2"
    again, note = reloaded(pruned, kind, tmp_path)
    assert note.format == "transformers", "plain transformers loads an even width"
    assert torch.equal(said(again), said(pruned))


@pytest.mark.parametrize(("kind", "auto_class"), MODELS, ids=IDS)
def test_plain_transformers_loads_a_model_with_fewer_layers(kind, auto_class, tmp_path):
    model = tiny(kind, auto_class)
    before = len(anatomy.layers(model))
    LayerDropping(keep=1, which="top" if kind in ("modernbert", "albert") else "bottom").apply(
        model, SimpleNamespace()
    )
    left = {getattr(model.config, stack.depth) for stack in anatomy.stacks(model)}
    assert left == {1}
    assert len(anatomy.layers(model)) == before // 2 or kind == "albert"
    again, note = reloaded(model, kind, tmp_path)
    assert note.format == "transformers"
    torch.testing.assert_close(said(again), said(model), atol=1e-6, rtol=0)


def test_uneven_widths_load_in_our_own_format(tmp_path):
    model = tiny("bert", "AutoModelForSequenceClassification")
    for number, group in enumerate(all_neurons(model)):
        group.keep(range(10 * (number + 1)))
    assert Layout.of(model)
    again, note = reloaded(model, "bert", tmp_path)
    assert note.format == "nlpbench"
    assert torch.equal(said(again), said(model))
    with pytest.raises(OSError, match=r"no file named model\.safetensors"):
        type(model).from_pretrained(tmp_path)


def labelled(model, count=4):
    inputs = batch(model)
    labels = torch.arange(len(inputs["input_ids"])) % 2
    return [{**inputs, "labels": labels}] * count


def test_the_sensitivity_of_heads_is_the_gradient_of_their_masks():
    """Against finite differences: each head scaled by 1 + e and 1 - e, row by row."""
    model = tiny("bert", "AutoModelForSequenceClassification").double().eval()
    task, groups = TextClassification(), all_heads(model)
    found = of_heads(model, task, groups, labelled(model, 1))
    inputs, step = labelled(model, 1)[0], 1e-5
    labels = inputs.pop("labels")
    for group, scores in zip(groups, found, strict=True):
        for unit in range(group.count):
            rows = []
            for sign in (1, -1):
                other = copy.deepcopy(model)
                place = slice(unit * group.size, (unit + 1) * group.size)
                matrix = other.get_submodule(f"{group.layer.name}.{group.attention.output}")
                with torch.no_grad():
                    matrix.weight[:, place] *= 1 + sign * step
                    logits = other(**inputs).logits
                rows.append(torch.nn.functional.cross_entropy(logits, labels, reduction="none"))
            slope = (rows[0] - rows[1]) / (2 * step)
            assert float(slope.abs().mean()) == pytest.approx(
                float(scores[unit]), rel=1e-3, abs=1e-9
            )


def test_xlnet_has_a_sensitivity_too():
    model = tiny("xlnet", "AutoModelForSequenceClassification")
    found = of_heads(model, TextClassification(), all_heads(model), labelled(model, 2))
    assert all(scores.shape == (2,) and (scores > 0).all() for scores in found)


def test_no_rows_weigh_nothing():
    model = tiny("bert", "AutoModelForSequenceClassification")
    with pytest.raises(UserError, match="no training rows"):
        sensitivity(model, TextClassification(), [all_heads(model)[0].output], [2], [])


def test_one_unit_of_each_group_stays():
    scores = [torch.tensor([0.1, 0.2, 0.3]), torch.tensor([5.0, 1.0, 0.0])]
    assert keep_in_each(scores, 0.99) == [[2], [0]]
    assert keep_overall(scores, 0.99) == [[2], [0]]


@pytest.mark.parametrize(
    ("chain", "told"),
    [
        ("[{name: head-pruning}]", "needs one of ratio and heads"),
        ("[{name: head-pruning, ratio: 1}]", "ratio"),
        ("[{name: ffn-pruning, ratio: 0.5, width: 3}]", "needs one of ratio and width"),
        ("[{name: layer-dropping}]", "needs one of keep and layers"),
        ("[{name: layer-dropping, layers: [1, 1]}]", "different numbers"),
        ("[{name: bfloat16, recover: {num_train_epochs: 1}}]", "leaves nothing"),
        ("[head-prunning]", "did you mean head-pruning"),
    ],
)
def test_a_chain_that_cannot_work_is_refused_by_its_config(chain, told):
    with pytest.raises(ConfigError, match=told):
        loads(f"model: m\ndata: d\ntask: text-classification\ncompression: {chain}\n")


@pytest.mark.parametrize(
    ("method", "kind", "told"),
    [
        (LayerDropping(keep=2), "bert", "keep 2 drops nothing"),
        (LayerDropping(layers=[5]), "bert", "no layer 5"),
        (LayerDropping(layers=[0]), "albert", "one and the same"),
        (LayerDropping(layers=[1]), "modernbert", "layer 0 of a modernbert model must stay"),
        (LayerDropping(keep=1, stack="decoder"), "bert", "one stack"),
        (FfnPruning(width=64), "bert", "takes nothing out"),
        (HeadPruning(heads={0: [1]}), "t5", "share one table"),
    ],
)
def test_a_method_refuses_what_it_cannot_do(method, kind, told):
    auto = "AutoModelForSeq2SeqLM" if kind in T5 else "AutoModelForSequenceClassification"
    with pytest.raises(UserError, match=told):
        method.check(tiny(kind, auto).config, TextClassification())
