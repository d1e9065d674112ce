"""What an encoder-decoder (T5, BART, Marian, Pegasus, mBART) learns a text from another by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlpbench.tasks._padding import attention_mask, pad
from nlpbench.tasks.writing.prompts import Template, fit

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

Features = dict[str, list[Any]]


@dataclass(frozen=True)
class Seq2Seq:
    """Sources for the encoder, and targets with the special tokens that the decoder writes.

    The decoder reads the target one place later, after whatever token its architecture begins
    with: T5 with padding, BART with the end, mBART with the language that stands last.
    """

    tokenizer: PreTrainedTokenizerBase
    model: Any
    max_source_length: int
    max_target_length: int

    def encode(
        self,
        templates: Sequence[Template],
        sources: Sequence[str],
        targets: Sequence[str] | None,
        *,
        training: bool,
    ) -> Features:
        """`input_ids`, `target` where there is one, and the lengths.

        `length` is that of the source, and in training of source and target, so that rows of like
        work are trained on together.
        """
        prompts = fit(self.tokenizer, templates, sources, self.max_source_length, special=True)
        features: Features = {
            "input_ids": prompts.ids,
            "length": [len(ids) for ids in prompts.ids],
            "whole_length": prompts.whole_lengths,
        }
        if targets is not None:
            labels, cut_off = self._labels(list(targets))
            features["target"] = labels
            written = [len(ids) if training else 0 for ids in labels]
            for column, more in (("length", [0] * len(labels)), ("whole_length", cut_off)):
                sums = zip(features[column], written, more, strict=True)
                features[column] = [sum(parts) for parts in sums]
        return features

    def _labels(self, targets: list[str]) -> tuple[list[list[int]], list[int]]:
        """The tokens of targets, and how many of each were cut off."""
        missing = [] if self._ends() else [self._end()]
        limit = self.max_target_length - len(missing)
        labels: list[list[int]] = list(self._tokens(targets))
        cut_off = [max(0, len(ids) - limit) for ids in labels]
        long = [row for row, count in enumerate(cut_off) if count]
        if long:
            shorter = self._tokens(
                [targets[row] for row in long], truncation=True, max_length=limit
            )
            for row, ids in zip(long, shorter, strict=True):
                labels[row] = ids
        return [[*ids, *missing] for ids in labels], cut_off

    def _tokens(self, targets: list[str], **options: Any) -> list[list[int]]:
        found: Any = self.tokenizer(text_target=targets, verbose=False, **options)["input_ids"]
        return list(found)

    def _ends(self) -> bool:
        """Whether the tokenizer marks the end of a target by itself."""
        return self._end() in self._tokens([""])[0]

    def _end(self) -> int:
        found = self.model.generation_config.eos_token_id
        found = found[0] if isinstance(found, list) else found
        return int(self.tokenizer.eos_token_id if found is None else found)

    def collate(self, features: list[dict[str, Any]]) -> Mapping[str, torch.Tensor]:
        """A padded batch: source, mask, and where there are labels what the decoder reads."""
        ids = [row["input_ids"] for row in features]
        batch = {
            "input_ids": pad(ids, self.tokenizer.pad_token_id or 0),
            "attention_mask": attention_mask(ids),
        }
        if "target" in features[0]:
            batch["labels"] = pad([row["target"] for row in features], -100)
            batch["decoder_input_ids"] = self._shifted(batch["labels"])
        return batch

    def _shifted(self, labels: torch.Tensor) -> torch.Tensor:
        """(n, target) what the decoder reads in order to write the labels."""
        import torch

        shift = getattr(self.model, "prepare_decoder_input_ids_from_labels", None)
        if shift is not None:
            shifted: torch.Tensor = shift(labels=labels)
            return shifted
        config = self.model.config
        start = labels.new_full((len(labels), 1), config.decoder_start_token_id)
        whole = labels.masked_fill(labels == -100, config.pad_token_id)
        return torch.cat([start, whole[:, :-1]], dim=1)
