"""Words for ROUGE in every script, where rouge-score's own tokenizer knows a-z and 0-9 alone."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache

import regex
from nltk.stem.porter import PorterStemmer
from rouge_score.tokenize import tokenize

# Scripts that put no space between words: each of their characters is a word, with its marks.
UNSPACED = "".join(
    rf"\p{{Script={script}}}"
    for script in (
        "Han Hiragana Katakana Bopomofo Yi Thai Lao Khmer Myanmar Tai_Le New_Tai_Lue Tai_Tham "
        "Tai_Viet Javanese Balinese"
    ).split()
)
UNSPACED_LETTER = rf"[\p{{L}}&&[{UNSPACED}]]"
# The dash of a long vowel and the marks of half-width kana are letters to Unicode.
CHARACTER = rf"{UNSPACED_LETTER}[\p{{M}}\u30fc\uff70\uff9e\uff9f]*"
# Zero-width joiners stand within words of Persian and of many Indic scripts.
INSIDE = rf"[\p{{L}}\p{{M}}\p{{N}}\u200c\u200d]--{UNSPACED_LETTER}"
WORD = regex.compile(rf"{CHARACTER}|[[\p{{L}}\p{{N}}]--{UNSPACED_LETTER}][{INSIDE}]*", regex.V1)

# What rouge-score drops and Latin text does not hold. Letters common to scripts, such as the
# micro sign, stand in Latin text too.
LATIN = r"[\p{L}&&[\p{Script=Latin}\p{Script=Common}]]"
OTHER_LETTER = regex.compile(rf"[\p{{L}}--{LATIN}]", regex.V1)
OTHER_WORD = rf"[[\p{{L}}\p{{Nd}}]--[0-9]--{LATIN}--{UNSPACED_LETTER}][{INSIDE}--[0-9]--{LATIN}]*"
ROUGE_OR_OTHER_WORD = regex.compile(rf"[a-z0-9]+|{CHARACTER}|{OTHER_WORD}", regex.V1)
LETTER = regex.compile(r"\p{L}")
ACCENTED = regex.compile(r"[\p{Script=Latin}--[a-zA-Z]]", regex.V1)
STEMMED_FROM = 4  # letters, as in rouge-score


def default_words(text: str, stem: bool) -> list[str]:
    """rouge-score's own tokens: lower-case runs of a-z and 0-9."""
    return list(tokenize(text, CachedStemmer if stem else None))


def unicode_words(text: str, stem: bool) -> list[str]:
    """Runs of letters, marks and digits of any script; single characters where no spaces part words.

    Lower case, composed (Unicode's form NFC). On text in ASCII they are rouge-score's tokens.
    """
    return _stemmed(WORD.findall(unicodedata.normalize("NFC", text.lower())), stem)


def rouge_and_other_words(text: str, stem: bool) -> list[str]:
    """rouge-score's own tokens and, beside them, the words of the scripts that it drops."""
    found = ROUGE_OR_OTHER_WORD.findall(text.lower())
    return _stemmed([unicodedata.normalize("NFC", word) for word in found], stem)


TOKENIZERS: dict[str, Callable[[str, bool], list[str]]] = {
    "auto": rouge_and_other_words,
    "default": default_words,
    "unicode": unicode_words,
}


class Tokenizer:
    """One of `TOKENIZERS` in the form that rouge-score takes."""

    def __init__(self, name: str, stem: bool) -> None:
        self.words, self.stem = TOKENIZERS[name], stem

    def tokenize(self, text: str) -> list[str]:
        return self.words(text, self.stem)


class CachedStemmer:
    """Porter's stemmer (1980), which is slow enough that each word is stemmed once only."""

    stemmer = PorterStemmer()

    @staticmethod
    @lru_cache(maxsize=1 << 17)
    def stem(word: str) -> str:
        return str(CachedStemmer.stemmer.stem(word))


def _stemmed(words: list[str], stem: bool) -> list[str]:
    """Words of ASCII stemmed; Porter's rules are of English and know no other letters."""
    if not stem:
        return words
    return [
        CachedStemmer.stem(word) if len(word) >= STEMMED_FROM and word.isascii() else word
        for word in words
    ]


def other_script_share(texts: Sequence[str]) -> float:
    """The share of the letters that rouge-score's own tokenizer takes for no letters of Latin."""
    letters = sum(len(LETTER.findall(text)) for text in texts)
    others = sum(len(OTHER_LETTER.findall(text)) for text in texts)
    return others / letters if letters else 0.0


def accented_share(texts: Sequence[str]) -> float:
    """The share of the words that hold a letter of Latin beyond a-z."""
    words = [word for text in texts for word in unicode_words(text, stem=False)]
    return sum(bool(ACCENTED.search(word)) for word in words) / len(words) if words else 0.0
