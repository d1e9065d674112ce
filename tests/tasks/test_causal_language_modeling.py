"""The task causal-language-modeling: blocks, windows, log-likelihoods and what the model writes."""

from __future__ import annotations

import copy
import json
import math
from functools import partial

import numpy as np
import pytest
import torch
import transformers
from conftest import write_jsonl
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tiny_models import POSITIONS, SENTENCES, pairs, tiny, tiny_tokenizer

from nlpbench.config.errors import UserError
from nlpbench.config.load import loads
from nlpbench.config.yaml12 import dump
from nlpbench.evaluation.predict import predict
from nlpbench.models.positions import longest_input
from nlpbench.runs.evaluate import evaluate
from nlpbench.runs.finetune import finetune
from nlpbench.tasks import Bundle
from nlpbench.tasks.causal_language_modeling import CausalLanguageModeling
from nlpbench.tasks.language.likelihood import log_likelihoods, pieces
from nlpbench.tasks.language.packing import Borders, packed, separate
from nlpbench.tasks.language.windows import most_tokens, rolling, strided

# Their loss says each token after itself: transformers leaves moving the labels to the caller.
UNMOVED = ("bart", "mbart", "pegasus", "marian")
CAUSAL = [model_type for model_type, _ in pairs("AutoModelForCausalLM")]
DOCUMENTS = [" ".join(SENTENCES[:6]), "Two children laugh.", "", " ".join(SENTENCES[6:16])]


def task(**options):
    return CausalLanguageModeling(name="causal-language-modeling", **options)


def locate(index):
    return f"train.jsonl, row {index + 1}"


def data(texts=DOCUMENTS, column="text"):
    return Dataset.from_dict({column: texts})


def bundle(model_type="gpt2", **options):
    tokenizer = tiny_tokenizer(model_type)
    model = tiny(model_type, "AutoModelForCausalLM", tokenizer, **options).eval()
    return Bundle(tokenizer, model)


def scored(this, pack, texts=DOCUMENTS, batch_size=4):
    """(n, 2) log-likelihoods and tokens, by the path of every evaluation."""
    rows = data(texts)
    features = this.encode(rows, None, pack)
    outputs = predict(
        pack.model,
        features,
        this.collate(pack),
        partial(this.infer, pack),
        batch_size=batch_size,
    )
    return this.decode(outputs.values, features, rows, pack), outputs


def log_probability(model, context, token):
    """Of one token after its context, which is computed alone."""
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([context])).logits[0, -1]
    return float(logits.double().log_softmax(-1)[token])


# The data


def test_references_are_words_and_bytes():
    found = task().references(data(["zwei  Wörter\n", ""]), [], locate)
    assert found.tolist() == [[2, 14], [0, 0]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["a", None], r"train.jsonl, row 2: the column text is empty \(null\)"),
        ([1, 2], r"train.jsonl, row 1: the column text holds no text \(got 1\)"),
    ],
)
def test_rows_without_text_are_told(values, message):
    with pytest.raises(UserError, match=message):
        task().references(data(values), [], locate)
    with pytest.raises(UserError, match=message):
        task().texts(data(values), locate)


@pytest.mark.parametrize("training", [True, False])
def test_data_without_tokens_are_told(training):
    with pytest.raises(UserError, match="has no two tokens of text in all of 2 rows"):
        task(block_size=8).encode(data(["", ""]), None, bundle(), training=training)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 4, "windows": "rolling"}, "stride needs windows: strided"),
        ({"stride": 9, "context_length": 8}, r"is more than context_length \(got 9 and 8\)"),
        ({"stride": 0}, "stride"),
        ({"block_size": 0}, "block_size"),
        ({"windows": "sliding"}, "windows unknown value"),
        ({"generation": {"top_p": 0.5}}, "do_sample"),
    ],
)
def test_options_that_cannot_be_meant_so(options, message):
    with pytest.raises(ValidationError, match=message):
        task(**options)


@pytest.mark.parametrize(
    ("options", "training", "key"),
    [
        ({"block_size": POSITIONS + 1}, True, "block_size"),
        ({"context_length": POSITIONS + 1}, False, "context_length"),
    ],
)
def test_lengths_beyond_the_positions_are_told(options, training, key):
    message = f"task.{key} is {POSITIONS + 1}, and this gpt2 model has positions for {POSITIONS}"
    with pytest.raises(UserError, match=message):
        task(**options).encode(data(), None, bundle(), training=training)


