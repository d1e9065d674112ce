"""LoRA and DoRA: what is trained, what is saved, and that a merged model says the same."""

from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import pytest
import torch
from conftest import topic_rows
from datasets import Dataset
from tiny_models import tiny
from transformers import AutoModelForSequenceClassification

from nlpbench import models
from nlpbench.config.errors import UserError
from nlpbench.config.sections import ModelSection
from nlpbench.config.strategies import Lora
from nlpbench.evaluation.predict import predict
from nlpbench.models.adapted import without_deprecations
from nlpbench.tasks import Bundle
from nlpbench.tasks.text_classification import TextClassification
from nlpbench.training import adapters

SMALL = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 32}
BARE = {
    "bert": {**SMALL, "intermediate_size": 64},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64},
    "roberta": {**SMALL, "intermediate_size": 64},
    "albert": {**SMALL, "embedding_size": 16, "intermediate_size": 64},
    "electra": {**SMALL, "embedding_size": 16, "intermediate_size": 64},
    "xlnet": {"d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 64},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64},
}
TARGETS = {"distilbert": ["q_lin", "v_lin"], "albert": ["query", "value"], "xlnet": "all-linear"}
LABELS = ["birds", "fruit", "tools"]
TASK = TextClassification(name="text-classification", max_length=24)


class Trained:
    """A pretrained model of two labels on disk, loaded for three, with adapters that learnt."""

    def __init__(self, folder, model_type, task=TASK, steps=3, name=None, **options):
        section = ModelSection(
            config={"model_type": model_type, **BARE[model_type]},
            tokenizer={"train": {"vocab_size": 300}},
        )
        torch.manual_seed(0)
        self.base, self.task = folder / "base", task
        tokenizer = models.tokenizer(section, [row["text"] for row in topic_rows(48)])
        pretrained = models.load(section, task.auto_classes, task.head(["a", "b"]), tokenizer, 24)
        models.save(pretrained.model, tokenizer, self.base)
        self.section = ModelSection(name_or_path=name or str(self.base))
        self.tokenizer = models.tokenizer(self.section)
        self.loaded = models.load(
            self.section, task.auto_classes, task.head(LABELS), self.tokenizer, 24
        )
        plain = self.loaded.model
        self.before = {key: p.detach().clone() for key, p in plain.named_parameters()}
        rows = topic_rows(12)
        numbers = np.array([LABELS.index(row["label"]) for row in rows])
        self.rows = task.encode(Dataset.from_list(rows), numbers, Bundle(self.tokenizer))
        self.untrained = self.logits(plain)
        options.setdefault("target_modules", TARGETS.get(model_type))
        self.lora = Lora(**options)
        self.model = adapters.add(plain, self.lora, self.loaded.fresh, self.loaded.directory)
        self.at_first = self.logits(self.model)
        self.learn(steps)
        self.trained = self.logits(self.model)

    def logits(self, model):
        return predict(
            model, self.rows, self.task.collate(Bundle(self.tokenizer)), batch_size=4
        ).values

    def learn(self, steps):
        optimizer = torch.optim.AdamW(
            [p for p in self.model.parameters() if p.requires_grad], lr=0.05
        )
        batch = dict(self.task.collate(Bundle(self.tokenizer))(self.rows.to_list()))
        labels = batch.pop("labels")
        self.model.train()
        for _ in range(steps):
            self.task.loss(self.model(**batch).logits, labels).backward()
            optimizer.step()
            optimizer.zero_grad()

    def save(self, directory):
        directory.mkdir()
        finished = adapters.finish(self.model, self.lora)
        models.save(finished, self.tokenizer, directory, self.section)
        return directory

    def load(self, directory):
        tokenizer = models.load_tokenizer(str(directory))
        return models.load_finetuned(str(directory), None, self.task.auto_classes, tokenizer, 24)


