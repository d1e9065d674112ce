"""Approximate randomisation: what if the answers of both systems had been exchanged by chance."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from nlpbench.evaluation.bootstrap import CELLS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nlpbench.evaluation.paired.pair import Pair


def exchanged(pair: Pair, shuffles: int, seed: int) -> dict[str, NDArray[np.float64]]:
    """The differences after exchanging, by key (1 + B,); the first one has nothing exchanged.

    If the systems do not differ, it is chance which of them gave which of two answers. Each
    shuffle throws a coin for every example, or for every cluster with all its examples, and
    exchanges the two answers if it shows heads.
    """
    import numpy as np

    found: dict[str, list[NDArray[np.float64]]] = {}
    for kept in _blocks(pair, shuffles, seed):
        for key, (one, other) in pair.mixed(kept).items():
            with np.errstate(invalid="ignore"):  # between infinite scores
                found.setdefault(key, []).append(one - other)
    return {key: np.concatenate(parts) for key, parts in found.items()}


def p_value(differences: NDArray[np.float64]) -> float | None:
    """The share of shuffles that set the systems as far apart as they are, in either direction.

    Noreen 1989, "Computer-Intensive Methods for Testing Hypotheses"; Riezler and Maxwell 2005, "On
    some pitfalls in automatic evaluation and significance testing for MT". One is added to both
    counts, so that B shuffles give no p-value below 1 / (B + 1). Shuffles that leave the difference
    undefined are left out; None with fewer than half of them.

    Args:
        differences: (1 + B,) the observed one first.
    """
    import numpy as np

    observed, shuffled = float(differences[0]), differences[1:]
    defined = shuffled[np.isfinite(shuffled)]
    if not math.isfinite(observed) or 2 * len(defined) < len(shuffled):
        return None
    # Equal differences may come out of sums in another order, apart by a rounding error.
    reached = abs(observed) - 1e-9 * max(abs(observed), float(np.abs(defined).max(initial=0.0)))
    at_least = int((np.abs(defined) >= reached).sum())
    return (at_least + 1) / (len(defined) + 1)


def _blocks(pair: Pair, shuffles: int, seed: int) -> Iterator[NDArray[np.bool_]]:
    """Whose two answers stay where they are, (b, n); in the first row all do."""
    import numpy as np

    generator = np.random.Generator(np.random.PCG64(seed))
    units = pair.rows if pair.clusters is None else int(pair.clusters.max(initial=-1)) + 1
    rows = max(1, CELLS // max(1, 4 * pair.rows))
    for start in range(0, shuffles + 1, rows):
        block = np.ones((min(rows, shuffles + 1 - start), units), dtype=bool)
        for row in block[1:] if start == 0 else block:
            row[:] = generator.random(units) < 0.5
        yield block if pair.clusters is None else block[:, pair.clusters]
