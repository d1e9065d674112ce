"""Trains a tokenizer of a model's own kind; the same texts give the same tokenizer."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError
from nlpbench.models.blank_tokenizer import backend, wrapped

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

PRIVATE = 0xF0000  # first code point of a plane that no text uses
PREFIX = "##"  # of pieces inside a word
UNKNOWN = "<unk>"
ENDS = ("cls", "sep")


def train(
    blank: PreTrainedTokenizerBase, texts: Iterable[str], vocab_size: int, kind: str | None = None
) -> PreTrainedTokenizerBase:
    """A tokenizer like the blank one with at most `vocab_size` entries.

    The WordPiece and Unigram trainers of the library `tokenizers` break ties by the order of a
    hash map, so that a run could neither be repeated nor resumed. Its BPE trainer does not, so
    pieces are always learnt by it (Sennrich et al. 2016, "Neural Machine Translation of Rare Words
    with Subword Units") and handed to the kind of model that was asked for.

    Args:
        kind: bpe, wordpiece or unigram; the blank one's own unless told. Another kind keeps the
            special tokens, their ids and the template of the blank one.

    Raises:
        UserError: `vocab_size` has no room for the special tokens and single bytes or characters.
    """
    own = json.loads(blank.backend_tokenizer.to_str())["model"]
    kind = kind or own["type"].lower()
    if type(blank).__name__ == "TokenizersBackend" or kind != own["type"].lower():
        trained = _of_kind(kind, blank, texts, vocab_size)
    elif kind == "bpe":
        trained = blank.train_new_from_iterator(texts, vocab_size=vocab_size, show_progress=False)
    else:
        trained = _of_own_class(blank, own, texts, vocab_size)
    if len(trained) > vocab_size:
        raise UserError(
            f"model.tokenizer.train.vocab_size is {vocab_size}, and this tokenizer needs "
            f"{len(trained)} entries for its special tokens and single bytes; take more"
        )
    return trained


def _of_own_class(
    blank: PreTrainedTokenizerBase, own: dict[str, Any], texts: Iterable[str], vocab_size: int
) -> PreTrainedTokenizerBase:
    special = _pieces(blank.backend_tokenizer)
    count = _room(vocab_size, special)
    words = _words(blank.backend_tokenizer, texts, at_punctuation=own["type"] == "Unigram")
    if own["type"] == "WordPiece":
        pieces = _wordpieces(words, count, own["continuing_subword_prefix"])
        entries = [*special, *(piece for piece in pieces if piece not in special)]
        return type(blank)(vocab={entry: number for number, entry in enumerate(entries)})
    if own["type"] == "Unigram":
        scored = [(token, 0.0) for token in special]
        scored += [one for one in _scored_pieces(words, count) if one[0] not in special]
        return type(blank)(vocab=scored)
    raise ValueError(f"{own['type']} tokenizers cannot be trained")


def _of_kind(
    kind: str, blank: PreTrainedTokenizerBase, texts: Iterable[str], vocab_size: int
) -> PreTrainedTokenizerBase:
    """Words, pieces and decoding as usual for the kind; special tokens as in the blank one."""
    named, extra = blank.special_tokens_map, list(blank.extra_special_tokens)
    pieces = _pieces(blank.backend_tokenizer)
    special = [token for token in pieces if token in {*named.values(), *extra}]
    if blank.unk_token is None and kind != "bpe":
        named = {**named, "unk_token": UNKNOWN}
        special.append(UNKNOWN)
    tokenizer = backend(kind)
    learnt = _model(kind, _words(tokenizer, texts), vocab_size, special, named.get("unk_token"))
    rules = json.loads(tokenizer.to_str())
    rules["model"] = json.loads(learnt.to_str())["model"]
    rules["post_processor"] = _post_processor(blank, special, trim_offsets=kind == "bpe")
    return wrapped(
        rules,
        special,
        named,
        extra_special_tokens=extra,
        model_input_names=list(blank.model_input_names),
        padding_side=blank.padding_side,
    )


def _model(
    kind: str, words: Counter[str], vocab_size: int, special: list[str], unk: str | None
) -> Tokenizer:
    from tokenizers import Tokenizer, models

    count = _room(vocab_size, special)
    if kind == "bpe":
        return _bpe(words, vocab_size, special, every_byte=True)
    assert unk is not None
    if kind == "wordpiece":
        entries = [*special, *_wordpieces(words, count, PREFIX)]
        numbered = {entry: number for number, entry in enumerate(entries)}
        return Tokenizer(models.WordPiece(numbered, unk_token=unk))
    scored = [(token, 0.0) for token in special] + _scored_pieces(words, count)
    return Tokenizer(models.Unigram(scored, unk_id=special.index(unk)))


def _post_processor(
    blank: PreTrainedTokenizerBase, special: list[str], trim_offsets: bool
) -> dict[str, Any]:
    """That of the blank one, with the ids that its tokens have now."""
    rules: dict[str, Any] = json.loads(blank.backend_tokenizer.to_str())["post_processor"]
    if rules["type"] == "RobertaProcessing":
        return {**rules, **{key: [rules[key][0], special.index(rules[key][0])] for key in ENDS}}
    for entry in rules["special_tokens"].values():
        entry["ids"] = [special.index(token) for token in entry["tokens"]]
    if not trim_offsets:
        return rules
    bytes_ = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    return {"type": "Sequence", "processors": [{**bytes_, "use_regex": True}, rules]}


def _room(vocab_size: int, special: list[str]) -> int:
    if vocab_size <= len(special):
        raise UserError(
            f"model.tokenizer.train.vocab_size is {vocab_size}, and this tokenizer has "
            f"{len(special)} special tokens; take more"
        )
    return vocab_size - len(special)


def _words(backend: Tokenizer, texts: Iterable[str], at_punctuation: bool = False) -> Counter[str]:
    """How often each word occurs.

    Args:
        at_punctuation: punctuation marks are words of their own, also where the tokenizer does not
            part them; pieces of "dog." are then learnt as those of "dog" and of ".".
    """
    from tokenizers.pre_tokenizers import Punctuation

    words: Counter[str] = Counter()
    for text in texts:
        normal = backend.normalizer.normalize_str(text) if backend.normalizer else text
        words.update(word for word, _ in backend.pre_tokenizer.pre_tokenize_str(normal))
    if not at_punctuation:
        return words
    parts: Counter[str] = Counter()
    for word, times in words.items():
        for part, _ in Punctuation().pre_tokenize_str(word):
            parts[part] += times
    return parts


def _bpe(
    words: Counter[str], vocab_size: int, special: list[str] | None = None, every_byte: bool = False
) -> Tokenizer:
    from tokenizers import Tokenizer, pre_tokenizers, trainers
    from tokenizers.models import BPE

    tokenizer = Tokenizer(BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        show_progress=False,
        special_tokens=special or [],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if every_byte else [],
    )
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
