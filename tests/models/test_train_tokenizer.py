"""Tokenizers trained on the data: the same texts give the same one, of the kind asked for."""

from __future__ import annotations

import json
import unicodedata

import pytest
from conftest import topic_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import MODEL_TYPES, SENTENCES
from transformers import AutoConfig, AutoTokenizer

from nlpbench import models
from nlpbench.config.errors import UserError
from nlpbench.config.sections import ModelSection
from nlpbench.models.bare import bare_configuration

TEXTS = [row["text"] for row in topic_rows(200)] + ["Zoë's naïve café, 東京!"]
KINDS = {
    "bert": "WordPiece",
    "distilbert": "WordPiece",
    "roberta": "BPE",
    "albert": "Unigram",
    "electra": "WordPiece",
    "xlnet": "Unigram",
    "deberta-v2": "Unigram",
    "modernbert": "BPE",
    "xlm-roberta": "Unigram",
    "gpt2": "BPE",
    "llama": "BPE",
    "t5": "Unigram",
    "mt5": "Unigram",
    "bart": "BPE",
    "mbart": "Unigram",
    "pegasus": "Unigram",
    "marian": "Unigram",
}
TYPES = ["bpe", "wordpiece", "unigram"]
# What stands around one text, and what between and around two.
TEMPLATES = {
    "bert": ("[CLS] . [SEP]", "[CLS] . [SEP] . [SEP]"),
    "distilbert": ("[CLS] . [SEP]", "[CLS] . [SEP] . [SEP]"),
    "roberta": ("<s> . </s>", "<s> . </s> </s> . </s>"),
    "albert": ("[CLS] . [SEP]", "[CLS] . [SEP] . [SEP]"),
    "electra": ("[CLS] . [SEP]", "[CLS] . [SEP] . [SEP]"),
    "xlnet": (". <sep> <cls>", ". <sep> . <sep> <cls>"),
    "deberta-v2": ("[CLS] . [SEP]", "[CLS] . [SEP] . [SEP]"),
    "modernbert": ("[CLS] . [SEP]", "[CLS] . [SEP] . [SEP]"),
    "xlm-roberta": ("<s> . </s>", "<s> . </s> </s> . </s>"),
    "gpt2": (".", ". ."),
    "llama": ("<s> .", "<s> . ."),
    "t5": (". </s>", ". </s> . </s>"),
    "mt5": (". </s>", ". </s> . </s>"),
    "bart": ("<s> . </s>", "<s> . </s> </s> . </s>"),
    "mbart": (". </s> en_XX", ". . </s> en_XX"),
    "pegasus": (". </s>", ". . </s>"),
    "marian": (". </s>", ". . </s>"),
}
STRIPS_ACCENTS = {"bert", "distilbert", "electra", "albert", "xlnet"}
SPACES_PUNCTUATION = {"bert", "distilbert", "electra"}


def trained(model_type, size=500, kind=None, texts=TEXTS):
    train = {"vocab_size": size, "type": kind}
    section = ModelSection(config={"model_type": model_type}, tokenizer={"train": train})
    return models.tokenizer(section, texts)


def pieces(tokenizer, *texts):
    """Special tokens of what a text becomes, with a dot for every run of others."""
    found = []
    for token in tokenizer.convert_ids_to_tokens(tokenizer(*texts)["input_ids"]):
        if token in tokenizer.all_special_tokens:
            found.append(token)
        elif not found or found[-1] != ".":
            found.append(".")
    return " ".join(found)


@pytest.mark.parametrize("kind", [None, *TYPES])
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_it_is_the_same_again(model_type, kind):
    """The trainers of `tokenizers` follow a hash map's order, which each of their calls draws anew."""
    first = trained(model_type, kind=kind).backend_tokenizer.to_str()
    assert all(trained(model_type, kind=kind).backend_tokenizer.to_str() == first for _ in range(2))


