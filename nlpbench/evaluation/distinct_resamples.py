"""How many different things the examples of each resample hold."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CELLS = 1 << 22


def distinct_resamples(
    held: Sequence[AbstractSet[Hashable]], counts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The size of the union of the drawn examples' sets, for each resample: (B,).

    Args:
        held: the set of each of n examples.
        counts: (B, n), how often each example was drawn.
    """
    import numpy as np
    from scipy.sparse import csr_array

    from nlpbench.evaluation.resampling import weighted_sums

    ids: dict[Hashable, int] = {}
    pairs = [
        (ids.setdefault(thing, len(ids)), row)
        for row, things in enumerate(held)
        for thing in things
    ]
    if not pairs:
        return np.zeros(len(counts))
    thing, row = np.array(pairs).T
    holders = np.bincount(thing)
    # What one example alone holds counts wherever that example is drawn: no matrix needed.
    alone = holders[thing] == 1
    drawn = (counts > 0).astype(np.int64)
    found = weighted_sums(drawn, np.bincount(row[alone], minlength=len(held)))
    shared = np.unique(thing[~alone], return_inverse=True)
    if not len(shared[0]):
        return found
    matrix = csr_array(
        (np.ones(len(shared[1]), dtype=np.float32), (shared[1], row[~alone])),
        shape=(len(shared[0]), len(held)),
    )
    size = max(1, CELLS // len(shared[0]))
    for start in range(0, len(drawn), size):
        block = drawn[start : start + size].T.astype(np.float32)
        found[start : start + size] += (matrix @ block > 0).sum(axis=0)
    return found
