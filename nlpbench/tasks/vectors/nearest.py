"""The documents nearest to each query, found exactly: every query is compared with every document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

BLOCK = 2**25  # similarities in memory at a time


@dataclass(frozen=True)
class Ranked:
    """What a search found for q queries.

    Attributes:
        places: for each query the numbers of its documents, best first; equal ones as they stand.
        scores: (q, k) in the same order.
        loss: the mean over all relevant pairs; None where there is none.
    """

    places: list[NDArray[np.int64]]
    scores: list[NDArray[np.float32]]
    loss: float | None


def search(
    queries: NDArray[np.float32],
    documents: NDArray[np.float32],
    k: int,
    *,
    scale: float,
    relevant: Sequence[Sequence[int]],
    left_out: Sequence[int | None],
) -> Ranked:
    """Ranks the documents of each query by the dot product.

    The loss of a query and a relevant document is the cross entropy between that document and all
    that are not relevant to the query: in-batch negatives, with the whole corpus for a batch.

    Args:
        queries, documents: (q, H) and (N, H).
        scale: what the loss multiplies similarities by.
        relevant: the documents of each query, by number.
        left_out: the document of each query that is not ranked.
    """
    import torch

    places, scores, losses = [], [], []
    every = torch.from_numpy(documents)
    rows = max(1, BLOCK // max(1, len(documents)))
    for start in range(0, len(queries), rows):
        block = torch.from_numpy(queries[start : start + rows]) @ every.T
        for number, similarities in enumerate(block, start):
            out = left_out[number]
            if out is not None:
                similarities[out] = -torch.inf
            count = min(k, len(documents) - (out is not None))
            losses += _losses(similarities * scale, [one for one in relevant[number] if one != out])
            found, order = _best(similarities, count)
            places.append(order)
            scores.append(found)
    return Ranked(places, scores, sum(losses) / len(losses) if losses else None)


def _best(similarities: torch.Tensor, count: int) -> tuple[Any, Any]:
    """The `count` largest of (N,) and their places; of equal ones the first comes first."""
    import torch

    if not count:
        return similarities[:0].numpy(), torch.empty(0, dtype=torch.int64).numpy()
    least = torch.topk(similarities, count, sorted=False).values.min()
    places = torch.nonzero(similarities >= least).squeeze(1)
    order = torch.sort(similarities[places], descending=True, stable=True).indices[:count]
    return similarities[places][order].numpy(), places[order].numpy()


def _losses(similarities: torch.Tensor, relevant: Sequence[int]) -> list[float]:
    import torch
    from torch.nn import functional as F

    if not relevant:
        return []
    exact = similarities.double()
    right = exact[list(relevant)]
    exact[list(relevant)] = -torch.inf
    found: list[float] = F.softplus(torch.logsumexp(exact, 0) - right).tolist()
    return found
