"""Log-probabilities of tokens, computed where they are scored and nowhere else."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    Inputs = Mapping[str, torch.Tensor]
    Forward = Callable[[Any, Inputs], Any]

UNSCORED = -100
# Tokens that are computed at once: enough to keep a device busy, and so few that what a model
# remembers of them stays small.
ENOUGH, MOST = 1024, 16_384
ALIKE = 0.9  # of the longest row: shorter ones are computed by themselves, not padded
LOGITS = {"cpu": 1 << 23}  # that are held at once: what fits a processor's cache
LOGITS_ELSEWHERE = 1 << 27
SAMPLE = 4  # rows of logits that show whether a model changes what its last layer says

_changes_logits: weakref.WeakSet[Any] = weakref.WeakSet()


def log_likelihoods(
    model: Any,
    inputs: Inputs,
    labels: torch.Tensor,
    forward: Forward,
) -> NDArray[np.float64]:
    """(n,) the sums of the log-probabilities of each row's labels, added up in float64.

    The vocabulary's logits take most of the room and much of the time of a language model. They are
    made for the scored positions only, a few at a time, and turned into log-probabilities in
    float32; rows of unlike length are not padded to the longest.

    Args:
        inputs: (n, L) `input_ids` and `attention_mask`, padded on the right.
        labels: (n, L) the token after each position, or -100 where it is not scored.
        forward: one call of the model.
    """
    import numpy as np
    import torch

    sums = np.zeros(len(labels))
    lengths = inputs["attention_mask"].sum(1).tolist()
    for rows in pieces(lengths):
        width = max(lengths[rows])
        part = {key: value[rows, :width] for key, value in inputs.items()}
        scored, places = torch.nonzero(labels[rows, :width] != UNSCORED, as_tuple=True)
        targets = labels[rows, :width][scored, places]
        found = _Piece(model, forward, part, scored, places, targets).log_probabilities()
        np.add.at(sums[rows], scored.cpu().numpy(), found.cpu().double().numpy())
    return sums


def pieces(lengths: Sequence[int]) -> Iterator[slice]:
    """Rows that are computed together: of like length if they are long, many if they are short."""
    import torch

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        # Processes that share a model's weights must call it equally often.
        yield slice(0, len(lengths))
        return
    start = longest = 0
    for row, length in enumerate(lengths):
        tokens = (row - start) * longest
        together = max(longest, length) * (row - start + 1)
        alike = length >= ALIKE * longest or tokens < ENOUGH
        if row > start and (together > MOST or not alike):
            yield slice(start, row)
            start, longest = row, 0
        longest = max(longest, length)
    yield slice(start, len(lengths))


@dataclass(frozen=True)
class _Piece:
    """Rows that are computed together, and the m places in them that are scored."""

    model: Any
    forward: Forward
    inputs: Inputs
    rows: torch.Tensor
    places: torch.Tensor
    targets: torch.Tensor

    def log_probabilities(self) -> torch.Tensor:
        """(m,) of the targets."""
        found = None if self.model in _changes_logits else self._by_last_layer()
        if found is None:
            _changes_logits.add(self.model)
            found = self._by_whole_model()
        return found

    def _by_last_layer(self) -> torch.Tensor | None:
        """Calls the last layer on a few states at a time, from inside of the model.

        None if the model does something with the logits afterwards, such as capping them, which
        this would miss: a sample goes the whole way, and must come out as the layer made it.
        """
        import torch

        made: list[torch.Tensor] = []

        def take_over(layer: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
            states = arguments[0][self.rows, self.places]
            sample = states[:SAMPLE][None]
            made.extend((self._in_parts(layer.forward, states), layer.forward(sample)))
            return (sample, *arguments[1:])

        logits = self._logits(take_over)
        if len(made) != 2 or not torch.equal(made[1].float(), logits.float()):
            return None
        return made[0]

    def _by_whole_model(self) -> torch.Tensor:
        """Has the model make the logits of all scored places at once."""

        def choose(_: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
            return (arguments[0][self.rows, self.places][None], *arguments[1:])

        logits = self._logits(choose)
        if logits.shape[:2] == (1, len(self.rows)):
            return self._in_parts(lambda part: part, logits[0])
        return self._in_parts(lambda part: part, logits[self.rows, self.places])

    def _logits(self, hook: Any) -> Any:
        """The model's logits, where its last layer reads what a hook makes of its input."""
        layer = self.model.get_output_embeddings()
        if layer is None:
            return self.forward(self.model, self.inputs).logits
        handle = layer.register_forward_pre_hook(hook)
        try:
            return self.forward(self.model, self.inputs).logits
        finally:
            handle.remove()

    def _in_parts(
        self, logits_of: Callable[[torch.Tensor], torch.Tensor], states: torch.Tensor
    ) -> torch.Tensor:
        """(m,) log-probabilities of the targets; a few rows of logits at a time are held."""
        import torch
        from torch.nn import functional as F

        vocabulary: int = self.model.config.get_text_config().vocab_size
        size = max(1, LOGITS.get(states.device.type, LOGITS_ELSEWHERE) // vocabulary)
        parts = []
        for some, targets in zip(
            torch.split(states, size), torch.split(self.targets, size), strict=True
        ):
            logits = logits_of(some)
            logits = logits if logits.dtype == torch.float64 else logits.float()
            parts.append(-F.cross_entropy(logits, targets, reduction="none"))
        return torch.cat(parts)