def test_a_stride_beyond_the_positions_is_told():
    with pytest.raises(UserError, match=f"task.stride is 65, and the model reads {POSITIONS}"):
        task(stride=65).encode(data(), None, bundle())


# Blocks


def test_documents_share_blocks_with_a_token_at_each_border():
    borders = Borders(0, 0)
    found = packed([(0, [5, 6, 7]), (1, [8]), (3, [9, 9])], borders, 4)
    assert list(found) == [(0, [0, 5, 6, 7, 0]), (0, [0, 8, 0, 9, 9]), (3, [9, 0])]


def test_a_beginning_that_is_no_end_stands_beside_it():
    found = packed([(0, [5]), (1, [6])], Borders(1, 2), 10)
    assert list(found) == [(0, [1, 5, 2, 1, 6, 2])]


def test_blocks_of_one_document_each():
    found = separate([(0, [5, 6, 7]), (1, [8])], Borders(0, 0), 3)
    assert list(found) == [(0, [0, 5, 6, 7]), (0, [7, 0]), (1, [0, 8, 0])]


@given(
    st.lists(st.lists(st.integers(3, 9), min_size=1), min_size=1),
    st.sampled_from([Borders(0, 0), Borders(1, 2), Borders(None, 2), Borders(1, None)]),
    st.integers(1, 7),
    st.booleans(),
)
def test_every_token_is_learnt_once(documents, borders, size, pack):
    blocks = list((packed if pack else separate)(list(enumerate(documents)), borders, size))
    assert all(2 <= len(ids) <= size + 1 for _, ids in blocks)
    learnt = [token for _, ids in blocks for token in ids[1:]]
    stream: list[int] = []
    for ids in documents:
        bordered = [t for t in (borders.begin, *ids, borders.end) if t is not None]
        if pack and stream and stream[-1] == borders.begin:
            bordered = bordered[1:]
        stream += bordered if pack else bordered[1:]
    assert learnt == (stream[1:] if pack else stream)
    if not pack:
        assert [row for row, _ in blocks] == sorted(row for row, _ in blocks)


def test_training_features_hold_all_tokens_and_tell_their_row():
    pack = bundle()
    this = task(block_size=16)
    features = this.encode(data(), this.references(data(), [], locate), pack, training=True)
    assert features["length"] == [len(ids) - 1 for ids in features["input_ids"]]
    assert set(features["length"][:-1]) == {16}
    stream = [*features[0]["input_ids"], *(t for row in features for t in row["input_ids"][1:])]
    stream = features[0]["input_ids"][:1] + stream[len(features[0]["input_ids"]) :]
    end = pack.tokenizer.eos_token
    text = pack.tokenizer.decode(stream)
    assert text == end + end.join(text for text in DOCUMENTS if text) + end
    assert features["example"] == sorted(features["example"])
    assert 2 not in features["example"]


@pytest.mark.parametrize("pack", [True, False])
def test_features_are_the_same_however_rows_are_batched(pack):
    this, of = task(block_size=8, pack=pack), bundle()

    def one_by_one(rows, options, encode):
        from nlpbench.tasks import keep_in_memory

        def single(batches):
            for batch in batches:
                yield from ({"text": [text]} for text in batch["text"])

        return keep_in_memory(rows, options, lambda batches: encode(single(batches)))

    whole = this.encode(data(), None, of, training=True)
    assert this.encode(data(), None, of, one_by_one, training=True).to_dict() == whole.to_dict()


# The loss


