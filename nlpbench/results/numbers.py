"""Numbers as a sentence tells them: short, yet never alike where they differ."""

from __future__ import annotations

DIGITS = (4, 6, 9, 17)


def told(value: float, digits: int = 4) -> str:
    """A number with so many significant digits; those before the point are all written."""
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e+" in text else text


def apart(one: float, other: float) -> tuple[str, str]:
    """Two numbers with as many digits as it takes to see that they differ."""
    for digits in DIGITS:
        texts = told(one, digits), told(other, digits)
        if texts[0] != texts[1] or one == other:
            return texts
    return repr(one), repr(other)
