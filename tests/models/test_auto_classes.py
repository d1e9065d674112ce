"""Every architecture in every auto class that it has: trained, saved and loaded, it is the same."""

from __future__ import annotations

import pytest
import torch
from safetensors import safe_open
from tiny_models import (
    AUTO_CLASSES,
    MODEL_TYPES,
    POSITIONS,
    REFUSED,
    outputs,
    pairs,
    tiny,
    tiny_batch,
    tiny_section,
    tiny_tokenizer,
)
from transformers import CONFIG_MAPPING, AutoModelForQuestionAnswering

from nlpbench import models
from nlpbench.config.errors import UserError
from nlpbench.config.sections import ModelSection
from nlpbench.models.positions import longest_input, longest_target

ALONE = "AutoModel"  # no head
# Have no weights but those of the base: the output layer is the embedding table.
WITHOUT_HEAD = {
    ("gpt2", "AutoModelForCausalLM"),
    ("gpt2", "AutoModelForPreTraining"),
    *((name, "AutoModelForSeq2SeqLM") for name in ("t5", "mt5", "bart", "mbart", "pegasus")),
    *((name, "AutoModelForMaskedLM") for name in ("bart", "mbart")),
    *((name, "AutoModelForPreTraining") for name in ("t5", "bart")),
    *((name, "AutoModelForCausalLM") for name in ("bart", "mbart", "pegasus", "marian")),
    ("marian", "AutoModelForSeq2SeqLM"),
}
SEQ2SEQ = ("bart", "mbart", "pegasus", "marian")


def step(model, inputs):
    """One step of gradient descent on whatever the model puts out."""
    model.train()
    found = [value for value in model(**inputs).values() if isinstance(value, torch.Tensor)]
    sum(value.square().mean() for value in found).backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()


@pytest.mark.parametrize(("model_type", "auto_class"), pairs())
def test_saved_and_loaded_again_it_computes_the_same(model_type, auto_class, tmp_path):
    tokenizer = tiny_tokenizer(model_type)
    model = tiny(model_type, auto_class, tokenizer)
    inputs = tiny_batch(model, auto_class, tokenizer)
    before = outputs(model, inputs)
    step(model, inputs)
    trained = outputs(model, inputs)
    assert not all(map(torch.equal, before, trained))
    models.save(model, tokenizer, tmp_path)

    again = models.load_tokenizer(str(tmp_path))
    loaded = models.load_finetuned(str(tmp_path), None, auto_class, again, 32)
    assert loaded.fresh == ()
    assert type(loaded.model) is type(model)
    repeated = tiny_batch(loaded.model, auto_class, again)
    assert {key: value.tolist() for key, value in repeated.items()} == {
        key: value.tolist() for key, value in inputs.items()
    }
    assert all(map(torch.equal, trained, outputs(loaded.model, repeated)))
    learnt = {name for name, value in model.named_parameters() if value.requires_grad}
    assert learnt == {n for n, value in loaded.model.named_parameters() if value.requires_grad}


@pytest.mark.parametrize(
    ("model_type", "auto_class"), [pair for pair in pairs() if pair[1] != ALONE]
)
def test_a_headless_checkpoint_gets_a_new_head_and_is_not_scored_without(
    model_type, auto_class, tmp_path
):
    tokenizer = tiny_tokenizer(model_type)
    base = tiny(model_type, ALONE, tokenizer)
    models.save(base, tokenizer, tmp_path)
    section = ModelSection(name_or_path=str(tmp_path))
    loaded = models.load(section, auto_class, {}, tokenizer, 32)
    whole = loaded.model.state_dict()
    theirs = {name.partition(".")[2]: value for name, value in whole.items()} | whole
    weights = dict(base.named_parameters())
    assert all(torch.equal(theirs[name], weights[name]) for name in weights if name in theirs)
    # Some heads sit on one side of an encoder-decoder, and have not the other.
    sides = {name.partition(".")[0] for name in weights if name not in theirs} - {"shared"}
    allowed = [{"encoder"}, {"decoder"}] if base.config.is_encoder_decoder else []
    assert sides in [set(), *allowed]
    fresh = [
        name for name in loaded.fresh if name.rpartition(".")[0].rpartition(".")[2] != "pooler"
    ]
    if (model_type, auto_class) in WITHOUT_HEAD:
        assert fresh == []
        assert models.load_finetuned(str(tmp_path), None, auto_class, tokenizer, 32).fresh == ()
        return
    assert fresh
    with pytest.raises(UserError, match="has no trained head for this task"):
        models.load_finetuned(str(tmp_path), None, auto_class, tokenizer, 32)