@pytest.mark.parametrize("model_type", CAUSAL)
def test_the_loss_and_its_gradient_are_those_of_transformers(model_type):
    of = bundle(model_type)
    this = task(block_size=12, pack=False)
    rows = this.encode(data(), None, of, training=True).to_list()
    batch = dict(this.collate(of, training=True)(rows))
    labels = batch.pop("labels")
    [targets] = this.flat_labels(labels)
    [logits] = this.flat_logits(this.forward(of.model, batch), labels)
    loss = this.loss(logits, targets) / targets.numel()
    loss.backward()
    found = {key: weight.grad for key, weight in of.model.named_parameters()}

    other = copy.deepcopy(of.model)
    other.zero_grad()
    width = max(len(row["input_ids"]) for row in rows)
    ids = torch.full((len(rows), width), of.tokenizer.pad_token_id)
    theirs = torch.full((len(rows), width), -100)
    mask = torch.zeros_like(ids)
    for place, row in enumerate(rows):
        count = len(row["input_ids"])
        ids[place, :count] = torch.tensor(row["input_ids"])
        moved = 1 if model_type in UNMOVED else 0
        theirs[place, : count - moved] = torch.tensor(row["input_ids"][moved:])
        mask[place, :count] = 1
    expected = other(input_ids=ids, attention_mask=mask, labels=theirs).loss
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    for key, weight in other.named_parameters():
        if weight.grad is not None and found[key] is not None:
            torch.testing.assert_close(found[key], weight.grad, rtol=1e-3, atol=1e-6)


def test_the_end_of_a_text_is_learnt_where_it_is_the_padding_too():
    of = bundle()
    of.tokenizer.pad_token = of.tokenizer.eos_token
    this = task(block_size=64, pack=False)
    rows = this.encode(data(["a b", "a b c d e f"]), None, of, training=True).to_list()
    batch = this.collate(of, training=True)(rows)
    end = of.tokenizer.eos_token_id
    assert (batch["labels"] == end).sum(1).tolist() == [1, 1]
    assert (batch["labels"] != -100).sum(1).tolist() == batch["attention_mask"].sum(1).tolist()


def test_logits_of_full_blocks_are_not_copied():
    this = task()
    logits = torch.randn(2, 3, 5)
    outputs = transformers.modeling_outputs.CausalLMOutput(logits=logits)
    [whole] = this.flat_logits(outputs, torch.ones(2, 3, dtype=torch.long))
    assert whole.data_ptr() == logits.data_ptr()
    [some] = this.flat_logits(outputs, torch.tensor([[1, -100, 2], [3, 4, -100]]))
    assert torch.equal(some, logits[[0, 0, 1, 1], [0, 2, 0, 1]])


# Windows


@given(st.integers(0, 40), st.integers(1, 12), st.data())
def test_strided_windows_score_every_token_but_the_first_once(count, context, draw):
    stride = draw.draw(st.integers(1, context))
    ids = list(range(count))
    found = list(strided(ids, context, stride))
    assert [t for window in found for t in window.ids[-window.scored :]] == ids[1:]
    for window in found:
        assert 1 <= window.scored < len(window.ids) <= context + 1
        assert window.ids == ids[window.ids[0] : window.ids[-1] + 1]
        least = len(window.ids) - window.scored  # what stands before the first scored one
        assert window.ids[0] == 0 or least >= context - stride + 1


@given(st.integers(0, 40), st.integers(1, 12))
def test_rolling_windows_score_every_token_once(count, context):
    ids = list(range(count))
    found = list(rolling(ids, -1, context))
    assert [t for window in found for t in window.ids[-window.scored :]] == ids
    assert all(len(window.ids) == context + 1 for window in found[1:])
    assert all(window.scored == context for window in found[:-1])
    assert all(window.ids[0] == (window.ids[1] - 1) for window in found)