@pytest.mark.parametrize(("model_type", "kind"), KINDS.items())
def test_it_knows_the_words_it_was_trained_on(model_type, kind):
    tokenizer = trained(model_type)
    assert type(tokenizer.backend_tokenizer.model).__name__ == kind
    assert len(tokenizer) <= 500
    assert len(set(tokenizer.all_special_ids)) == len(set(tokenizer.all_special_tokens))
    ids = tokenizer("hammer robin café")["input_ids"]
    assert tokenizer.unk_token_id not in ids or model_type == "gpt2"  # whose unk is its eos
    words = tokenizer.decode(ids, skip_special_tokens=True).split()
    assert words in (["hammer", "robin", "café"], ["hammer", "robin", "cafe"])
    assert len(ids) <= 3 + 2 + 12
    large, small = len(trained(model_type, 600)), len(trained(model_type, 300))
    assert small < large


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_it_is_of_the_kind_that_was_asked_for(model_type, kind):
    tokenizer, own = trained(model_type, kind=kind), trained(model_type)
    assert type(tokenizer.backend_tokenizer.model).__name__.lower() == kind
    assert len(tokenizer) <= 500
    assert tokenizer.padding_side == own.padding_side
    roles = {f"{role}_token" for role in ("pad", "bos", "eos", "cls", "sep", "mask")}
    for role in roles:
        assert getattr(tokenizer, role) == getattr(own, role)
    assert tokenizer.model_input_names == own.model_input_names


@pytest.mark.parametrize("kind", [None, *TYPES])
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_it_puts_around_texts_what_the_model_expects(model_type, kind):
    tokenizer = trained(model_type, kind=kind)
    one, two = TEMPLATES[model_type]
    assert pieces(tokenizer, "apple robin") == one
    assert pieces(tokenizer, "apple", "robin") == two.replace(". .", ".")


@pytest.mark.parametrize("kind", [None, *TYPES])
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_saved_and_loaded_by_transformers_it_is_the_same(model_type, kind, tmp_path):
    tokenizer = trained(model_type, kind=kind, texts=SENTENCES)
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert type(again) is type(tokenizer)
    assert again.special_tokens_map == tokenizer.special_tokens_map
    assert again.padding_side == tokenizer.padding_side
    for texts in (SENTENCES[:6], (SENTENCES[0], SENTENCES[1])):
        before, after = tokenizer(*texts[:2]), again(*texts[:2])
        assert dict(after) == dict(before)
        ids = before["input_ids"]
        assert again.decode(ids) == tokenizer.decode(ids)


def written_back(tokenizer, text):
    return tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True)


@pytest.mark.parametrize("kind", [None, *TYPES])
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_text_comes_back_from_its_tokens(model_type, kind):
    own = kind is None or kind == KINDS[model_type].lower()
    tokenizer = trained(model_type, kind=kind, texts=SENTENCES)
    for text in SENTENCES[:6]:
        back = written_back(tokenizer, text)
        if own and model_type in SPACES_PUNCTUATION:
            assert "".join(back.split()) == "".join(plain(text).lower().split())
        elif own and model_type in STRIPS_ACCENTS:
            assert back == (plain(text).lower() if model_type == "albert" else plain(text))
        else:
            assert back == text


def plain(text):
    parts = unicodedata.normalize("NFKD", text)
    return "".join(character for character in parts if not unicodedata.combining(character))


TOKENIZERS = {}
WORDS = st.text(alphabet="adeghinorst .,;:!?'\"()#%-0123é<>/", max_size=40)


@pytest.mark.parametrize("model_type", ["t5", "gpt2", "marian"])
@pytest.mark.parametrize("kind", TYPES)
@settings(max_examples=60, deadline=None)
@given(text=WORDS)
def test_any_text_of_known_characters_comes_back(model_type, kind, text):
    if (model_type, kind) not in TOKENIZERS:
        texts = [
            *SENTENCES,
            "a b c d e # # < > / \\ 0 1 2 3 ; : ( ) ' - % é x#y 1#2 a<b a>b a/b e'é",
        ]
        letters = "adeghinorst.,;:!?'\"()#%-0123é<>/"
        texts += [first + second for first in letters for second in letters]
        TOKENIZERS[model_type, kind] = trained(model_type, 1500, kind, texts)
    tokenizer = TOKENIZERS[model_type, kind]
    if any(token in text for token in tokenizer.all_special_tokens):
        return
    expected = text if kind == "bpe" else " ".join(text.split())
    assert written_back(tokenizer, text) == expected


