"""Masked language modelling: which tokens are hidden, what is scored, and what a run leaves."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from conftest import TINY_BERT, topic_rows, write_jsonl
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import CONFIGURATIONS, SENTENCES, pairs, tiny, tiny_tokenizer

from nlpbench import models
from nlpbench.config.errors import UserError
from nlpbench.config.load import loads
from nlpbench.config.sections import ModelSection
from nlpbench.config.yaml12 import dump
from nlpbench.runs.evaluate import evaluate
from nlpbench.runs.finetune import finetune
from nlpbench.runs.preparation import prepare
from nlpbench.tasks import Bundle
from nlpbench.tasks.language.blocks import NO_WORD, packed, separate
from nlpbench.tasks.language.framing import Frame, Tokens, tokenize
from nlpbench.tasks.language.masking import masking_for
from nlpbench.tasks.masked_language_modeling import MaskedLanguageModeling

AUTO_CLASS = "AutoModelForMaskedLM"
MASKED = [model_type for model_type, _ in pairs(AUTO_CLASS)]
ENCODERS = [model_type for model_type in MASKED if model_type not in ("bart", "mbart")]
LONG = " ".join(SENTENCES)


def locate(index: int) -> str:
    return f"row {index + 1}"


def rows_of(*texts: str) -> Dataset:
    return Dataset.from_dict({"text": list(texts)})


def bundle_of(model_type: str, max_length: int = 32) -> Bundle:
    tokenizer = tiny_tokenizer(model_type)
    model = tiny(model_type, AUTO_CLASS, tokenizer, max_length=max_length).eval()
    return Bundle(tokenizer, model)


def visited(features: Dataset, epoch: int = 0) -> list[dict]:
    return [{**row, "visit": (1, epoch, place)} for place, row in enumerate(features.to_list())]


def masking_of(tokenizer, **options):
    values = {"probability": 0.15, "replaced": 0.8, "random": 0.1, **options}
    return masking_for(tokenizer, Frame.of(tokenizer).tokens, **values)


def likelihood(bundle: Bundle, ids: list[int], types: list[int] | None, place: int, target: int):
    inputs = {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids)).long()}
    if types is not None:
        inputs["token_type_ids"] = torch.tensor([types])
    with torch.no_grad():
        return float(bundle.model(**inputs).logits[0, place].log_softmax(-1)[target])


# Texts to tokens


@pytest.mark.parametrize("model_type", MASKED)
def test_a_text_is_framed_as_its_tokenizer_frames_it(model_type):
    tokenizer = bundle_of(model_type).tokenizer
    frame, [tokens] = Frame.of(tokenizer), tokenize(tokenizer, [SENTENCES[0]])
    whole = tokenizer(SENTENCES[0])
    assert frame.around(tokens.ids) == whole["input_ids"]
    assert frame.types(tokens.ids) == whole.get("token_type_ids")
    assert frame.special == len(whole["input_ids"]) - len(tokens.ids)
    both, [one, two] = Frame.of(tokenizer, parts=2), tokenize(tokenizer, SENTENCES[:2])
    pair = tokenizer(*SENTENCES[:2])
    assert both.around(one.ids, two.ids) == pair["input_ids"]
    assert both.types(one.ids, two.ids) == pair.get("token_type_ids")


@pytest.mark.parametrize("model_type", MASKED)
def test_the_tokens_of_a_word_have_its_number_in_tokenizers_of_every_kind(model_type):
    tokenizer = tiny_tokenizer(model_type)
    [tokens] = tokenize(tokenizer, ["unbelievable cafés reopen"])
    assert tokens.words == sorted(tokens.words)
    assert set(tokens.words) == {0, 1, 2}
    first = [token for token, word in zip(tokens.ids, tokens.words, strict=True) if word == 0]
    assert len(first) > 1
    assert tokenizer.decode(first).strip() == "unbelievable"


def test_words_are_parted_at_spaces_where_a_tokenizer_cuts_into_none():
    from tokenizers import Tokenizer
    from tokenizers.models import BPE
    from tokenizers.normalizers import Replace
    from tokenizers.processors import TemplateProcessing
    from transformers import TokenizersBackend

    vocabulary = {token: place for place, token in enumerate("[MASK] ▁ a b ▁a ▁ab".split())}
    backend = Tokenizer(BPE(vocabulary, [("▁", "a"), ("▁a", "b")]))
    backend.normalizer = Replace(" ", "▁")
    backend.post_processor = TemplateProcessing("$A", "$A $B", [])
    tokenizer = TokenizersBackend(tokenizer_object=backend, mask_token="[MASK]")
    [tokens] = tokenize(tokenizer, ["aba ab ba"])
    assert tokenizer("aba ab ba").word_ids() == [0] * len(tokens.ids)
    assert tokenizer.convert_ids_to_tokens(tokens.ids) == ["a", "b", "a", "▁ab", "▁", "b", "a"]
    assert tokens.words == [0, 0, 0, 1, 2, 2, 2]


documents = st.lists(st.lists(st.integers(10, 99), max_size=12), max_size=6)


def numbered(found: list[list[int]]):
    return [(row, Tokens(ids, [*range(len(ids))])) for row, ids in enumerate(found)]


@given(documents, st.integers(1, 9))
def test_packed_blocks_are_full_and_lose_nothing(found, size):
    blocks = list(packed(numbered(found), 7, size))
    told = [ids for ids in found if ids]
    joined = [token for block in blocks for token in block.ids]
    assert [token for token in joined if token != 7] == [token for ids in told for token in ids]
    assert all(len(block.ids) == size for block in blocks[:-1])
    assert all(block.ids[0] != 7 and len(block.ids) == len(block.words) for block in blocks)
    for block in blocks:
        words = [word for word in block.words if word != NO_WORD]
        assert len(set(words)) == len(words)
        assert [word == NO_WORD for word in block.words] == [token == 7 for token in block.ids]


def test_a_separator_stands_between_documents_and_a_block_knows_its_row():
    found = [[11, 12], [], [13, 14, 15], [16]]
    blocks = [(block.row, block.ids) for block in packed(numbered(found), 7, 4)]
    assert blocks == [(0, [11, 12, 7, 13]), (2, [14, 15, 7, 16])]
    assert [block.ids for block in packed(numbered(found), None, 4)] == [[11, 12, 13, 14], [15, 16]]


@given(documents, st.integers(1, 9))
def test_separate_blocks_hold_one_document_and_lose_nothing(found, size):
    blocks = list(separate(numbered(found), size))
    for row, ids in enumerate(found):
        own = [block.ids for block in blocks if block.row == row]
        assert [token for block in own for token in block] == ids
        assert all(len(block) <= size for block in own)


# Masks


@settings(deadline=None)
@given(st.data())
def test_what_is_chosen_is_never_special_and_never_nothing(data):
    tokenizer = tiny_tokenizer("bert")
    masking = masking_of(tokenizer)
    ids = np.array(data.draw(st.lists(st.integers(0, len(tokenizer) - 1), min_size=1, max_size=30)))
    words = np.array(data.draw(st.lists(st.integers(0, 5), min_size=len(ids), max_size=len(ids))))
    whole = data.draw(st.booleans())
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    chosen = masking.choose(ids, words if whole else None, random)
    special = np.isin(ids, [tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id,
                            tokenizer.mask_token_id])  # fmt: skip
    assert not (chosen & special).any()
    assert chosen.any() == (~special).any()
    if whole:
        for word in set(words[chosen].tolist()):
            assert chosen[(words == word) & ~special].all()
    masked = masking.hide(ids, chosen, random)
    assert (masked[~chosen] == ids[~chosen]).all()


def test_the_unknown_token_is_a_token_of_a_text():
    tokenizer = tiny_tokenizer("bert")
    masking = masking_of(tokenizer)
    assert masking.plain[tokenizer.unk_token_id]
    assert tokenizer.unk_token_id not in masking.entries


@pytest.mark.parametrize("whole", [False, True])
def test_shares_are_those_that_were_asked_for(whole):
    tokenizer = tiny_tokenizer("bert")
    masking = masking_of(tokenizer, probability=0.2, replaced=0.5, random=0.3)
    ids = np.full(200_000, 50)
    words = np.arange(200_000) // 2 if whole else None
    random = np.random.default_rng(1)
    chosen = masking.choose(ids, words, random)
    masked = masking.hide(ids, chosen, random)[chosen]
    assert chosen.mean() == pytest.approx(0.2, abs=0.005)
    assert (masked == masking.mask).mean() == pytest.approx(0.5, abs=0.01)
    changed = masked[(masked != masking.mask) & (masked != 50)]
    assert len(changed) / len(masked) == pytest.approx(0.3, abs=0.01)
    assert len(np.unique(changed)) == len(masking.entries) - 1
    assert masking.plain[changed].all()


def test_masks_follow_from_the_visit_and_differ_from_epoch_to_epoch():
    bundle = bundle_of("bert")
    task = MaskedLanguageModeling(max_length=32)
    features = task.encode(rows_of(*SENTENCES), None, bundle, training=True)
    collate = task.collate(bundle, training=True)
    one, again, later = (collate(visited(features, epoch)) for epoch in (0, 0, 1))
    assert torch.equal(one["labels"], again["labels"])
    assert torch.equal(one["input_ids"], again["input_ids"])
    assert not torch.equal(one["labels"], later["labels"])
    assert ((one["labels"] != -100).sum(1) > 0).all()
    padding = one["attention_mask"] == 0
    assert (one["labels"][padding] == -100).all()
    assert torch.equal(one["chosen"], one["labels"] != -100)


def test_whole_words_are_hidden_whole_in_packed_blocks():
    bundle = bundle_of("roberta")
    task = MaskedLanguageModeling(max_length=16, whole_word_mask=True, mlm_probability=0.4)
    features = task.encode(rows_of(*SENTENCES), None, bundle, training=True)
    batch = task.collate(bundle, training=True)(visited(features))
    split = 0
    for row, labels in zip(features.to_list(), batch["labels"].tolist(), strict=True):
        words = np.array(row["words"])
        hidden = np.array(labels[: len(words)]) != -100
        for word in set(words.tolist()) - {NO_WORD}:
            assert len(set(hidden[words == word].tolist())) == 1
            split += (words == word).sum() > 1
    assert split > 10


# Training


@pytest.mark.parametrize("model_type", ENCODERS)
@pytest.mark.parametrize("pack", [True, False])
def test_loss_and_gradients_are_those_of_transformers(model_type, pack):
    bundle = bundle_of(model_type)
    task = MaskedLanguageModeling(max_length=24, pack=pack)
    features = task.encode(rows_of(*SENTENCES[:8]), None, bundle, training=True)
    batch = dict(task.collate(bundle, training=True)(visited(features)))
    labels = batch.pop("labels")
    outputs = task.forward(bundle.model, batch)
    [logits], [targets] = task.flat_logits(outputs, labels), task.flat_labels(labels)
    assert len(logits) == len(targets) < labels.numel()
    loss = task.loss(logits, targets) / len(targets)
    loss.backward()
    ours = {name: weight.grad for name, weight in bundle.model.named_parameters()}
    bundle.model.zero_grad()
    del batch["chosen"]
    theirs = bundle.model(**batch, labels=labels).loss
    theirs.backward()
    torch.testing.assert_close(loss, theirs)
    for name, weight in bundle.model.named_parameters():
        if weight.grad is not None:
            torch.testing.assert_close(ours[name], weight.grad, rtol=1e-3, atol=1e-6)


def test_a_model_whose_last_layer_cannot_be_found_makes_all_logits():
    bundle = bundle_of("bert")
    task = MaskedLanguageModeling(max_length=24)
    features = task.encode(rows_of(*SENTENCES[:8]), None, bundle, training=True)
    batch = dict(task.collate(bundle, training=True)(visited(features)))
    labels = batch.pop("labels")
    [few] = task.flat_logits(task.forward(bundle.model, batch), labels)
    bundle.model.get_output_embeddings = lambda: None
    outputs = task.forward(bundle.model, batch)
    assert outputs.logits.shape[:2] == labels.shape
    torch.testing.assert_close(task.flat_logits(outputs, labels)[0], few)


def test_a_batch_that_is_computed_twice_keeps_its_halves():
    bundle = bundle_of("bert")
    task = MaskedLanguageModeling(max_length=24)
    features = task.encode(rows_of(*SENTENCES[:8]), None, bundle, training=True)
    batch = dict(task.collate(bundle, training=True)(visited(features)))
    labels = batch.pop("labels")
    twice = {name: torch.cat([value, value]) for name, value in batch.items()}
    outputs = task.forward(bundle.model, twice)
    [logits] = task.flat_logits(outputs, torch.cat([labels, labels]))
    one, two = logits.chunk(2)
    torch.testing.assert_close(one, two)
    assert len(one) == len(task.flat_labels(labels)[0])


# Scores


@pytest.mark.parametrize("stride", [0, 3, None])
def test_windows_score_every_token_of_a_document_once(stride):
    bundle = bundle_of("bert")
    task = MaskedLanguageModeling(max_length=16, stride=stride)
    texts = ["", SENTENCES[0], LONG, "hi"]
    features = task.encode(rows_of(*texts), np.zeros((4, 2)), bundle)
    for row, text in enumerate(texts):
        own = [feature for feature in features.to_list() if feature["example"] == row]
        said = [
            token
            for feature in own
            for token, scored in zip(feature["input_ids"], feature["scored"], strict=True)
            if scored
        ]
        assert said == bundle.tokenizer(text, add_special_tokens=False)["input_ids"]
        assert all(2 in feature["scored"] for feature in own)
        assert all(feature["length"] <= 16 for feature in own)


def test_fixed_masks_depend_on_the_text_and_the_seed_alone():
    bundle = bundle_of("bert")

    def masks(task, *texts):
        features = task.encode(rows_of(*texts), np.zeros((len(texts), 2)), bundle).to_list()
        return {row["example"]: (row["masked_ids"], row["scored"]) for row in features}

    task = MaskedLanguageModeling(max_length=64)
    here, there = masks(task, *SENTENCES[:3]), masks(task, SENTENCES[9], SENTENCES[2])
    assert here[2] == there[1]
    assert masks(task.model_copy(update={"mask_seed": 1}), *SENTENCES[:3]) != here


@pytest.mark.parametrize("model_type", ["bert", "roberta", "modernbert", "deberta-v2", "bart"])
def test_pseudo_log_likelihoods_are_those_of_each_token_masked_by_itself(model_type):
    bundle = bundle_of(model_type)
    task = MaskedLanguageModeling(max_length=24)
    texts = [SENTENCES[0], "", " ".join(SENTENCES[:3])]
    rows = rows_of(*texts)
    features = task.encode(rows, None, bundle)
    assert "masked_ids" not in features.column_names
    with torch.inference_mode():
        found = task.infer(bundle, task.collate(bundle)(features.to_list()))
    assert found.losses is None
    predictions = task.decode(found.values, features, rows, bundle)
    expected = np.zeros((3, 2))
    for feature in features.to_list():
        types = feature.get("token_type_ids")
        for place, scored in enumerate(feature["scored"]):
            if scored:
                ids = list(feature["input_ids"])
                target, ids[place] = ids[place], bundle.tokenizer.mask_token_id
                expected[feature["example"]] += likelihood(bundle, ids, types, place, target), 1
    np.testing.assert_allclose(predictions.answers, expected, rtol=1e-4)
    assert predictions.answers[1].tolist() == [0, 0]
    assert predictions.signature == "score:pseudo-perplexity|max_length:24|stride:6"


def test_few_copies_at_a_time_give_the_same(monkeypatch):
    from nlpbench.tasks.language import hidden_likelihood as module

    bundle = bundle_of("bert")
    task = MaskedLanguageModeling(max_length=32)
    batch = task.collate(bundle)(task.encode(rows_of(*SENTENCES[:6]), None, bundle).to_list())
    with torch.inference_mode():
        together = task.infer(bundle, batch).values
        monkeypatch.setattr(module, "TOKENS", {"cpu": 1})
        one_by_one = task.infer(bundle, batch).values
    np.testing.assert_allclose(together, one_by_one, rtol=1e-5)


@pytest.mark.parametrize("score", ["masked", "pseudo-perplexity"])
def test_the_validation_loss_is_that_of_the_fixed_masks(score):
    bundle = bundle_of("bert")
    task = MaskedLanguageModeling(max_length=24, score=score)
    rows = rows_of(*SENTENCES[:4])
    features = task.encode(rows, np.zeros((4, 2)), bundle)
    batch = task.collate(bundle)(features.to_list())
    with torch.inference_mode():
        found = task.infer(bundle, batch)
        loss = task.infer(bundle, batch, answers=False)
    assert loss.values is None
    expected = np.zeros(2)
    for feature in features.to_list():
        types = feature.get("token_type_ids")
        for place, scored in enumerate(feature["scored"]):
            if scored == 2:
                target = feature["input_ids"][place]
                expected += likelihood(bundle, feature["masked_ids"], types, place, target), 1
    for inferred in (found, loss):
        np.testing.assert_allclose(inferred.losses, [-expected[0]], rtol=1e-5)
        assert inferred.targets.tolist() == [expected[1]]
    answers = task.decode(found.values, features, rows, bundle).answers.sum(axis=0)
    if score == "masked":
        np.testing.assert_allclose(answers, expected, rtol=1e-5)
    else:
        assert answers[1] == sum(scored > 0 for row in features["scored"] for scored in row)


def test_masks_to_score_by_are_there_without_references_too():
    bundle = bundle_of("bert")
    task = MaskedLanguageModeling(max_length=24, score="masked")
    rows = rows_of(*SENTENCES[:4])
    validated = task.encode(rows, np.zeros((4, 2)), bundle).to_list()
    assert task.encode(rows, None, bundle).to_list() == validated
    assert "mlm_probability:0.15" in task._signature
    assert "mask_seed:0" in task._signature


def test_references_are_words_and_bytes_of_the_raw_texts():
    task = MaskedLanguageModeling()
    found = task.references(rows_of("Où  est\nle café ?", ""), [], locate)
    assert found.tolist() == [[5, len("Où  est\nle café ?".encode())], [0, 0]]


# What cannot be


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"mask_replace_prob": 0.8, "random_replace_prob": 0.3}, "make 1.1 together"),
        ({"stride": 128}, "must be less than max_length, 128 (got 128)"),
        ({"mlm_probability": 0.0}, "mlm_probability"),
        ({"score": "perplexity"}, "score"),
    ],
)
def test_options_that_do_not_fit_are_told(options, told):
    values = {
        "model": "somewhere/else",
        "data": "sample:field-guide",
        "task": {"name": "masked-language-modeling", **options},
    }
    with pytest.raises(UserError) as error:
        loads(dump(values))
    assert told in str(error.value)


def test_a_row_without_text_is_told_with_its_place():
    with pytest.raises(UserError, match=r"row 2: the column text is empty \(null\)"):
        MaskedLanguageModeling().texts(Dataset.from_dict({"text": ["a", None]}), locate)
    with pytest.raises(UserError, match=r"row 1: the column text holds no text \(got 3\)"):
        MaskedLanguageModeling().texts(Dataset.from_dict({"text": [3]}), locate)


def test_rows_that_are_all_empty_are_told():
    for training in (True, False):
        with pytest.raises(UserError, match="there is nothing to predict"):
            MaskedLanguageModeling().encode(
                rows_of("", " "), None, bundle_of("bert"), training=training
            )


def test_a_max_length_without_room_is_told():
    task = MaskedLanguageModeling(max_length=8, stride=6)
    with pytest.raises(UserError, match="2 tokens are special ones and windows share 6"):
        task.encode(rows_of("a"), None, bundle_of("bert"))


def test_a_tokenizer_without_a_mask_token_is_told():
    bundle = Bundle(tiny_tokenizer("gpt2"))
    with pytest.raises(UserError, match="GPT2Tokenizer has no mask token"):
        MaskedLanguageModeling().encode(rows_of("a"), None, bundle)


@pytest.mark.parametrize("model_type", ["gpt2", "xlnet", "t5"])
def test_an_architecture_without_such_a_head_is_refused(model_type):
    with pytest.raises(UserError, match=f"{model_type} model, which transformers cannot load as"):
        tiny(model_type, AUTO_CLASS)


# Whole runs


def mlm_values(model_type: str = "bert", **task) -> dict:
    return {
        "seed": 1,
        "model": {
            "config": {"model_type": model_type, **CONFIGURATIONS[model_type]},
            "tokenizer": {"train": {"vocab_size": 300}},
        },
        "task": {"name": "masked-language-modeling", "max_length": 32, **task},
        "training": {
            "num_train_epochs": 2,
            "learning_rate": 0.005,
            "effective_batch_size": 4,
            "precision": "fp32",
        },
        "evaluation": {"efficiency": False, "resamples": 100, "batch_size": 5},
    }


def test_a_run_gives_the_pseudo_perplexity_that_evaluate_finds_again(topics, tmp_path):
    config = loads(dump({**mlm_values(), "data": {"source": str(topics)}}))
    [record] = finetune(config, tmp_path / "run")
    lines = (tmp_path / "run" / "predictions.jsonl").read_text().splitlines()
    pairs_of = [(row["prediction"], row["reference"]) for row in map(json.loads, lines)]
    assert len(pairs_of) == 18
    total, tokens = np.sum([prediction for prediction, _ in pairs_of], axis=0)
    words, size = np.sum([reference for _, reference in pairs_of], axis=0)
    assert record.scores["perplexity"].value == pytest.approx(math.exp(-total / tokens))
    assert record.scores["word_perplexity"].value == pytest.approx(math.exp(-total / words))
    assert record.scores["bits_per_byte"].value == pytest.approx(-total / size / math.log(2))
    assert "score:pseudo-perplexity" in record.scores["perplexity"].signature
    assert record.training["watched"] == "loss"
    [again] = evaluate(config, tmp_path / "again", [str(tmp_path / "run")])
    assert again.scores == record.scores
    assert (tmp_path / "again" / "predictions.jsonl").read_text().splitlines() == lines
    history = [
        json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()
    ]
    losses = [row["eval_loss"] for row in history if "eval_loss" in row]
    assert losses[-1] < losses[0]
    cheap = loads(dump({**mlm_values(score="masked"), "data": {"source": str(topics)}}))
    [quick] = evaluate(cheap, tmp_path / "quick", [str(tmp_path / "run")])
    assert "score:masked" in quick.scores["perplexity"].signature
    assert quick.scores["perplexity"].value != record.scores["perplexity"].value


def test_a_checkpoint_can_be_chosen_by_perplexity_and_a_run_repeats_itself(topics, tmp_path):
    values = {**mlm_values(score="masked", whole_word_mask=True), "data": {"source": str(topics)}}
    values["training"]["metric_for_best_model"] = "perplexity"
    records = [finetune(loads(dump(values)), tmp_path / name)[0] for name in ("one", "two")]
    assert records[0].training["watched"] == "perplexity"
    assert records[0].scores == records[1].scores
    assert records[0].model["weights"] == records[1].model["weights"]


@pytest.mark.parametrize("model_type", ["bert", "distilbert", "roberta"])
def test_a_classifier_goes_on_from_an_adapted_model_with_a_new_head_alone(
    model_type, topics, tmp_path
):
    """Adaptation to a domain: the encoder of the run is that of the classifier, bit for bit."""
    config = loads(dump({**mlm_values(model_type), "data": {"source": str(topics)}}))
    finetune(config, tmp_path / "adapted")
    values = {
        "model": {"name_or_path": str(tmp_path / "adapted")},
        "data": {"source": str(topics)},
        "task": {"name": "text-classification", "max_length": 32},
        "training": {"num_train_epochs": 1, "precision": "fp32"},
        "evaluation": {"efficiency": False, "resamples": 100},
    }
    classifier = loads(dump(values))
    loaded = prepare(classifier).loaded
    heads = ("classifier.", "pre_classifier.", "bert.pooler.")
    assert loaded.fresh
    assert all(name.startswith(heads) for name in loaded.fresh)
    tokenizer = models.load_tokenizer(str(tmp_path / "adapted"))
    section = ModelSection(name_or_path=str(tmp_path / "adapted"))
    adapted = models.load(section, AUTO_CLASS, {}, tokenizer, 32)
    assert adapted.fresh == ()
    states, prefix = adapted.model.base_model.state_dict(), loaded.model.base_model_prefix
    for name, weight in loaded.model.base_model.state_dict().items():
        if f"{prefix}.{name}" not in loaded.fresh:
            assert torch.equal(weight, states[name])
    [record] = finetune(classifier, tmp_path / "classifier")
    assert record.scores["accuracy"].value >= 0


def test_a_checkpoint_without_such_a_head_gets_one_and_cannot_be_scored_before(topics, tmp_path):
    tokenizer = tiny_tokenizer("bert")
    bare = tiny("bert", "AutoModel", tokenizer)
    models.save(bare, tokenizer, tmp_path / "bare", ModelSection(name_or_path="bare"))
    values = {**mlm_values(), "model": {"name_or_path": str(tmp_path / "bare")}}
    config = loads(dump({**values, "data": {"source": str(topics)}}))
    with pytest.raises(UserError, match="has no trained head for this task"):
        evaluate(config, tmp_path / "evaluated", [str(tmp_path / "bare")])
    loaded = prepare(config).loaded
    assert loaded.fresh
    assert all(name.startswith("cls.predictions.") for name in loaded.fresh)


def test_long_documents_are_scored_whole_in_a_run(tmp_path):
    rows = [
        {"text": " ".join(row["text"] for row in topic_rows(12, start))} for start in (0, 50, 90)
    ]
    for split in ("train", "validation", "test"):
        write_jsonl(tmp_path / "data" / f"{split}.jsonl", rows)
    values = mlm_values(max_length=16)
    values["model"]["config"] = {**TINY_BERT}
    config = loads(dump({**values, "data": {"source": str(tmp_path / "data")}}))
    [record] = finetune(config, tmp_path / "run")
    assert record.data["test"].truncated_share == 0
    tokenizer = models.load_tokenizer(str(tmp_path / "run" / "model"))
    counts = [len(tokenizer(row["text"], add_special_tokens=False)["input_ids"]) for row in rows]
    lines = (tmp_path / "run" / "predictions.jsonl").read_text().splitlines()
    assert [json.loads(line)["prediction"][1] for line in lines] == counts
