"""Trains a tokenizer of a model's own kind; the same texts give the same tokenizer."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

PRIVATE = 0xF0000  # first code point of a plane that no text uses


def train(
    blank: PreTrainedTokenizerBase, texts: Iterable[str], vocab_size: int
) -> PreTrainedTokenizerBase:
    """A tokenizer like the blank one with at most `vocab_size` entries.

    The WordPiece and Unigram trainers of the library `tokenizers` break ties by the order of a
    hash map, so that a run could neither be repeated nor resumed. Its BPE trainer does not, so
    pieces are always learnt by it (Sennrich et al. 2016, "Neural Machine Translation of Rare Words
    with Subword Units") and handed to the kind of model that the blank one has.
    """
    backend: Tokenizer = blank.backend_tokenizer
    model = json.loads(backend.to_str())["model"]
    if model["type"] == "BPE":
        like: PreTrainedTokenizerBase = blank.train_new_from_iterator(texts, vocab_size=vocab_size)
        return like
    words = _words(backend, texts)
    special = _pieces(backend)
    count = vocab_size - len(special)
    if model["type"] == "WordPiece":
        pieces = _wordpieces(words, count, model["continuing_subword_prefix"])
        entries = [*special, *(piece for piece in pieces if piece not in special)]
        return type(blank)(vocab={entry: number for number, entry in enumerate(entries)})
    if model["type"] == "Unigram":
        scored = [(token, 0.0) for token in special]
        scored += [one for one in _scored_pieces(words, count) if one[0] not in special]
        return type(blank)(vocab=scored)
    raise ValueError(f"{model['type']} tokenizers cannot be trained")


def _words(backend: Tokenizer, texts: Iterable[str]) -> Counter[str]:
    words: Counter[str] = Counter()
    for text in texts:
        normal = backend.normalizer.normalize_str(text) if backend.normalizer else text
        words.update(word for word, _ in backend.pre_tokenizer.pre_tokenize_str(normal))
    return words


def _bpe(words: Counter[str], vocab_size: int) -> Tokenizer:
    from tokenizers import Tokenizer, trainers
    from tokenizers.models import BPE

    tokenizer = Tokenizer(BPE())
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, show_progress=False, special_tokens=[])
    tokenizer.train_from_iterator(words.elements(), trainer)
    return tokenizer


def _pieces(tokenizer: Tokenizer) -> list[str]:
    vocab = tokenizer.get_vocab()
    return sorted(vocab, key=vocab.__getitem__)


def _wordpieces(words: Counter[str], count: int, prefix: str) -> list[str]:
    """Pieces of which those inside a word have a prefix.

    A character inside a word stands for itself in a private plane, so is another one than at the
    start of a word, and a piece says by its first character where it belongs.
    """
    inside = sorted({character for word in words for character in word[1:]})
    private = {character: chr(PRIVATE + number) for number, character in enumerate(inside)}
    plain = {code: character for character, code in private.items()}
    marked: Counter[str] = Counter()
    for word, times in words.items():
        marked[word[0] + "".join(private[character] for character in word[1:])] += times
    pieces = []
    for piece in _pieces(_bpe(marked, count)):
        text = "".join(plain.get(character, character) for character in piece)
        pieces.append(prefix + text if piece[0] in plain else text)
    return pieces


def _scored_pieces(words: Counter[str], count: int) -> list[tuple[str, float]]:
    """Pieces with the logarithm of their share, as a unigram model needs them."""
    tokenizer = _bpe(words, count)
    times: Counter[str] = Counter()
    for word, number in words.items():
        for piece in tokenizer.encode(word).tokens:
            times[piece] += number
    total = sum(times.values())
    # Pieces that only larger ones are made of still need a finite score.
    return [(piece, math.log((times[piece] or 0.5) / total)) for piece in _pieces(tokenizer)]