def expected_rolling(model, ids, prefix, context):
    """Token by token: what the definition says each of them is predicted from."""
    total, last = 0.0, len(ids) // context * context
    for place, token in enumerate(ids):
        if place < context:
            before = [prefix, *ids[:place]]
        elif place < last:
            before = ids[place // context * context - 1 : place]
        else:
            before = ids[len(ids) - context - 1 : place]
        total += log_probability(model, before, token)
    return total


def expected_strided(model, ids, context, stride):
    total = 0.0
    for place in range(1, len(ids)):
        late = max(0, place - context)  # the first window that says this token
        begin = -(-late // stride) * stride
        total += log_probability(model, ids[begin:place], ids[place])
    return total


@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
@pytest.mark.parametrize("context", [5, POSITIONS])
def test_rolling_log_likelihoods_token_by_token(model_type, context):
    of = bundle(model_type)
    found, _ = scored(task(windows="rolling", context_length=context), of)
    for text, (total, count) in zip(DOCUMENTS, found.answers.tolist(), strict=True):
        ids = of.tokenizer(text)["input_ids"]
        assert count == len(ids)
        expected = expected_rolling(of.model, ids, of.tokenizer.bos_token_id, context)
        assert total == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("model_type", ["gpt2", "llama", "roberta", "bart"])
@pytest.mark.parametrize(("context", "stride"), [(7, 3), (16, 16), (POSITIONS, 32)])
def test_strided_log_likelihoods_token_by_token(model_type, context, stride):
    of = bundle(model_type)
    found, outputs = scored(task(context_length=context, stride=stride), of)
    for text, (total, count) in zip(DOCUMENTS, found.answers.tolist(), strict=True):
        ids = of.tokenizer(text, add_special_tokens=False)["input_ids"]
        assert count == len(ids)
        whole = [of.tokenizer.bos_token_id, *ids]
        expected = expected_strided(of.model, whole, context, stride)
        assert total == pytest.approx(expected, rel=1e-5)
    total, count = found.answers.sum(0)
    assert outputs.loss == pytest.approx(-total / count, rel=1e-9)


def test_without_a_token_to_begin_with_the_first_one_is_skipped():
    of = bundle()
    of.tokenizer.bos_token = None
    found, _ = scored(task(context_length=8), of)
    ids = of.tokenizer(DOCUMENTS[1], add_special_tokens=False)["input_ids"]
    assert found.answers[1, 1] == len(ids) - 1
    assert found.answers[1, 0] == pytest.approx(expected_strided(of.model, ids, 8, 4), rel=1e-5)
    assert found.signature == "windows:strided|context:8|stride:4|first:skipped"


def test_the_signature_says_how_documents_were_read():
    of = bundle("llama")
    rows = data(["a b c"])
    strided_one, rolling_one = task(), task(windows="rolling", context_length=5)
    features = strided_one.encode(rows, None, of)
    values = np.zeros((len(features), 2))
    said = strided_one.decode(values, features, rows, of).signature
    assert said == f"windows:strided|context:{POSITIONS}|stride:{POSITIONS // 2}|first:after <s>"
    features = rolling_one.encode(rows, None, of)
    values = np.zeros((len(features), 2))
    said = rolling_one.decode(values, features, rows, of).signature
    assert said == "windows:rolling|context:5|first:after <s>"


def test_rolling_windows_need_something_to_begin_with():
    of = bundle()
    of.tokenizer.bos_token = of.tokenizer.eos_token = None
    with pytest.raises(UserError, match="take windows: strided"):
        task(windows="rolling").encode(data(), None, of)


def test_the_context_is_all_that_the_model_has_positions_for():
    for model_type in CAUSAL:
        model = bundle(model_type).model
        assert most_tokens(model) == longest_input(model)
    features = task().encode(data(["word " * 300]), None, bundle())
    assert max(features["length"]) == POSITIONS


# Log-likelihoods


def some_batch(of, this=None):
    this = this or task(context_length=16)
    rows = this.encode(data(), None, of).to_list()
    batch = dict(this.collate(of)(rows))
    return this, batch, batch.pop("labels")


def plain_sums(model, inputs, labels):
    logits = model(**inputs).logits.double().log_softmax(-1)
    found = logits.gather(-1, labels.clamp_min(0)[..., None]).squeeze(-1)
    return (found * (labels != -100)).sum(1).detach().numpy()


@pytest.mark.parametrize("model_type", CAUSAL)
def test_log_likelihoods_are_those_of_all_logits(model_type, monkeypatch):
    from nlpbench.tasks.language import likelihood

    of = bundle(model_type)
    monkeypatch.setitem(likelihood.LOGITS, "cpu", 7 * of.model.config.vocab_size)
    this, inputs, labels = some_batch(of)
    expected = plain_sums(of.model, inputs, labels)
    for enough in (1, 1024):
        monkeypatch.setattr(likelihood, "ENOUGH", enough)
        with torch.inference_mode():
            found = log_likelihoods(of.model, inputs, labels, this.forward)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert of.model not in likelihood._changes_logits
    assert not of.model.get_output_embeddings()._forward_pre_hooks


def test_logits_are_made_only_where_they_are_scored(monkeypatch):
    of = bundle()
    this, inputs, labels = some_batch(of, task(context_length=32, stride=4))
    made = []
    layer = of.model.get_output_embeddings()
    own = layer.forward
    monkeypatch.setattr(layer, "forward", lambda x: (made.append(x.shape[:-1].numel()), own(x))[1])
    with torch.inference_mode():
        log_likelihoods(of.model, inputs, labels, this.forward)
    from nlpbench.tasks.language.likelihood import SAMPLE

    assert sum(made) <= int((labels != -100).sum()) + 2 * SAMPLE * len(labels)


class Capped(transformers.GPT2LMHeadModel):
    """Changes its logits after the last layer, as Gemma 2 does."""

    def forward(self, *args, **kwargs):
        outputs = super().forward(*args, **kwargs)
        outputs.logits = torch.tanh(outputs.logits / 0.5) * 0.5
        return outputs


class Headless(transformers.GPT2LMHeadModel):
    def get_output_embeddings(self):
        return None


@pytest.mark.parametrize("kind", [Capped, Headless])
def test_models_that_the_short_way_would_be_wrong_for(kind):
    of = bundle()
    of.model.__class__ = kind
    this, inputs, labels = some_batch(of)
    expected = plain_sums(of.model, inputs, labels)
    with torch.inference_mode():
        for _ in range(2):
            found = log_likelihoods(of.model, inputs, labels, this.forward)
            np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_long_rows_are_not_padded_and_short_ones_computed_together():
    cut = [(part.start, part.stop) for part in pieces([9000, 8500, 5000, 3000, 2950, 100, 90, 5])]
    assert cut == [(0, 1), (1, 2), (2, 3), (3, 5), (5, 8)]
    assert next(iter(pieces([50] * 1000))) == slice(0, 327)
    assert list(pieces([20_000])) == [slice(0, 1)]


def test_a_likelihood_too_small_to_be_a_perplexity_is_infinite():
    from nlpbench.evaluation.metrics.perplexity import Perplexity

    metric = Perplexity(name="perplexity")
    found = metric.compute(np.array([[-1e6, 2.0]]), np.array([[1, 5]]))
    assert math.isinf(found["perplexity"])


def test_half_precision_scores_in_float32():
    of = bundle()
    of.model.bfloat16()
    this, inputs, labels = some_batch(of)
    with torch.inference_mode():
        found = log_likelihoods(of.model, inputs, labels, this.forward)
        logits = of.model(**inputs).logits.float().log_softmax(-1)
    expected = logits.gather(-1, labels.clamp_min(0)[..., None]).squeeze(-1)
    expected = (expected * (labels != -100)).sum(1).numpy()
    np.testing.assert_allclose(found, expected, rtol=2e-3)


# What the model writes


def test_samples_are_the_same_at_every_call_and_leave_the_model_as_it_was():
    of = bundle()
    this = task(prompts=["Two children", "A dog"], generation={"do_sample": True, "seed": 3, "max_new_tokens": 9})  # fmt: skip
    own = of.model.generation_config
    one = this.samples(of)["samples.jsonl"]
    torch.manual_seed(99)
    assert this.samples(of)["samples.jsonl"] == one
    assert [row["prompt"] for row in one] == ["Two children", "A dog"]
    assert of.model.generation_config is own
    other = task(prompts=["Two children"], generation={"do_sample": True, "seed": 4, "max_new_tokens": 9})  # fmt: skip
    assert other.samples(of)["samples.jsonl"][0]["text"] != one[0]["text"]


def test_greedy_samples_are_the_likeliest_tokens():
    of = bundle("llama")
    this = task(prompts=["Two children"], generation={"max_new_tokens": 5})
    [row] = this.samples(of)["samples.jsonl"]
    ids = [of.tokenizer.bos_token_id, *of.tokenizer("Two children", add_special_tokens=False).input_ids]  # fmt: skip
    new = []
    for _ in range(5):
        with torch.inference_mode():
            new.append(int(of.model(input_ids=torch.tensor([ids + new])).logits[0, -1].argmax()))
        if new[-1] == of.tokenizer.eos_token_id:
            break
    assert row["text"] == of.tokenizer.decode(new, skip_special_tokens=True)


def test_no_prompts_no_samples():
    assert task().samples(bundle()) == {}


def test_prompts_that_do_not_fit_are_told_before_training():
    this = task(block_size=16, prompts=["word " * 30], generation={"max_new_tokens": 60})
    with pytest.raises(UserError, match="the 64 that the model has positions for"):
        this.encode(data(), None, bundle(), training=True)


# Runs


@pytest.fixture
def articles(tmp_path):
    folder = tmp_path / "articles"
    rows = [{"text": " ".join(SENTENCES[n : n + 5])} for n in range(24)]
    write_jsonl(folder / "train.jsonl", rows[:16])
    write_jsonl(folder / "validation.jsonl", rows[16:20])
    write_jsonl(folder / "test.jsonl", rows[20:])
    return folder


def read_jsonl(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def config_of(articles, **options):
    return loads(
        dump(
            {
                "seed": 1,
                "model": {
                    "config": {
                        "model_type": "gpt2",
                        "n_embd": 32,
                        "n_layer": 2,
                        "n_head": 2,
                        "n_positions": 64,
                    },
                    "tokenizer": {"train": {"vocab_size": 400}},
                },
                "data": {"source": str(articles)},
                "task": {"name": "causal-language-modeling", "block_size": 32, **options},
                "training": {
                    "num_train_epochs": 6,
                    "learning_rate": 0.01,
                    "effective_batch_size": 4,
                    "precision": "fp32",
                },
                "evaluation": {"efficiency": False, "resamples": 100},
            }
        )
    )


def test_a_run_learns_and_is_scored_as_its_predictions_say(articles, tmp_path):
    config = config_of(articles, prompts=["A dog"], windows="rolling")
    [record] = finetune(config, tmp_path / "run")
    rows = read_jsonl(tmp_path / "run" / "predictions.jsonl")
    nats, tokens = np.array([row["prediction"] for row in rows]).sum(0)
    words, size = np.array([row["reference"] for row in rows]).sum(0)
    values = {key: score.value for key, score in record.scores.items()}
    assert values["perplexity"] == pytest.approx(math.exp(-nats / tokens))
    assert values["word_perplexity"] == pytest.approx(math.exp(-nats / words))
    assert values["byte_perplexity"] == pytest.approx(math.exp(-nats / size))
    assert values["bits_per_byte"] == pytest.approx(-nats / size / math.log(2))
    assert values["perplexity"] < 200  # of 400 pieces
    history = read_jsonl(tmp_path / "run" / "history.jsonl")
    checked = [line for line in history if "eval_loss" in line]
    for line in checked:
        assert math.log(line["eval_perplexity"]) == pytest.approx(line["eval_loss"], rel=1e-6)
    [again] = evaluate(config, tmp_path / "again", [str(tmp_path / "run")])
    assert again.scores == record.scores
    signature = record.scores["perplexity"].signature
    assert signature.endswith("|windows:rolling|context:64|first:after <|endoftext|>")
    for place in ("run", "again"):
        [sample] = read_jsonl(tmp_path / place / "samples.jsonl")
        assert sample["prompt"] == "A dog"


def test_batches_of_another_size_score_the_same():
    of = bundle()
    this = task(context_length=16)
    one, _ = scored(this, of, batch_size=1)
    many, _ = scored(this, of, batch_size=32)
    np.testing.assert_allclose(one.answers, many.answers, rtol=1e-6)


# Against lm-evaluation-harness, where it is there


@pytest.mark.slow
@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
@pytest.mark.parametrize("context", [POSITIONS, 17])
@pytest.mark.filterwarnings("ignore")
def test_rolling_windows_are_those_of_the_harness(model_type, context):
    pytest.importorskip("lm_eval")
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    of = bundle(model_type)
    texts = [text for text in DOCUMENTS if text] + [" ".join(SENTENCES) * 3]
    found, _ = scored(task(windows="rolling", context_length=context), of, texts)
    harness = HFLM(
        pretrained=of.model, tokenizer=of.tokenizer, batch_size=1, max_length=context, device="cpu"
    )
    requests = [Instance("loglikelihood_rolling", {}, (text,), 0) for text in texts]
    expected = harness.loglikelihood_rolling(requests, disable_tqdm=True)
    np.testing.assert_allclose(found.answers[:, 0], expected, rtol=1e-4)
