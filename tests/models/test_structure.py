"""Every parameter of a model is in its embeddings, in one of its layers or in its head."""

from __future__ import annotations

import pytest
import torch
from tiny_models import (
    ARCHITECTURES,
    ENCODER_DECODERS,
    LAYERS,
    classifier,
    encoder_decoder,
    pairs,
    tiny,
)
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
)

from nlpbench.config.errors import UserError
from nlpbench.models.structure import locate

# The words of a parameter's name that show where it belongs, told independently of `locate`.
HEADS = {
    "bert": {"bert.pooler.dense", "classifier"},
    "distilbert": {"pre_classifier", "classifier"},
    "roberta": {"classifier.dense", "classifier.out_proj"},
    "albert": {"albert.pooler", "classifier"},
    "electra": {"classifier.dense", "classifier.out_proj"},
    "xlnet": {"sequence_summary.summary", "logits_proj"},
    "gpt2": {"score"},
}
STACKS = {
    "bert": "bert.encoder.layer",
    "distilbert": "distilbert.transformer.layer",
    "roberta": "roberta.encoder.layer",
    "electra": "electra.encoder.layer",
    "xlnet": "transformer.layer",
    "gpt2": "transformer.h",
}
EMBEDDINGS = {
    "bert": {"word_embeddings", "position_embeddings", "token_type_embeddings", "LayerNorm"},
    "distilbert": {"word_embeddings", "position_embeddings", "LayerNorm"},
    "roberta": {"word_embeddings", "position_embeddings", "token_type_embeddings", "LayerNorm"},
    "albert": {
        "word_embeddings",
        "position_embeddings",
        "token_type_embeddings",
        "LayerNorm",
        "embedding_hidden_mapping_in",
    },
    "electra": {
        "word_embeddings",
        "position_embeddings",
        "token_type_embeddings",
        "LayerNorm",
        "embeddings_project",
    },
    "xlnet": {"word_embedding", "mask_emb"},
    "gpt2": {"wte", "wpe"},
}


def module_of(name):
    return name.removesuffix(".weight").removesuffix(".bias")


def every_part_of(structure):
    return sorted(name for part in structure.from_the_top for name in part.parameters)


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_every_parameter_has_one_place(model_type):
    model = classifier(model_type)
    names = sorted(name for name, _ in model.named_parameters())
    assert every_part_of(locate(model)) == names


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_the_head_is_behind_the_layers_and_has_the_pooler(model_type):
    structure = locate(classifier(model_type))
    assert {module_of(name) for name in structure.head.parameters} == HEADS[model_type]
    assert (structure.pooler is not None) == (model_type in ("bert", "albert"))


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_the_embeddings_are_in_front_of_the_layers(model_type):
    structure = locate(classifier(model_type))
    found = {module_of(name).rpartition(".")[2] for name in structure.embeddings.parameters}
    assert found == EMBEDDINGS[model_type]


@pytest.mark.parametrize("model_type", STACKS)
def test_layers_go_from_the_bottom_up(model_type):
    model = classifier(model_type, layers=12)
    structure = locate(model)
    assert not structure.shared
    assert [layer.name for layer in structure.layers] == [
        f"{STACKS[model_type]}.{number}" for number in range(12)
    ]
    for layer in structure.layers:
        assert layer.modules == (model.get_submodule(layer.name),)


def test_a_norm_behind_the_stack_goes_with_the_top_layer():
    *below, top = locate(classifier("gpt2")).layers
    assert {"transformer.ln_f.weight", "transformer.ln_f.bias"} < set(top.parameters)
    assert {len(layer.parameters) for layer in below} == {len(top.parameters) - 2}


def test_layers_that_share_their_weights_are_one():
    structure = locate(classifier("albert"))
    assert structure.shared
    assert [layer.name for layer in structure.layers] == ["albert.encoder.albert_layer_groups.0"]


def test_albert_with_a_group_for_every_layer_shares_nothing():
    structure = locate(classifier("albert", num_hidden_groups=LAYERS))
    assert not structure.shared
    assert len(structure.layers) == LAYERS


@pytest.mark.parametrize("model_type", ENCODER_DECODERS)
def test_a_decoder_stands_on_its_encoder(model_type):
    model = encoder_decoder(model_type)
    structure = locate(model)
    assert every_part_of(structure) == sorted(name for name, _ in model.named_parameters())
    sides = [
        "encoder" if ".encoder." in f".{layer.name}" else "decoder" for layer in structure.layers
    ]
    assert sides == ["encoder"] * LAYERS + ["decoder"] * LAYERS
    assert structure.head.parameters == (), "the output layer is the embedding table"


