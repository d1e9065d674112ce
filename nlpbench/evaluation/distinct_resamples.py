"""How many different things the examples of each resample hold."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CELLS = 1 << 20


@dataclass(frozen=True)
class Held:
    """Which of n examples hold which things.

    Attributes:
        alone: (n,) how many things each example holds that no other one does.
        shared: sparse (S, n) of ones: who holds the things that several do.
    """

    alone: NDArray[np.float64]
    shared: Any

    @classmethod
    def by(cls, examples: Sequence[AbstractSet[Hashable]]) -> Held:
        """
        Args:
            examples: (n,) the set of each.
        """
        import numpy as np
        from scipy.sparse import csr_array

        ids: dict[Hashable, int] = {}
        pairs = [
            (ids.setdefault(thing, len(ids)), row)
            for row, things in enumerate(examples)
            for thing in things
        ]
        thing, row = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        # What one example alone holds counts wherever that example is drawn: no matrix needed.
        alone = np.bincount(thing)[thing] == 1
        names, numbers = np.unique(thing[~alone], return_inverse=True)
        ones = np.ones(len(numbers), dtype=np.float32)
        return cls(
            np.bincount(row[alone], minlength=len(examples)).astype(np.float64),
            csr_array((ones, (numbers, row[~alone])), shape=(len(names), len(examples))),
        )

    def different(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """The size of the union of the drawn examples' sets, for each resample: (B,).

        Args:
            counts: (B, n), how often each example was drawn.
        """
        from nlpbench.evaluation.resampling import weighted_sums

        drawn = counts > 0
        found = weighted_sums(drawn, self.alone)
        size = max(1, CELLS // max(1, *self.shared.shape))
        for start in range(0, len(drawn), size):
            block = drawn[start : start + size].T.astype("float32")
            found[start : start + size] += (self.shared @ block > 0).sum(axis=0)
        return found
