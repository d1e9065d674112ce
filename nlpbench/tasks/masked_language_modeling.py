"""Masked language modelling: tokens of texts are hidden, and predicted from both sides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from nlpbench.config.errors import UserError
from nlpbench.config.problems import Invalid, Problem
from nlpbench.tasks import (
    Bundle,
    Collate,
    Inferred,
    Keep,
    Locate,
    Predictions,
    keep_in_memory,
)
from nlpbench.tasks._columns import arrays
from nlpbench.tasks._padding import pad
from nlpbench.tasks.language.blocks import NO_WORD, Block, numbered, packed, separate
from nlpbench.tasks.language.chosen_logits import CHOSEN, chosen_logits
from nlpbench.tasks.language.framing import Frame, Tokens, tokenize
from nlpbench.tasks.language.hidden_likelihood import (
    HIDDEN,
    SCORED,
    each_masked_once,
    of_fixed_masks,
)
from nlpbench.tasks.language.likelihood import UNSCORED
from nlpbench.tasks.language.masking import Masking, fixed_random
from nlpbench.tasks.language.masking_task import MaskingTask
from nlpbench.tasks.tagging.word_windows import best_window, cuts

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

LAYOUT = 1  # of the features: another one, and those in the cache are made anew
TOGETHER = 500  # features


class MaskedLanguageModeling(MaskingTask):
    """Predicts hidden tokens from those around them, as BERT is trained (Devlin et al. 2019).

    The head is that of transformers' `AutoModelForMaskedLM`; where a checkpoint has none, it is
    new, and learnt. Of the tokens of a block `mlm_probability` are drawn, anew at every visit
    (Liu et al. 2019, "RoBERTa"), one at least: most of them are replaced by the mask token, some by
    any token, and some stay as they are. Special tokens are never drawn. With `whole_word_mask`
    words are drawn, with all their tokens. The run directory can be the `name_or_path` of
    any other task's model, so this adapts a model to the language of a field.

        task: {name: masked-language-modeling, text_column: text, max_length: 128}

    For training, texts are joined and cut into blocks (`pack`), or each is cut by itself. For
    scoring, a text is a document, and one longer than `max_length` is read in windows, each token in
    the window that shows most around it. The answer is the log-likelihood of each document:

    - `score: pseudo-perplexity`: each token is masked once, alone, and predicted from all others
      (Salazar et al. 2020, "Masked Language Model Scoring"). It takes a copy of the text for each
      token, so a document of 100 tokens costs 100 forward passes.
    - `score: masked`: of the tokens that are drawn once and for all (`mask_seed`), in one forward
      pass. It depends on the draw, and is comparable between models with the same tokenizer only.

    Neither is comparable with the perplexity of a left-to-right model. The validation loss is that
    of the tokens drawn once and for all, and so comparable from epoch to epoch and run to run.
    """

    slow_to_score: ClassVar[bool] = True

    max_length: int = Field(128, ge=4, description="tokens of a block; nothing is cut off")
    pack: bool = Field(
        True, description="texts are joined to blocks of max_length tokens; else each by itself"
    )
    score: Literal["pseudo-perplexity", "masked"] = Field(
        "pseudo-perplexity",
        description="what is scored: each token masked once, or those of masks drawn once, which is "
        "quick",
    )
    stride: int | None = Field(
        None,
        ge=0,
        description="tokens that windows of a long text share, at least, when it is scored; a "
        "quarter of max_length unless told",
    )
    mask_seed: int = Field(
        0, ge=0, description="of the masks that stay the same: validation loss, and score: masked"
    )

    @model_validator(mode="after")
    def windows_move_on(self) -> MaskedLanguageModeling:
        if self.stride is not None and self.stride >= self.max_length:
            message = f"must be less than max_length, {self.max_length} (got {self.stride})"
            raise Invalid(Problem(("stride",), message))
        return self

    @property
    def answer(self) -> Literal["log-likelihoods"]:
        return "log-likelihoods"

    def default_metrics(self) -> list[dict[str, Any]]:
        return [{"name": "perplexity"}]

    @property
    def auto_classes(self) -> tuple[str, ...]:
        return ("AutoModelForMaskedLM",)

    def references(self, rows: Dataset, labels: Sequence[str], locate: Locate) -> NDArray[Any]:
        import numpy as np

        sizes = [
            [len(text.split()), len(text.encode("utf-8", "surrogatepass"))]
            for text in self.texts(rows, locate)
        ]
        return np.array(sizes, dtype=np.int64).reshape(-1, 2)

    def encode(
        self,
        rows: Dataset,
        references: NDArray[Any] | None,
        bundle: Bundle,
        keep: Keep = keep_in_memory,
        *,
        training: bool = False,
        corpus: Dataset | None = None,
    ) -> Dataset:
        frame = Frame.of(bundle.tokenizer)
        masking = self._masking(bundle.tokenizer, frame)
        self._check_room(frame, training)
        names = {"text_column", "max_length"}
        names |= (
            {"pack", "whole_word_mask"}
            if training
            else {*type(self).model_fields} - {"score", "pack"}
        )
        options = {name: getattr(self, name) for name in sorted(names)}
        make = self._blocks if training else self._windows
        features = keep(
            rows.select_columns([self.text_column]),
            {**options, "training": training, "layout": LAYOUT},
            partial(
                self._features, bundle.tokenizer, partial(make, bundle.tokenizer, frame, masking)
            ),
        )
        if training or references is not None or self.score == "masked":
            return features
        return features.remove_columns("masked_ids")

    def collate(self, bundle: Bundle, *, training: bool = False) -> Collate:
        tokenizer = bundle.tokenizer
        if not training:
            return partial(_padded, tokenizer)
        return partial(_masked_anew, tokenizer, self._masking(tokenizer, Frame.of(tokenizer)))

    def flat_labels(self, labels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (labels[labels != UNSCORED],)

    def flat_logits(self, outputs: Any, labels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (chosen_logits(outputs.logits, labels != UNSCORED),)

    def infer(
        self, bundle: Bundle, batch: Mapping[str, torch.Tensor], answers: bool = True
    ) -> Inferred:
        """The log-likelihood of each feature and of how many tokens, (n, 2); the loss where masks are."""
        import numpy as np

        found = losses = targets = None
        if "masked_ids" in batch:
            found = of_fixed_masks(bundle.model, batch, self.forward)
            losses, targets = -found[:, 0].sum(keepdims=True), found[:, 1].sum(keepdims=True)
        if not answers:
            return Inferred(None, losses, targets)
        if self.score == "pseudo-perplexity":
            mask: Any = bundle.tokenizer.mask_token_id
            found = each_masked_once(bundle.model, batch, mask, self.forward)
        assert found is not None
        return Inferred(np.asarray(found), losses, targets)

    def decode(
        self,
        values: NDArray[Any] | list[NDArray[Any]],
        features: Dataset,
        rows: Dataset,
        bundle: Bundle,
    ) -> Predictions:
        import numpy as np

        examples = [np.asarray(part, dtype=np.int64) for part in arrays(features, "example")]
        sums = np.zeros((len(rows), 2))
        np.add.at(sums, np.concatenate(examples), np.asarray(values))
        return Predictions(sums, signature=self._signature)

    @property
    def _overlap(self) -> int:
        return self.max_length // 4 if self.stride is None else self.stride

    @property
    def _signature(self) -> str:
        """What the log-likelihoods follow from besides the model and the documents."""
        parts: dict[str, Any] = {
            "score": self.score,
            "max_length": self.max_length,
            "stride": self._overlap,
        }
        if self.score == "masked":
            names = ("mlm_probability", "mask_replace_prob", "random_replace_prob", "mask_seed")
            parts |= {name: getattr(self, name) for name in names}
            parts["words"] = "whole" if self.whole_word_mask else "pieces"
        return "|".join(f"{name}:{value}" for name, value in parts.items())

    def _check_room(self, frame: Frame, training: bool) -> None:
        shared = 0 if training else self._overlap
        if frame.special + shared >= self.max_length:
            raise UserError(
                f"task.max_length is {self.max_length}, of which {frame.special} tokens are special "
                f"ones and windows share {self._overlap} (task.stride); make it longer, or share "
                "fewer"
            )

    def _features(
        self,
        tokenizer: PreTrainedTokenizerBase,
        make: Callable[[Iterable[Tokens]], Iterator[dict[str, Any]]],
        batches: Iterable[Mapping[str, Any]],
    ) -> Iterator[dict[str, list[Any]]]:
        """Columns of some features at a time.

        Raises:
            UserError: there are none.
        """
        features = make(
            tokens for batch in batches for tokens in tokenize(tokenizer, batch[self.text_column])
        )
        some = False
        while made := list(islice(features, TOGETHER)):
            some = True
            yield {name: [feature[name] for feature in made] for name in made[0]}
        if not some:
            raise UserError(
                f"no row has a text in the column {self.text_column} that the tokenizer makes tokens "
                "of, so there is nothing to predict"
            )

    def _blocks(
        self,
        tokenizer: PreTrainedTokenizerBase,
        frame: Frame,
        masking: Masking,
        documents: Iterable[Tokens],
    ) -> Iterator[dict[str, Any]]:
        """The blocks to train on that have a token to predict."""
        size = self.max_length - frame.special
        separator: Any = tokenizer.sep_token_id
        if separator is None:
            separator = tokenizer.eos_token_id
        if self.pack:
            blocks: Iterator[Block] = packed(numbered(documents), separator, size)
        else:
            blocks = separate(numbered(documents), size)
        for block in blocks:
            if not masking.plain[block.ids].any():
                continue
            feature = _framed(frame, block.ids, block.row)
            if self.whole_word_mask:
                feature["words"] = frame.filled(block.words, value=NO_WORD)
            yield feature

    def _windows(
        self,
        tokenizer: PreTrainedTokenizerBase,
        frame: Frame,
        masking: Masking,
        documents: Iterable[Tokens],
    ) -> Iterator[dict[str, Any]]:
        """The windows of each document that have a token to score, each token in one of them."""
        import numpy as np

        size = self.max_length - frame.special
        for row, tokens in numbered(documents):
            windows = cuts(len(tokens.ids), size, self._overlap)
            owners = np.zeros(len(tokens.ids), dtype=np.int64)
            if len(windows) > 1:
                places = range(len(owners))
                owners[:] = [best_window(place, windows, len(owners)) for place in places]
            for number, (start, stop) in enumerate(windows):
                ids = np.array(frame.around(tokens.ids[start:stop]), dtype=np.int64)
                own = frame.filled(owners[start:stop] == number, value=False)
                scored = masking.plain[ids] & np.array(own, dtype=bool)
                if not scored.any():
                    continue
                words = frame.filled(tokens.words[start:stop], value=NO_WORD)
                random = fixed_random(self.mask_seed, ids.tobytes())
                chosen = masking.choose(
                    ids, np.array(words) if self.whole_word_mask else None, random, scored
                )
                yield {
                    **_framed(frame, tokens.ids[start:stop], row),
                    "masked_ids": masking.hide(ids, chosen, random).tolist(),
                    "scored": np.where(chosen, HIDDEN, np.where(scored, SCORED, 0)).tolist(),
                }


def _framed(frame: Frame, ids: Sequence[int], row: int) -> dict[str, Any]:
    """What the model takes of some tokens, how many there are, and where they are from."""
    whole, types = frame.around(ids), frame.types(ids)
    return {
        "input_ids": whole,
        **({} if types is None else {"token_type_ids": types}),
        "attention_mask": [1] * len(whole),
        "length": len(whole),
        "whole_length": len(whole),
        "example": row,
    }


def _padded(
    tokenizer: PreTrainedTokenizerBase, features: Sequence[Mapping[str, Any]]
) -> dict[str, torch.Tensor]:
    """(n, L) of each column that has a number a token."""

    blank = tokenizer.pad_token_id or 0
    values = {
        "input_ids": blank,
        "token_type_ids": tokenizer.pad_token_type_id,
        "attention_mask": 0,
        "masked_ids": blank,
        "scored": 0,
        "labels": UNSCORED,
    }
    return {
        name: pad([row[name] for row in features], value)
        for name, value in values.items()
        if name in features[0]
    }


def _masked_anew(
    tokenizer: PreTrainedTokenizerBase, masking: Masking, features: Sequence[Mapping[str, Any]]
) -> dict[str, torch.Tensor]:
    """A batch with masks that follow from the seed, the epoch and the feature."""
    import numpy as np

    masked = []
    for row in features:
        random = np.random.default_rng(row["visit"])
        ids = np.array(row["input_ids"], dtype=np.int64)
        words = np.array(row["words"], dtype=np.int64) if "words" in row else None
        chosen = masking.choose(ids, words, random)
        labels = np.where(chosen, ids, UNSCORED)
        masked.append({**row, "input_ids": masking.hide(ids, chosen, random), "labels": labels})
    batch = _padded(tokenizer, masked)
    return {**batch, CHOSEN: batch["labels"] != UNSCORED}