@pytest.mark.parametrize("auto_class", AUTO_CLASSES)
def test_what_transformers_has_is_covered(auto_class):
    import transformers

    known = getattr(transformers, auto_class)._model_mapping
    covered = {model_type for model_type, _ in pairs(auto_class)}
    assert covered == {
        model_type
        for model_type in MODEL_TYPES
        if CONFIG_MAPPING[model_type] in known and (model_type, auto_class) not in REFUSED
    }
    assert covered


def test_xlnet_is_no_causal_model():
    section = tiny_section("xlnet")
    message = "^model.config is a xlnet model, which reads the tokens that it would have to predict"
    with pytest.raises(UserError, match=message):
        models.load(section, "AutoModelForCausalLM", {}, tiny_tokenizer("xlnet"), 32)


@pytest.mark.parametrize(("model_type", "auto_class"), pairs("AutoModelForCausalLM"))
def test_a_causal_model_does_not_see_what_it_predicts(model_type, auto_class):
    tokenizer = tiny_tokenizer(model_type)
    model = tiny(model_type, auto_class, tokenizer)
    ids = tokenizer("A dog runs across the wet grass", return_tensors="pt")["input_ids"]
    other = ids.clone()
    other[0, -1] = ids[0, 1]
    [first, *_], [second, *_] = (outputs(model, {"input_ids": one}) for one in (ids, other))
    assert torch.equal(first[0, :-1], second[0, :-1])
    assert not torch.equal(first[0, -1], second[0, -1])


def test_the_first_of_several_auto_classes_is_taken():
    classes = ["AutoModelForSeq2SeqLM", "AutoModelForCausalLM"]
    for model_type, name in (("gpt2", "GPT2LMHeadModel"), ("bart", "BartForConditionalGeneration")):
        tokenizer = tiny_tokenizer(model_type)
        loaded = models.load(tiny_section(model_type), classes, {}, tokenizer, 32)
        assert type(loaded.model).__name__ == name


def test_the_decoder_of_a_pretrained_encoder_decoder_keeps_its_embeddings(tmp_path):
    for model_type in ("bart", "marian"):
        tokenizer = tiny_tokenizer(model_type)
        whole = tiny(model_type, "AutoModelForSeq2SeqLM", tokenizer)
        models.save(whole, tokenizer, tmp_path / model_type)
        section = ModelSection(name_or_path=str(tmp_path / model_type))
        loaded = models.load(section, "AutoModelForCausalLM", {}, tokenizer, 32)
        assert loaded.fresh == ()
        table = loaded.model.get_input_embeddings().weight
        assert torch.equal(table, whole.get_input_embeddings().weight)
        assert loaded.model.get_output_embeddings().weight is table


def test_a_llama_that_answers_questions_keeps_its_weights_and_is_saved_as_its_class_names_them(
    tmp_path,
):
    tokenizer = tiny_tokenizer("llama")
    causal = tiny("llama", "AutoModelForCausalLM", tokenizer)
    models.save(causal, tokenizer, tmp_path / "causal")
    section = ModelSection(name_or_path=str(tmp_path / "causal"))
    loaded = models.load(section, "AutoModelForQuestionAnswering", {}, tokenizer, 32)
    assert loaded.fresh == ("qa_outputs.bias", "qa_outputs.weight")
    models.save(loaded.model, tokenizer, tmp_path / "answers")
    with safe_open(tmp_path / "answers" / "model.safetensors", "pt") as file:
        assert set(file.keys()) == set(loaded.model.state_dict())
    plain, report = AutoModelForQuestionAnswering.from_pretrained(
        tmp_path / "answers", output_loading_info=True
    )
    assert not report["missing_keys"]
    inputs = tiny_batch(plain, "AutoModelForQuestionAnswering", tokenizer)
    assert all(map(torch.equal, outputs(plain, inputs), outputs(loaded.model, inputs)))


@pytest.mark.parametrize("model_type", ["marian", "pegasus"])
def test_computed_positions_are_neither_new_nor_trained(model_type, tmp_path):
    tokenizer = tiny_tokenizer(model_type)
    model = tiny(model_type, "AutoModelForSeq2SeqLM", tokenizer)
    models.save(model, tokenizer, tmp_path)
    for auto_class in ("AutoModel", "AutoModelForSeq2SeqLM"):
        loaded = models.load_finetuned(str(tmp_path), None, auto_class, tokenizer, 32)
        for side in ("encoder", "decoder"):
            table, expected = (
                getattr(one.base_model, side).embed_positions.weight
                for one in (loaded.model, model)
            )
            assert torch.equal(table, expected)
            assert not table.requires_grad