def test_pieces_inside_words_are_marked():
    tokenizer = trained("bert", 150)
    found = tokenizer.tokenize("strawberry hammers")
    assert "".join(found).replace("##", "") == "strawberryhammers"
    assert not found[0].startswith("##")
    assert found[1].startswith("##")


@pytest.mark.parametrize("kind", ["wordpiece", "unigram"])
def test_no_piece_goes_over_the_border_of_a_word(kind):
    texts = ["the end. " * 50, "(the end) the-end the, the; end!" * 50]
    for model_type in ("marian", "t5", "albert"):
        tokenizer = trained(model_type, kind=kind, texts=texts)
        for piece in tokenizer.get_vocab():
            if piece not in tokenizer.all_special_tokens:
                bare = piece.removeprefix("##").removeprefix("▁")
                assert len(bare) <= 1 or bare.isalpha()


@pytest.mark.parametrize("model_type", ["gpt2", "llama", "t5", "bart", "marian"])
def test_padding_is_another_token_than_the_end(model_type):
    for kind in (None, *TYPES):
        tokenizer = trained(model_type, kind=kind)
        assert tokenizer.pad_token_id != tokenizer.eos_token_id
        assert tokenizer.eos_token_id is not None


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_new_model_knows_the_ids_of_its_tokenizer(model_type):
    tokenizer = trained(model_type)
    config = {"model_type": model_type}
    section = ModelSection(config=config, tokenizer={"train": {"vocab_size": 500}})
    made = bare_configuration(section.config, {}, tokenizer)
    for role in ("pad", "bos", "eos", "cls", "sep"):
        key = f"{role}_token_id"
        if key in AutoConfig.for_model(model_type).to_dict():
            marks = {"bos": tokenizer.cls_token_id, "eos": tokenizer.sep_token_id}
            own = getattr(tokenizer, key)
            assert getattr(made, key) == (marks.get(role) if own is None else own)
    assert made.vocab_size == len(tokenizer)
    starts = {"bart": tokenizer.eos_token_id, "mbart": tokenizer.convert_tokens_to_ids("en_XX")}
    if made.is_encoder_decoder:
        expected = starts.get(model_type, tokenizer.pad_token_id)
        assert made.decoder_start_token_id == expected
        assert getattr(made, "forced_eos_token_id", None) is None


@pytest.mark.parametrize(
    ("model_type", "kind", "size", "message"),
    [
        ("gpt2", None, 100, "is 100, and this tokenizer needs 258 entries for its special tokens"),
        ("t5", "bpe", 300, "is 300, and this tokenizer needs 359 entries for its special tokens"),
        ("t5", None, 100, "is 100, and this tokenizer has 104 special tokens; take more"),
        ("pegasus", "wordpiece", 106, "is 106, and this tokenizer has 106 special tokens"),
    ],
)
def test_a_vocabulary_without_room(model_type, kind, size, message):
    with pytest.raises(UserError) as caught:
        trained(model_type, size, kind)
    assert str(caught.value).startswith(f"model.tokenizer.train.vocab_size {message}")


def test_a_model_without_a_tokenizer_that_could_be_trained():
    with pytest.raises(
        UserError, match=r"^no tokenizer can be trained for model_type m2m_100; name"
    ):
        trained("m2m_100")


def test_a_named_tokenizer_needs_no_model_beside_it(tmp_path):
    trained("roberta", 300).save_pretrained(tmp_path)
    section = ModelSection(config={"model_type": "bert"}, tokenizer={"name_or_path": str(tmp_path)})
    assert len(models.tokenizer(section)) == 300
