"""Which tokens of a text are masked, and what stands in their place."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Masking:
    """Masks as of BERT (Devlin et al. 2019): some tokens are to be predicted, and most of them hidden.

    Attributes:
        probability: of a token, or of a word with all its tokens, to be predicted.
        replaced: the share of those that the mask token stands for.
        random: the share of those that any token stands for; the rest is left as it is.
        mask: the mask token.
        plain: (V,) whether a token is one of texts, not a special one. The unknown token is one
            of texts: it stands for a word.
        entries: the tokens that stand for others at random.
    """

    probability: float
    replaced: float
    random: float
    mask: int
    plain: NDArray[np.bool_]
    entries: NDArray[np.int64]

    def choose(
        self,
        ids: NDArray[np.int64],
        words: NDArray[np.int64] | None,
        random: np.random.Generator,
        allowed: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.bool_]:
        """(L,) the tokens that are to be predicted: one at least, if any can be; no special ones.

        Args:
            words: (L,) the word of each token, so that words are taken whole.
            allowed: (L,) those that may be taken; all unless told.
        """
        import numpy as np

        chosen = np.zeros(len(ids), dtype=bool)
        free = self.plain[ids] if allowed is None else self.plain[ids] & allowed
        places = np.flatnonzero(free)
        if not len(places):
            return chosen
        groups = np.arange(len(places))
        if words is not None:
            groups = np.unique(words[places], return_inverse=True)[1]
        count = int(groups[-1] if words is None else groups.max()) + 1
        taken = random.random(count) < self.probability
        if not taken.any():
            taken[random.integers(count)] = True
        chosen[places] = taken[groups]
        return chosen

    def hide(
        self, ids: NDArray[np.int64], chosen: NDArray[np.bool_], random: np.random.Generator
    ) -> NDArray[np.int64]:
        """(L,) what the model reads: the mask token, another one, or the token as it was."""
        import numpy as np

        hidden = ids.copy()
        draw = random.random(len(ids))
        hidden[chosen & (draw < self.replaced)] = self.mask
        other = np.flatnonzero(
            chosen & (draw >= self.replaced) & (draw < self.replaced + self.random)
        )
        hidden[other] = self.entries[random.integers(len(self.entries), size=len(other))]
        return hidden


def masking_for(
    tokenizer: PreTrainedTokenizerBase,
    framing: set[int],
    *,
    probability: float,
    replaced: float,
    random: float,
) -> Masking:
    """The masks of texts of a tokenizer.

    Args:
        framing: tokens that stand around texts.

    Raises:
        UserError: a tokenizer without a mask token.
    """
    import numpy as np

    mask: Any = tokenizer.mask_token_id
    if mask is None:
        raise UserError(
            f"{type(tokenizer).__name__} has no mask token, so nothing can be masked; take a model "
            "that was trained with masks, such as BERT or RoBERTa"
        )
    special = ({*tokenizer.all_special_ids} | framing) - {tokenizer.unk_token_id}
    known = set(tokenizer.get_vocab().values())
    plain = np.ones(max(known | special) + 1, dtype=bool)
    plain[sorted(special)] = False
    entries = np.array(sorted(known - special - {tokenizer.unk_token_id}), dtype=np.int64)
    return Masking(probability, replaced, random, mask, plain, entries)


def fixed_random(seed: int, content: bytes) -> np.random.Generator:
    """Draws the same for the same content, wherever it stands."""
    import numpy as np

    return np.random.default_rng([seed, zlib.crc32(content)])