def test_an_output_layer_of_its_own_is_a_head():
    structure = locate(encoder_decoder("bart", tie_word_embeddings=False))
    assert structure.head.parameters == ("lm_head.weight",)


def test_a_head_is_found_where_a_model_has_no_base_of_its_own():
    sizes = {"d_model": 32, "num_layers": LAYERS, "num_heads": 2, "d_ff": 64, "d_kv": 16}
    config = AutoConfig.for_model("t5", vocab_size=50, pad_token_id=0, **sizes)
    structure = locate(AutoModelForQuestionAnswering.from_config(config))
    assert structure.head.parameters == ("qa_outputs.weight", "qa_outputs.bias")
    assert "shared.weight" in structure.embeddings.parameters


OTHERS = [
    ("deberta-v2", {"relative_attention": True, "norm_rel_ebd": "layer_norm"}),
    ("modernbert", {}),
    ("mpnet", {}),
    ("xlm", {"n_layers": LAYERS}),
    ("llama", {}),
    ("openai-gpt", {}),
    ("rembert", {"input_embedding_size": 16}),
    ("roberta-prelayernorm", {}),
    ("bloom", {}),
]


@pytest.mark.parametrize(("model_type", "options"), OTHERS, ids=[name for name, _ in OTHERS])
def test_models_that_load_alike_are_understood(model_type, options):
    few = {"intermediate_size": 64, "cls_token_id": 1, "sep_token_id": 2}
    model = classifier(model_type, **few, **options)
    structure = locate(model)
    assert every_part_of(structure) == sorted(name for name, _ in model.named_parameters())
    assert len(structure.layers) == LAYERS
    assert not structure.shared
    assert structure.head.parameters
    inputs = model.get_input_embeddings().weight
    tables = [model.get_parameter(name) for name in structure.embeddings.parameters]
    assert any(table is inputs for table in tables)


def test_debertas_norm_of_relative_positions_is_no_layer():
    options = {"relative_attention": True, "norm_rel_ebd": "layer_norm"}
    structure = locate(classifier("deberta-v2", **options))
    assert "deberta.encoder.LayerNorm.weight" in structure.embeddings.parameters


@pytest.mark.parametrize(
    ("auto", "model_type", "head"),
    [
        (AutoModelForMaskedLM, "bert", {"bias", "weight"}),
        (AutoModelForCausalLM, "gpt2", set()),
        (AutoModelForQuestionAnswering, "bert", {"bias", "weight"}),
    ],
)
def test_heads_of_other_tasks(auto, model_type, head):
    sizes = {"hidden_size": 32, "num_hidden_layers": LAYERS, "num_attention_heads": 2}
    special = {"bos_token_id": 1, "eos_token_id": 2}
    model = auto.from_config(AutoConfig.for_model(model_type, vocab_size=50, **sizes, **special))
    structure = locate(model)
    assert every_part_of(structure) == sorted(name for name, _ in model.named_parameters())
    assert {name.rpartition(".")[2] for name in structure.head.parameters} == head
    assert len(structure.layers) == LAYERS


@pytest.mark.parametrize(("model_type", "auto_class"), pairs())
def test_every_architecture_is_understood_in_every_auto_class(model_type, auto_class):
    model = tiny(model_type, auto_class)
    structure = locate(model)
    assert every_part_of(structure) == sorted(name for name, _ in model.named_parameters())
    sides = 2 if model.config.is_encoder_decoder else 1
    if (auto_class, model_type[-2:]) == ("AutoModelForTokenClassification", "t5"):
        sides = 1  # that head sits on the encoder alone
    assert len(structure.layers) == (1 if model_type == "albert" else 2 * sides)
    table = model.get_input_embeddings().weight
    assert any(model.get_parameter(name) is table for name in structure.embeddings.parameters)


@pytest.mark.filterwarnings("ignore::FutureWarning:transformers")
def test_adapters_of_peft_are_in_their_layers():
    peft = pytest.importorskip("peft")
    model = peft.get_peft_model(
        classifier("bert"),
        peft.LoraConfig(r=2, target_modules=["query"], modules_to_save=["classifier"]),
    )
    structure = locate(model)
    assert every_part_of(structure) == sorted(name for name, _ in model.named_parameters())
    for layer in structure.layers:
        assert sum("lora_" in name for name in layer.parameters) == 2
    assert any("modules_to_save" in name for name in structure.head.parameters)


def test_a_model_without_layers_is_refused():
    model = classifier("bert")
    model.bert.encoder = torch.nn.Linear(2, 2)
    with pytest.raises(UserError, match=r"^this bert model has no list of layers, so .*freeze"):
        locate(model)