def test_a_model_of_other_weights_is_refused_without_a_head_too(tmp_path):
    tokenizer = tiny_tokenizer("t5")
    models.save(tiny("t5", "AutoModelForSeq2SeqLM", tokenizer), tokenizer, tmp_path)
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace('"d_model": 32', '"d_model": 48'))
    for auto_class in ("AutoModelForSeq2SeqLM", "AutoModel"):
        with pytest.raises(UserError, match="are not those of a t5 model"):
            models.load(
                ModelSection(name_or_path=str(tmp_path)), auto_class, {}, tokenizer, max_length=32
            )


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_every_position_can_be_used_and_none_beyond(model_type):
    tokenizer = tiny_tokenizer(model_type)
    limited = model_type not in ("xlnet", "deberta-v2", "t5", "mt5")
    model = tiny(model_type, ALONE, tokenizer, max_length=32)
    longest = longest_input(model)
    if model_type == "roberta":  # counts from its padding token, which is 0 here
        assert longest == POSITIONS + 1
    else:
        assert longest == (POSITIONS if limited else None)
    ids = torch.full((1, longest or 100), 7)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if model.config.is_encoder_decoder:
        assert longest_target(model) == longest
        inputs["decoder_input_ids"] = ids
    assert outputs(model, inputs)[0].shape[:2] == ids.shape
    models.check_positions(model, longest)
    if longest is not None:
        with pytest.raises(UserError, match=f"task.max_length is {longest + 1}, .* {longest} "):
            models.check_positions(model, longest + 1)


def test_an_encoder_decoder_has_positions_of_their_own_for_targets():
    section, tokenizer = tiny_section("bart"), tiny_tokenizer("bart")
    models.load(section, "AutoModelForSeq2SeqLM", {}, tokenizer, 64, max_target_length=64)
    with pytest.raises(UserError) as caught:
        models.load(section, "AutoModelForSeq2SeqLM", {}, tokenizer, 64, max_target_length=65)
    assert str(caught.value) == (
        "task.max_target_length is 65, and this bart model has positions for 64 tokens; set "
        "task.max_target_length to 64 or less"
    )


def test_a_decoder_writes_behind_what_it_reads():
    section, tokenizer = tiny_section("gpt2"), tiny_tokenizer("gpt2")
    models.load(section, "AutoModelForCausalLM", {}, tokenizer, 40, max_target_length=24)
    with pytest.raises(UserError, match="has positions for 64 tokens together"):
        models.load(section, "AutoModelForCausalLM", {}, tokenizer, 40, max_target_length=25)


@pytest.mark.parametrize("model_type", ["gpt2", "llama", "xlnet"])
@pytest.mark.parametrize("side", ["left", "right", None])
def test_the_padding_side_can_be_told(model_type, side):
    tokenizer = tiny_tokenizer(model_type)
    tokenizer.padding_side = "left"
    auto_class = "AutoModelForSequenceClassification"
    models.load(tiny_section(model_type), auto_class, {}, tokenizer, 32, padding_side=side)
    assert tokenizer.padding_side == (side or ("left" if model_type == "xlnet" else "right"))


# transformers lets the decoders of encoder-decoders count padding on the left as positions.
PADDED_LEFT = [name for name, _ in pairs("AutoModelForCausalLM") if name not in SEQ2SEQ]


@pytest.mark.parametrize("model_type", PADDED_LEFT)
def test_padding_on_the_left_changes_nothing_that_is_generated(model_type):
    tokenizer, auto_class = tiny_tokenizer(model_type), "AutoModelForCausalLM"
    section = tiny_section(model_type)
    torch.manual_seed(0)
    model = models.load(section, auto_class, {}, tokenizer, 32, padding_side="left").model
    models.generation_settings(model, {"max_new_tokens": 6}).put_onto(model.eval())
    texts = ["A dog", "The café on the corner opens at seven"]

    def written(batch):
        rows = tokenizer(batch, padding=True, return_tensors="pt", return_token_type_ids=False)
        return model.generate(**rows)[:, rows["input_ids"].shape[1] :].tolist()

    assert written(texts) == written(texts[:1]) + written(texts[1:])
