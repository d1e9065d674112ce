"""Tokenizers trained on the data: the same texts give the same one, of the model's own kind."""

from __future__ import annotations

import pytest
from conftest import topic_rows

from nlpbench import models
from nlpbench.config.sections import ModelSection

TEXTS = [row["text"] for row in topic_rows(200)] + ["Zoë's naïve café, 東京!"]
KINDS = {
    "bert": "WordPiece",
    "distilbert": "WordPiece",
    "electra": "WordPiece",
    "albert": "Unigram",
    "xlnet": "Unigram",
    "roberta": "BPE",
    "gpt2": "BPE",
}


def trained(model_type, size=300):
    config = {"model_type": model_type}
    section = ModelSection(config=config, tokenizer={"train": {"vocab_size": size}})
    return models.tokenizer(section, TEXTS)


@pytest.mark.parametrize("model_type", KINDS)
def test_it_is_the_same_again(model_type):
    """The trainers of `tokenizers` follow a hash map's order, which each of their calls draws anew."""
    first = trained(model_type).backend_tokenizer.to_str()
    assert all(trained(model_type).backend_tokenizer.to_str() == first for _ in range(4))


@pytest.mark.parametrize(("model_type", "kind"), KINDS.items())
def test_it_knows_the_words_it_was_trained_on(model_type, kind):
    tokenizer = trained(model_type)
    assert type(tokenizer.backend_tokenizer.model).__name__ == kind
    assert len(tokenizer) <= 300
    assert len(set(tokenizer.all_special_ids)) == len(set(tokenizer.all_special_tokens))
    ids = tokenizer("hammer robin café")["input_ids"]
    assert tokenizer.unk_token_id not in ids or model_type == "gpt2"  # whose unk is its eos
    words = tokenizer.decode(ids, skip_special_tokens=True).split()
    assert words in (["hammer", "robin", "café"], ["hammer", "robin", "cafe"])
    assert len(ids) <= 3 + 2 + 12
    large, small = len(trained(model_type, 600)), len(trained(model_type, 280))
    assert small < large


def test_pieces_inside_words_are_marked():
    tokenizer = trained("bert", 150)
    pieces = tokenizer.tokenize("strawberry hammers")
    assert "".join(pieces).replace("##", "") == "strawberryhammers"
    assert not pieces[0].startswith("##")
    assert pieces[1].startswith("##")


def test_a_named_tokenizer_needs_no_model_beside_it(tmp_path):
    trained("roberta").save_pretrained(tmp_path)
    section = ModelSection(config={"model_type": "bert"}, tokenizer={"name_or_path": str(tmp_path)})
    assert len(models.tokenizer(section)) == 300
