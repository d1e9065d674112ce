"""What the tasks that compare vectors of texts have in common."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show
from nlpbench.tasks import Bundle, Collate, Keep, Task
from nlpbench.tasks.vectors import stacked_texts as stacked

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

KEY = "nlpbench_embedding_pooling"  # of config.json
POOLINGS = ("mean", "cls", "max", "last")


@dataclass(frozen=True)
class Text:
    """One of the texts of a row: what its columns hold, joined by a space, after a prefix."""

    columns: tuple[str, ...]
    prefix: str = ""

    def read(self, batch: Mapping[str, Sequence[str]]) -> list[str]:
        parts = zip(*(batch[column] for column in self.columns), strict=True)
        return [self.prefix + " ".join(filter(None, row)) for row in parts]


@dataclass(frozen=True)
class Embeddings:
    """A model's outputs for a batch: (n, S, H), the vectors of the S texts of each feature."""

    embeddings: torch.Tensor


class EmbeddingTask(Task, ABC):
    """A model of token states makes one vector of each text, by pooling them.

    Both texts of a pair go through the same model, each by itself: Reimers and Gurevych 2019,
    "Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks".
    """

    pooling: Literal["mean", "cls", "max", "last"] | None = Field(
        None,
        description="of token states to one vector; what the model was trained with unless told, "
        "or the mean",
    )
    max_length: int = Field(256, ge=2, description="tokens of a text; the rest is cut off")

    @property
    def auto_classes(self) -> tuple[str, ...]:
        return ("AutoModelForTextEncoding", "AutoModel")  # the former is T5's encoder alone

    def head(self, labels: Sequence[str]) -> dict[str, Any]:
        return {} if self.pooling is None else {KEY: self.pooling}

    def labels_of(self, model: PreTrainedModel) -> list[str]:
        known = getattr(model.config, KEY, None)
        if known is not None and self.pooling not in (None, known):
            raise UserError(
                f"the model was trained with {known} pooling, and task.pooling is {self.pooling}; "
                "leave it out"
            )
        return []

    def collate(self, bundle: Bundle, *, training: bool = False) -> Collate:
        return stacked.collate(bundle.tokenizer)

    def forward(self, model: Any, inputs: Mapping[str, torch.Tensor]) -> Embeddings:
        count, size = inputs["input_ids"].shape[:2]
        flat = {key: value.flatten(0, 1) for key, value in inputs.items()}
        states = model(**flat).last_hidden_state
        # In training the model may be wrapped.
        config = model.config if hasattr(model, "config") else model.module.config
        vectors = pool(self._pooling_of(config), states, flat["attention_mask"])
        return Embeddings(vectors.view(count, size, -1))

    def model_files(self, bundle: Bundle) -> dict[str, Any]:
        """Files beside the model from which sentence-transformers knows how to use it.

        JSON values by path. Vectors are normalised where they are compared by their cosine.
        """
        width = bundle.model.config.hidden_size
        pooling = self._pooling_of(bundle.model.config)
        modes = {
            "cls": "cls_token",
            "mean": "mean_tokens",
            "max": "max_tokens",
            "last": "lasttoken",
        }
        parts = [("", "Transformer"), ("1_Pooling", "Pooling")]
        if self._normalised:
            parts.append(("2_Normalize", "Normalize"))
        return {
            "modules.json": [
                {
                    "idx": number,
                    "name": str(number),
                    "path": path,
                    "type": f"sentence_transformers.models.{kind}",
                }
                for number, (path, kind) in enumerate(parts)
            ],
            "sentence_bert_config.json": {
                "max_seq_length": self.max_length,
                "do_lower_case": False,
            },
            "1_Pooling/config.json": {
                "word_embedding_dimension": width,
                **{f"pooling_mode_{mode}": name == pooling for name, mode in modes.items()},
            },
        }

    @property
    def _normalised(self) -> bool:
        return True

    def _pooling_of(self, config: PretrainedConfig) -> str:
        return self.pooling or getattr(config, KEY, None) or "mean"

    def _check_model(self, bundle: Bundle) -> None:
        """Raises UserError for a model without vectors, or without those that are asked for."""
        stacked.check_room(bundle.tokenizer, self.max_length)
        if bundle.model is None:
            return
        config = bundle.model.config
        if getattr(config, "is_encoder_decoder", False):
            raise UserError(
                f"{self.name} needs an encoder or a decoder, and the {config.model_type} model is "
                "both; take another one (bert, roberta, t5, gpt2, …)"
            )
        pooling = self._pooling_of(config)
        if pooling not in POOLINGS:
            raise UserError(
                f"{KEY} in the model's config.json is {show(pooling)}, allowed: "
                f"{', '.join(POOLINGS)}"
            )
        tokenizer = bundle.tokenizer
        if pooling == "cls" and tokenizer("a")["input_ids"][:1] != [tokenizer.cls_token_id]:
            raise UserError(
                f"task.pooling is cls, and the tokenizer of the {config.model_type} model begins "
                "no text with a CLS token; take mean or last"
            )

    def _features(
        self, rows: Dataset, texts: Sequence[Text], bundle: Bundle, keep: Keep
    ) -> Dataset:
        """The features of rows of S texts each."""
        columns = list(dict.fromkeys(column for text in texts for column in text.columns))
        options = {
            "texts": [[list(text.columns), text.prefix] for text in texts],
            "max_length": self.max_length,
        }
        encode = partial(_encode, bundle.tokenizer, texts, self.max_length)
        return keep(rows.select_columns(columns), options, partial(map, encode))


def pool(pooling: str, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """One vector a text, (n, H) in float32 at least, from the states (n, L, H) of its tokens.

    Args:
        pooling: cls is the first token and last the last one; mean and max go over all tokens but
            padding, on whichever side it is.
        mask: (n, L), nought where a text is padded; each has a token.
    """
    import torch

    states = states.to(torch.promote_types(states.dtype, torch.float32))
    real = mask.bool()
    if pooling in ("cls", "last"):
        places = torch.arange(mask.shape[1], device=mask.device)
        chosen = (
            places.masked_fill(~real, mask.shape[1]).amin(1)
            if pooling == "cls"
            else places.masked_fill(~real, -1).amax(1)
        )
        return states[torch.arange(len(states), device=states.device), chosen]
    if pooling == "max":
        return states.masked_fill(~real.unsqueeze(-1), -torch.inf).amax(1)
    total = states.masked_fill(~real.unsqueeze(-1), 0).sum(1)
    return total / real.sum(1, keepdim=True)


def unit(vectors: torch.Tensor) -> torch.Tensor:
    """The vectors (…, H) at length 1, so that their dot products are cosines."""
    from torch.nn import functional as F

    return F.normalize(vectors, dim=-1)


def _encode(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[Text],
    max_length: int,
    batch: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    rows = [list(row) for row in zip(*(text.read(batch) for text in texts), strict=True)]
    return stacked.encode(tokenizer, rows, max_length)
