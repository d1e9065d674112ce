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


def groups(values: Iterable[Any]) -> np.ndarray:
    """A group number for each row: equal values have one, and a row without a value has its own.

    Raises:
        TypeError: lists and mappings, which are no values.
    """
    import numpy as np

    numbers: dict[Hashable, int] = {}
    nothing = (None, "")
    return np.fromiter(
        (
            numbers.setdefault((row,) if value in nothing else value, len(numbers))
            for row, value in enumerate(values)
        ),
        np.int64,
    )


def hold_out_groups(
    rows: np.ndarray, count: int, group_of: np.ndarray, random: np.random.RandomState
) -> np.ndarray:
    """Whole groups of the rows, drawn until they hold about `count` rows; in order.

    One group at least, and all of them only where there is but one.
    """
    import numpy as np

    found, sizes = np.unique(group_of[rows], return_counts=True)
    order = random.permutation(len(found))
    through = np.cumsum(sizes[order])
    number = 1 + int(np.abs(through[:-1] - count).argmin()) if len(found) > 1 else 1
    return rows[np.isin(group_of[rows], found[order[:number]])]


def split_off(
    total: int,
    shares: dict[str, float],
    classes: np.ndarray | None,
    seed: int,
    group_of: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """The rows of each held-out split: test first, then validation from what is left.

    The same test and validation rows come out whichever of them a command needs, as long as the
    same splits are missing: rows that one run trains on are not those another one tests on.

    Args:
        classes: (n,) that keep their shares, unless there are groups.
        group_of: (n,) that stay whole.
    """
    import numpy as np

    rows = np.arange(total)
    held_out: dict[str, np.ndarray] = {}
    for name in ("test", "validation"):
        if name in shares:
            count = max(1, round(total * shares[name]))
            random = generator(seed, name)
            if group_of is None:
                held_out[name] = hold_out(rows, count, classes, random)
            else:
                held_out[name] = hold_out_groups(rows, count, group_of, random)
            rows = np.setdiff1d(rows, held_out[name], assume_unique=True)
    return held_out


def sample(total: int, count: int, seed: int) -> np.ndarray:
    """`count` row numbers in order; a larger sample holds the smaller one."""
    import numpy as np

    return np.sort(generator(seed, "sample").permutation(total)[:count])
