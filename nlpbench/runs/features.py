"""The features of a split, kept from run to run: the same texts are tokenised once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from nlpbench.data import features
from nlpbench.evaluation.progress import Progress
from nlpbench.models.tokenizer_digest import tokenizer_digest
from nlpbench.tasks import Bundle, Encode, Task

if TYPE_CHECKING:
    from datasets import Dataset
    from numpy.typing import NDArray


def encode(
    task: Task,
    rows: Dataset,
    references: NDArray[Any] | None,
    bundle: Bundle,
    *,
    training: bool = False,
    corpus: Dataset | None = None,
) -> Dataset:
    """`task.encode`, with all but the labels in the cache; labels may change, texts do not.

    Tokenizers of the library `tokenizers` work on a batch with all cores, in threads: processes
    forked from one that has started torch may hang, and would send the tokens through pipes.
    """

    tokenizer = bundle.tokenizer

    def keep(rows: Dataset, options: Mapping[str, Any], encode: Encode) -> Dataset:
        key = {"task": task.name, "options": options, "tokenizer": tokenizer_digest(tokenizer)}
        return features.kept(rows, key, encode, partial(Progress, "tokenising", len(rows)))

    return task.encode(rows, references, bundle, keep, training=training, corpus=corpus)
