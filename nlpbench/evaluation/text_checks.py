"""What is wrong or doubtful about texts before they are scored."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Texts = Sequence[Any] | NDArray[Any]

WRITTEN_WITHOUT_SPACES = {
    "Chinese": "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff",
    "Japanese": "\u3041-\u3096\u30a1-\u30fa\u31f0-\u31ff\uff66-\uff9d",
    "Thai": "\u0e01-\u0e4e",
    "Lao": "\u0e81-\u0edf",
    "Khmer": "\u1780-\u17d3",
    "Burmese": "\u1000-\u103f\u1050-\u108f\uaa60-\uaa7f",
}
"""The letters of a language: the Han characters for Chinese, the kana alone for Japanese."""

_LETTERS = "".join(WRITTEN_WITHOUT_SPACES.values())
_RUN = re.compile(f"[{_LETTERS}]+")
_GAP = re.compile(rf"(?<=[{_LETTERS}])\s+(?=[^\x00-\x7f])")
_OF_LANGUAGE = {
    language: re.compile(f"[{letters}]") for language, letters in WRITTEN_WITHOUT_SPACES.items()
}
_SEGMENTED = 0.12  # spaces a letter: words of 8 letters, longer than those of any of the languages
_REFUSED, _WORTH_A_WARNING = 0.3, 0.03


def check_texts(predictions: Texts, references: Texts) -> list[str]:
    """What is doubtful about texts and their references, a sentence each.

    Args:
        predictions: n texts.
        references: for each of them a list of its right texts.

    Raises:
        UserError: not as many predictions as rows of references, references that are flat or
            transposed, text that is no string, a row without a reference, an empty reference.
    """
    _check_shape(predictions, references)
    _check_references(references)
    for index, text in enumerate(predictions):
        if not isinstance(text, str):
            raise UserError(f"row {index + 1}: the prediction must be a string (got {show(text)})")
    empty = [index for index, text in enumerate(predictions) if not text.strip()]
    warnings = []
    if empty:
        warnings.append(
            f"{len(empty)} of {len(predictions)} predictions are empty ({name_rows(empty)})"
        )
    for kind, texts in (("predictions", predictions), ("first references", _firsts(references))):
        if ending := _looks_tokenised(texts):
            warnings.append(
                f"{ending} of {len(texts)} {kind} end in ' .', as tokenised text does; scores of "
                "tokenised text are not comparable with those of raw text: detokenise it first"
            )
    return warnings


def name_rows(indices: Sequence[int], at_most: int = 5) -> str:
    """`row 3`, `rows 3, 8` or `rows 3, 8, 9, 12, 15 and 4 more`, from indices that count from 0."""
    named = ", ".join(str(index + 1) for index in indices[:at_most])
    more = f" and {len(indices) - at_most} more" if len(indices) > at_most else ""
    return f"row{'s' * (len(indices) > 1)} {named}{more}"


@dataclass(frozen=True)
class SpacelessText:
    """A language written without spaces, and its share of the characters, from 0 to 1."""

    language: str
    share: float


def spaceless(texts: Iterable[str]) -> SpacelessText | None:
    """The language without spaces between words that most of the texts' letters of such are in.

    None where there are no such letters, or where spaces part them into words all the same.
    Japanese is told from Chinese by its kana.
    """
    characters = letters = gaps = 0
    found: Counter[str] = Counter()
    for text in texts:
        characters += len("".join(text.split()))
        runs = _RUN.findall(text)
        if not runs:
            continue
        gaps += len(_GAP.findall(text))
        joined = "".join(runs)
        letters += len(joined)
        for language, pattern in _OF_LANGUAGE.items():
            found[language] += len(pattern.findall(joined))
    if not letters or gaps > _SEGMENTED * letters:
        return None
    if found["Japanese"] > 0.05 * found["Chinese"]:
        found["Japanese"] += found.pop("Chinese")
    return SpacelessText(found.most_common(1)[0][0], letters / characters)


def check_spaceless(
    texts: Iterable[str],
    problem: str,
    advice: str,
    advice_for: Mapping[str, str] = MappingProxyType({}),
    readable: Collection[str] = (),
) -> list[str]:
    """A warning where some of the texts have no spaces between words, for what counts words.

    Args:
        problem: what goes wrong then, as the middle of a sentence.
        advice: what to do, where `advice_for` has nothing for the language.
        readable: the languages that cause no problem.

    Raises:
        UserError: it is a third of the text or so.
    """
    found = spaceless(texts)
    if found is None or found.language in readable or found.share < _WORTH_A_WARNING:
        return []
    sentence = (
        f"{found.share:.0%} of the text is {found.language}, written without spaces between "
        f"words, {problem}: {advice_for.get(found.language, advice)}"
    )
    if found.share >= _REFUSED:
        raise UserError(sentence)
    return [sentence]


def reference_count(references: Texts) -> str:
    """How many references a row has: a number, or `var` where the rows differ."""
    found = {len(row) for row in references}
    return str(found.pop()) if len(found) == 1 else "var"


def _check_shape(predictions: Texts, references: Texts) -> None:
    for index, row in enumerate(references):
        if isinstance(row, str):
            raise UserError(
                f"row {index + 1}: the references must be a list of strings, one or more for each "
                f"prediction (got the string {show(row)}); write [{show(row)}]"
            )
        if not isinstance(row, list | tuple):
            raise UserError(
                f"row {index + 1}: the references must be a list of strings (got {show(row)})"
            )
    n, rows = len(predictions), len(references)
    if n == rows:
        return
    if rows and all(len(row) == n for row in references):
        raise UserError(
            f"the references are transposed: {rows} lists of {n} texts, where {n} predictions need "
            f"{n} lists of {rows}; the outer list goes over the predictions"
        )
    raise UserError(
        f"the predictions ({n}) and the rows of references ({rows}) differ in number; each "
        "prediction needs its own list of references"
    )


def _check_references(references: Texts) -> None:
    for index, row in enumerate(references):
        for text in row:
            if not isinstance(text, str):
                raise UserError(f"row {index + 1}: a reference must be a string (got {show(text)})")
    without = [index for index, row in enumerate(references) if not row]
    if without:
        raise UserError(
            f"{len(without)} of {len(references)} rows have no reference ({name_rows(without)}); "
            "each needs one or more: leave those rows out"
        )
    empty = [i for i, row in enumerate(references) if not all(text.strip() for text in row)]
    if empty:
        raise UserError(
            f"{len(empty)} of {len(references)} rows have an empty reference ({name_rows(empty)}); "
            "leave out the empty reference, or the row where it is the only one"
        )


def _firsts(references: Texts) -> list[str]:
    return [row[0] for row in references]


def _looks_tokenised(texts: Texts) -> int:
    """How many texts end in a period set apart, or 0 where they are too few to tell.

    sacrebleu's sign of tokenised text is 100 of them; in a small corpus it is a tenth of the texts.
    """
    ending = sum(text.rstrip().endswith(" .") for text in texts)
    return ending if ending >= 100 or (ending >= 5 and 10 * ending >= len(texts)) else 0
