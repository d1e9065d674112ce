"""What a decoder (GPT-2, Llama, …) learns to write after a prompt by."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError
from nlpbench.tasks._padding import attention_mask, pad
from nlpbench.tasks.writing.prompts import Prompts

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

Features = dict[str, list[Any]]
UNSCORED = -100


@dataclass(frozen=True)
class DecoderOnly:
    """Prompts, and targets with the token that ends a text; only the targets are scored.

    In training both stand in one row, padded on the right. A prompt that a model goes on from
    is padded on the left: what it writes must follow it.
    """

    tokenizer: PreTrainedTokenizerBase
    model: Any
    max_source_length: int
    max_target_length: int
    separator: str | None = None

    @property
    def leading(self) -> list[int]:
        """The tokens that the tokenizer puts before a text, such as Llama's first one."""
        marked: Any = self.tokenizer("a")["input_ids"]
        plain: Any = self.tokenizer("a", add_special_tokens=False)["input_ids"]
        places = range(len(marked) - len(plain) + 1)
        found = [place for place in places if marked[place : place + len(plain)] == plain]
        return list(marked[: found[0]]) if found else []

    @property
    def end(self) -> int:
        """The token that ends a text.

        Raises:
            UserError: there is none.
        """
        found = self.tokenizer.eos_token_id
        found = self.tokenizer.sep_token_id if found is None else found
        if found is None:
            raise UserError(
                "the tokenizer has no token that ends a text (eos), so a model could never learn to "
                "stop; take another tokenizer"
            )
        return int(found)

    def encode(
        self,
        prompts: Prompts,
        targets: Sequence[str] | None,
        leading: Sequence[int] = (),
        scored: Sequence[Sequence[int]] | None = None,
        *,
        training: bool,
    ) -> Features:
        """`input_ids` of the prompt, `target` where there is one, and the lengths.

        `length` is that of what the model reads: the prompt, and in training the target too.

        Args:
            leading: tokens before every prompt.
            scored: the labels of each token of the prompts, where some are scored as well; they
                become `prompt_labels`.
        """
        # A tokenizer without special tokens makes nothing of an empty text.
        ids = [[*leading, *row] or [self._beginning()] for row in prompts.ids]
        wholes = [len(leading) + count for count in prompts.whole_lengths]
        features: Features = {"input_ids": ids, "length": [len(row) for row in ids]}
        features["whole_length"] = [max(pair) for pair in zip(wholes, map(len, ids), strict=True)]
        if targets is None:
            return features
        tokens = self._targets(prompts, targets)
        most = self.max_target_length - 1
        features["target"] = [[*row[:most], self.end] for row in tokens]
        written = [len(row) for row in features["target"]] if training else [0] * len(ids)
        cut_off = [max(0, len(row) - most) for row in tokens]
        for column, more in (("length", [0] * len(ids)), ("whole_length", cut_off)):
            sums = zip(features[column], written, more, strict=True)
            features[column] = [sum(parts) for parts in sums]
        if scored is not None:
            features["prompt_labels"] = [
                [*[UNSCORED] * (len(row) - len(labels)), *labels]
                for row, labels in zip(ids, scored, strict=True)
            ]
        return features

    def _targets(self, prompts: Prompts, targets: Sequence[str]) -> list[list[int]]:
        """The tokens of each target as it follows its prompt."""
        spaced = [
            self._space(prompt, target) + target
            for prompt, target in zip(prompts.texts, targets, strict=True)
        ]
        wholes = [prompt + more for prompt, more in zip(prompts.texts, spaced, strict=True)]
        together, alone = self._ids(wholes), self._ids(spaced)
        return [
            whole[len(prompt) :] if whole[: len(prompt)] == prompt else target
            for prompt, whole, target in zip(self._ids(prompts.texts), together, alone, strict=True)
        ]

    def _space(self, prompt: str, target: str) -> str:
        if self.separator is not None:
            return self.separator
        return "" if not prompt or prompt[-1].isspace() or target[:1].isspace() else " "

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        found: Any = self.tokenizer(list(texts), add_special_tokens=False, verbose=False)
        return list(found["input_ids"])

    def _beginning(self) -> int:
        found = self.tokenizer.bos_token_id
        return self.end if found is None else int(found)

    def collate(
        self, features: list[dict[str, Any]], *, training: bool
    ) -> Mapping[str, torch.Tensor]:
        """A padded batch. To predict, `whole_input_ids` and `whole_attention_mask` hold prompt and
        target for the loss.

        `labels` stand where they are predicted, one place before they are read. `scored` says
        where that is, for a model that can leave out the logits of other places.
        """
        prompts = [row["input_ids"] for row in features]
        filler = self.tokenizer.pad_token_id or 0
        batch: dict[str, torch.Tensor] = {}
        if not training:
            batch["input_ids"] = pad(prompts, filler, "left")
            batch["attention_mask"] = attention_mask(prompts, "left")
        if "target" not in features[0]:
            return batch
        wholes = [[*row["input_ids"], *row["target"]] for row in features]
        prefix = "" if training else "whole_"
        batch[f"{prefix}input_ids"] = pad(wholes, filler)
        batch[f"{prefix}attention_mask"] = attention_mask(wholes)
        batch["labels"] = pad([[*_labels(row)[1:], UNSCORED] for row in features], UNSCORED)
        if "logits_to_keep" in inspect.signature(self.model.forward).parameters:
            batch["scored"] = batch["labels"] != UNSCORED
        return batch


def _labels(row: Mapping[str, Any]) -> list[int]:
    """The labels of prompt and target, each beside its own token."""
    unscored = [UNSCORED] * len(row["input_ids"])
    return [*row.get("prompt_labels", unscored), *row["target"]]
