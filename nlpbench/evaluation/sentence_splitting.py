"""Splits a text into sentences by rules, with nothing to download."""

from __future__ import annotations

import regex

CLOSING = r"[\p{Pe}\p{Pf}\"'」』]*"
OPENING = r"[\p{Ps}\p{Pi}\"'¿¡–—-]*"
# Of Latin, Greek and Cyrillic: a space and no small letter must follow.
SPACED_END = rf"[.!?…]+{CLOSING}(?=\s+{OPENING}[\p{{Lu}}\p{{Lt}}\p{{Lo}}\p{{N}}])"
# Of Chinese and Japanese, Devanagari, Arabic and Urdu, Armenian, Ethiopic, Burmese and Khmer.
PLAIN_END = rf"[。！？｡।॥؟۔։።፧။។]+{CLOSING}"
END = regex.compile(f"{SPACED_END}|{PLAIN_END}")
LAST_WORD = regex.compile(r"[\p{L}\p{N}.]+$")
INITIALS = regex.compile(r"(\p{L}\.)*\p{L}")
# Those that a capital or a number follows as a rule, without a new sentence.
ABBREVIATIONS = frozenset(
    """
    mr mrs ms mx messrs dr prof rev fr hon pres gov sen rep gen col lt maj capt cmdr sgt cpl adm
    st mt no nos nr fig figs eq eqs sec ch vol vols p pp ed eds al cf vs viz approx ca art
    jan feb mar apr jun jul aug sep sept oct nov dec mme mlle sr sra srta bzw vgl str hrsg
    """.split()
)
TIMES = frozenset(("a.m", "p.m"))


def split_sentences(text: str) -> list[str]:
    """The sentences of a text, without the space around them.

    A line break ends a sentence. So does a full stop, question or exclamation mark that a space
    and a capital, a number or a letter without case follow, unless an abbreviation, initials or
    the number of a list's item stand before it; and so do the marks of scripts that put no space.
    """
    found = []
    for line in text.split("\n"):
        start = 0
        for match in END.finditer(line):
            if not _goes_on(line[start : match.start()], match[0]):
                found.append(line[start : match.end()])
                start = match.end()
        found.append(line[start:])
    return [sentence.strip() for sentence in found if sentence.strip()]


def _goes_on(before: str, mark: str) -> bool:
    """Whether a mark ends an abbreviation or an item's number, not the sentence."""
    if mark != ".":
        return False
    if before.strip().isdecimal():
        return True
    last = LAST_WORD.search(before)
    if last is None:
        return False
    word = last[0].lower()
    if word in TIMES or last[0] == "I":
        return False
    return word in ABBREVIATIONS or INITIALS.fullmatch(word) is not None