@pytest.mark.parametrize("use_dora", [False, True], ids=["lora", "dora"])
@pytest.mark.parametrize("model_type", BARE)
def test_an_adapter_is_saved_alone_and_loaded_again(tmp_path, model_type, use_dora):
    trained = Trained(tmp_path, model_type, use_dora=use_dora)
    assert trained.at_first == pytest.approx(trained.untrained, abs=1e-6)
    assert np.abs(trained.trained - trained.untrained).max() > 1e-2
    place = trained.save(tmp_path / "adapter")
    names = {file.name for file in place.iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"} <= names
    assert not {"model.safetensors", "README.md", "config.json"} & names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pth"))]
    assert models.size_mb(place) < models.size_mb(trained.base)
    loaded = trained.load(place)
    assert trained.logits(loaded.model) == pytest.approx(trained.trained, abs=1e-6)
    assert TASK.labels_of(loaded.model) == LABELS
    assert type(loaded.model) is type(trained.loaded.model)
    assert loaded.directory == place


@pytest.mark.parametrize("use_dora", [False, True], ids=["lora", "dora"])
@pytest.mark.parametrize("model_type", BARE)
def test_a_merged_model_is_a_plain_one_that_says_the_same(tmp_path, model_type, use_dora):
    trained = Trained(tmp_path, model_type, use_dora=use_dora, merge=True)
    place = trained.save(tmp_path / "merged")
    assert not (place / "adapter_config.json").exists()
    plain, info = AutoModelForSequenceClassification.from_pretrained(
        place, output_loading_info=True
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert set(dict(plain.named_parameters())) == set(trained.before)
    assert trained.logits(plain) == pytest.approx(trained.trained, abs=1e-5)


def test_only_adapters_and_the_head_are_trained(tmp_path):
    trained = Trained(tmp_path, "bert", r=4)
    learning = {name for name, p in trained.model.named_parameters() if p.requires_grad}
    assert all("lora_" in name or ".classifier.modules_to_save." in name for name in learning)
    shapes = {p.shape for name, p in trained.model.named_parameters() if ".lora_A." in name}
    assert shapes == {torch.Size([4, 32])}
    after = dict(adapters.finish(trained.model, Lora(merge=True)).named_parameters())
    changed = {
        name for name, value in trained.before.items() if not torch.equal(after[name], value)
    }
    layer = "bert.encoder.layer.{}.attention.self.{}.weight"
    assert changed == {
        "classifier.weight",
        "classifier.bias",
        *(layer.format(number, kind) for number in (0, 1) for kind in ("query", "value")),
    }


def test_new_weights_of_the_encoder_are_trained_and_saved_too(tmp_path):
    """A checkpoint without a pooler: what is drawn for it now is not what is drawn later."""
    first = Trained(tmp_path, "bert", steps=0)
    bare = AutoModelForSequenceClassification.from_pretrained(first.base)
    state = {key: value for key, value in bare.state_dict().items() if "pooler" not in key}
    bare.save_pretrained(first.base, state_dict=state)
    tokenizer = models.tokenizer(first.section)
    loaded = models.load(first.section, TASK.auto_classes, TASK.head(LABELS), tokenizer, 24)
    assert "bert.pooler.dense.weight" in loaded.fresh
    first.model = adapters.add(loaded.model, first.lora, loaded.fresh, loaded.directory)
    first.learn(2)
    expected = first.logits(first.model)
    place = first.save(tmp_path / "adapter")
    torch.manual_seed(5)
    assert first.logits(first.load(place).model) == pytest.approx(expected, abs=1e-6)

    loaded = models.load(first.section, TASK.auto_classes, TASK.head(LABELS), tokenizer, 24)
    first.model = adapters.add(loaded.model, first.lora, (), loaded.directory)
    place = first.save(tmp_path / "without")
    with pytest.raises(UserError, match=r"has no trained head for this task \(bert\.pooler"):
        first.load(place)


def test_pooled_heads_take_adapters(tmp_path):
    task = TextClassification(name="text-classification", max_length=24, pooling="mean")
    trained = Trained(tmp_path, "bert", task=task)
    loaded = trained.load(trained.save(tmp_path / "adapter"))
    assert trained.logits(loaded.model) == pytest.approx(trained.trained, abs=1e-6)


def test_alpha_scales_and_rank_sizes_the_update(tmp_path):
    one = Trained(tmp_path / "one", "bert", r=2, alpha=8, dropout=0.25)
    settings = one.model.active_peft_config
    assert (settings.r, settings.lora_alpha, settings.lora_dropout) == (2, 8, 0.25)
    layer = one.model.get_submodule("base_model.model.bert.encoder.layer.0.attention.self.query")
    assert layer.scaling["default"] == 4
    assert layer.lora_dropout["default"].p == 0.25


def test_all_linear_layers_but_the_head(tmp_path):
    trained = Trained(tmp_path, "gpt2", target_modules="all-linear", steps=0)
    names = [name for name, _ in trained.model.named_parameters() if ".lora_A." in name]
    assert len(names) == 2 * 4
    assert not [name for name in names if "score" in name]


@pytest.mark.parametrize(
    ("model_type", "targets", "message"),
    [
        ("bert", ["querry"], "is called querry, .*did you mean query"),
        ("bert", ["query", "word_embeddings"], "is called word_embeddings"),
        ("bert", ["classifier"], "is called classifier, or it is in the head"),
        ("gpt2", ["query"], "is called query, .*allowed: c_attn, c_fc, c_proj"),
        ("distilbert", None, "no default for distilbert; write all-linear, or some of q_lin"),
        ("albert", None, "no default for albert; write all-linear, or some of"),
        ("xlnet", None, "no default for xlnet; write all-linear, or some of layer_1, layer_2"),
    ],
)
def test_layers_that_the_model_does_not_have(tmp_path, model_type, targets, message):
    base = Trained(tmp_path, model_type, steps=0)
    plain = models.load(base.section, TASK.auto_classes, TASK.head(LABELS), base.tokenizer, 24)
    with pytest.raises(UserError, match="training.lora.target_modules: .*" + message):
        adapters.add(plain.model, Lora(target_modules=targets))


def test_without_peft_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    trained = Trained(tmp_path, "bert", steps=0)
    place = trained.save(tmp_path / "adapter")
    monkeypatch.setattr("nlpbench.models.adapted.find_spec", lambda name: None)
    advice = r"pip install 'nlpbench\[peft\]'"
    with pytest.raises(UserError, match="training.lora needs the package peft; " + advice):
        adapters.add(trained.loaded.model, Lora())
    with pytest.raises(UserError, match="adapter needs the package peft; " + advice):
        trained.load(place)


def test_a_package_is_found_wherever_it_is_installed(tmp_path, monkeypatch):
    for number in (1, 2):
        (tmp_path / f"site{number}" / "kept_here").mkdir(parents=True)
        (tmp_path / f"site{number}" / "kept_here" / "__init__.py").touch()
    Trained(tmp_path, "bert", steps=0)
    shutil.move(tmp_path / "base", tmp_path / "site1" / "kept_here" / "model")
    monkeypatch.syspath_prepend(tmp_path / "site1")
    section = ModelSection(name_or_path="pkg://kept_here/model")
    trained = Trained(tmp_path / "two", "bert", name=section.name_or_path)
    place = trained.save(tmp_path / "adapter")
    assert trained.logits(trained.load(place).model) == pytest.approx(trained.trained, abs=1e-6)
    from peft import PeftModel

    settings = json.loads((place / "adapter_config.json").read_text())
    base = AutoModelForSequenceClassification.from_pretrained(
        settings["base_model_name_or_path"],
        id2label=dict(enumerate(LABELS)),
        ignore_mismatched_sizes=True,
    )
    with without_deprecations():
        other = PeftModel.from_pretrained(base, place)
    assert trained.logits(other) == pytest.approx(trained.trained, abs=1e-6)

    shutil.move(
        tmp_path / "site1" / "kept_here" / "model", tmp_path / "site2" / "kept_here" / "model"
    )
    monkeypatch.syspath_prepend(tmp_path / "site2")
    sys.modules.pop("kept_here", None)
    assert trained.logits(trained.load(place).model) == pytest.approx(trained.trained, abs=1e-6)


def test_a_base_that_moved_is_named_with_the_place_to_say_so(tmp_path):
    trained = Trained(tmp_path, "bert")
    place = trained.save(tmp_path / "adapter")
    shutil.move(tmp_path / "base", tmp_path / "elsewhere")
    with pytest.raises(UserError) as caught:
        trained.load(place)
    told = str(caught.value)
    assert f"adapters for the model {tmp_path / 'base'}, which cannot be used" in told
    assert f"write its new place as name into {place / 'base.json'}" in told
    base = json.loads((place / "base.json").read_text())
    (place / "base.json").write_text(json.dumps({**base, "name": str(tmp_path / "elsewhere")}))
    assert trained.logits(trained.load(place).model) == pytest.approx(trained.trained, abs=1e-6)


def test_a_base_that_changed_is_refused(tmp_path):
    trained = Trained(tmp_path, "bert")
    place = trained.save(tmp_path / "adapter")
    other = AutoModelForSequenceClassification.from_pretrained(tmp_path / "base")
    with torch.no_grad():
        other.bert.pooler.dense.bias += 1
    other.save_pretrained(tmp_path / "base")
    with pytest.raises(UserError, match="whose weights are no longer those it was trained on"):
        trained.load(place)
    base = json.loads((place / "base.json").read_text())
    (place / "base.json").write_text(json.dumps({**base, "weights": None}))
    assert np.abs(trained.logits(trained.load(place).model) - trained.trained).max() > 1e-3


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda place: (place / "base.json").unlink(), "do not say which model and labels"),
        (lambda place: (place / "base.json").write_text("{}"), "base.json is damaged"),
        (lambda place: (place / "adapter_model.safetensors").unlink(), "safetensors is missing"),
        (
            lambda place: (place / "adapter_model.safetensors").write_bytes(b"1234"),
            "damaged or cut short",
        ),
        (lambda place: (place / "adapter_config.json").write_text("{"), "config.json is damaged"),
    ],
)
def test_damaged_adapters(tmp_path, spoil, message):
    trained = Trained(tmp_path, "bert", steps=0)
    place = trained.save(tmp_path / "adapter")
    spoil(place)
    with pytest.raises(UserError, match=message):
        trained.load(place)


