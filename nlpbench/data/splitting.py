"""Which rows of train become validation and test, and which rows a cap keeps."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

# Each draw has a stream of its own, so that none depends on whether another is made.
STREAMS = {name: number for number, name in enumerate(("test", "validation", "sample"))}


def generator(seed: int, stream: str) -> np.random.RandomState:
    """numpy guarantees that the numbers of the old generator never change, and only of that one."""
    import numpy as np

    return np.random.RandomState([seed % 2**32, STREAMS[stream]])


def strata(values: Iterable[Any]) -> np.ndarray | None:
    """A class number for each row, or None where the values are no classes of two rows or more."""
    import numpy as np

    numbers: dict[Hashable, int] = {}
    try:
        classes = np.fromiter(
            (numbers.setdefault(value, len(numbers)) for value in values), np.int64
        )
    except TypeError:  # lists and mappings
        return None
    if len(numbers) < 2 or np.bincount(classes).min() < 2:
        return None
    return classes


def hold_out(
    rows: np.ndarray, count: int, classes: np.ndarray | None, random: np.random.RandomState
) -> np.ndarray:
    """`count` of the rows, each class in proportion and none taken whole; in order."""
    import numpy as np

    if classes is None:
        return np.sort(random.permutation(rows)[:count])
    of_class = classes[rows]
    sizes = np.bincount(of_class, minlength=int(classes.max()) + 1)
    wanted = sizes * count / len(rows)
    taken = np.minimum(np.floor(wanted).astype(int), np.maximum(sizes - 1, 0))
    # What rounding leaves goes to the largest remainders; equal ones are drawn by lot.
    order = np.lexsort((random.permutation(len(sizes)), taken - wanted))
    open_classes = [number for number in order if taken[number] < sizes[number] - 1]
    taken[open_classes[: count - int(taken.sum())]] += 1
    chosen = [
        random.permutation(rows[of_class == number])[: taken[number]]
        for number in np.flatnonzero(sizes)
    ]
    return np.sort(np.concatenate(chosen))


def split_off(
    total: int, shares: dict[str, float], classes: np.ndarray | None, seed: int
) -> dict[str, np.ndarray]:
    """The rows of each held-out split: test first, then validation from what is left.

    The same test and validation rows come out whichever of them a command needs, as long as the
    same splits are missing: rows that one run trains on are not those another one tests on.
    """
    import numpy as np

    rows = np.arange(total)
    held_out: dict[str, np.ndarray] = {}
    for name in ("test", "validation"):
        if name in shares:
            count = max(1, round(total * shares[name]))
            held_out[name] = hold_out(rows, count, classes, generator(seed, name))
            rows = np.setdiff1d(rows, held_out[name], assume_unique=True)
    return held_out


def sample(total: int, count: int, seed: int) -> np.ndarray:
    """`count` row numbers in order; a larger sample holds the smaller one."""
    import numpy as np

    return np.sort(generator(seed, "sample").permutation(total)[:count])
