"""What readers take for one character: a letter with its accents, a flag, a family of emoji."""

from __future__ import annotations

import unicodedata


def graphemes(text: str) -> list[str]:
    """The extended grapheme clusters of a text (Unicode Standard Annex 29)."""
    import regex

    return regex.findall(r"\X", text)  # type: ignore[no-any-return]


def is_letter(cluster: str) -> bool:
    return cluster[:1].isalpha()


def is_mark(cluster: str) -> bool:
    """Whether it is one mark of punctuation, and nothing else."""
    return len(cluster) == 1 and unicodedata.category(cluster).startswith("P")