def test_an_adapter_with_a_part_missing(tmp_path):
    from safetensors.torch import load_file, save_file

    trained = Trained(tmp_path, "bert", steps=0)
    place = trained.save(tmp_path / "adapter")
    file = place / "adapter_model.safetensors"
    values = load_file(file)
    values.pop(next(name for name in values if "lora_A" in name))
    save_file(values, file)
    with pytest.raises(UserError, match="cannot be loaded: Found missing adapter keys"):
        trained.load(place)


def test_adapters_are_no_model_to_train(tmp_path):
    trained = Trained(tmp_path, "bert", steps=0)
    place = trained.save(tmp_path / "adapter")
    with pytest.raises(UserError, match="holds adapters, which cannot be trained further; train"):
        models.load(
            ModelSection(name_or_path=str(place)),
            TASK.auto_classes,
            TASK.head(LABELS),
            trained.tokenizer,
            24,
        )


@pytest.mark.parametrize(
    ("model_type", "auto_class"),
    [
        ("gpt2", "AutoModelForCausalLM"),
        ("llama", "AutoModelForCausalLM"),
        ("t5", "AutoModelForSeq2SeqLM"),
        ("bart", "AutoModelForSeq2SeqLM"),
        ("bert", "AutoModelForMaskedLM"),
    ],
)
def test_the_words_of_a_language_model_are_not_trained_as_a_whole(model_type, auto_class):
    model = tiny(model_type, auto_class)
    table = model.get_input_embeddings().weight
    tied = model.get_output_embeddings().weight is table
    adapted = adapters.add(model, Lora(target_modules="all-linear"))
    trained = {name for name, weight in adapted.named_parameters() if weight.requires_grad}
    assert trained
    assert all("lora_" in name for name in trained)
    assert (model.get_output_embeddings().weight is table) == tied


def test_a_fresh_head_over_the_embedding_table_is_trained_beside_it():
    model = tiny("bert", "AutoModelForMaskedLM")
    fresh = [name for name, _ in model.named_parameters() if name.startswith("cls.")]
    adapted = adapters.add(model, Lora(target_modules=["query"], merge=True), fresh)
    trained = {name for name, weight in adapted.named_parameters() if weight.requires_grad}
    whole = {name for name in trained if "lora_" not in name}
    assert any("transform.dense" in name for name in whole)
    assert not any("decoder" in name for name in whole)
    merged = adapters.finish(adapted, Lora(target_modules=["query"], merge=True))
    assert merged.get_output_embeddings().weight is merged.get_input_embeddings().weight
