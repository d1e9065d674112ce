"""Trains a head alone, on features that its frozen encoder computes once (`feature_extraction`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import default_data_collator
from transformers.utils.generic import ModelOutput

from nlpbench.config.errors import UserError
from nlpbench.evaluation.batching import BatchSize
from nlpbench.evaluation.predict import predict
from nlpbench.models.pooling import pool
from nlpbench.tasks import Collate

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

Row = dict[str, Any]
INPUTS = ("input_ids", "attention_mask", "features", "labels")
ALIKE = 1e-3  # of the largest logit


class HeadOnly(nn.Module):
    """A model whose encoder gives the features it is handed, as states of a single token.

    The rest of the model is the architecture's own code and runs as ever, dropout included. The
    encoder is no part of this module, so is neither moved, trained nor saved with it.
    """

    def __init__(self, model: PreTrainedModel, kind: type[ModelOutput]) -> None:
        super().__init__()
        self.config, self.kind = model.config, kind
        self.encoder = (model.base_model.cpu(),)
        self.given = _Given()
        setattr(model, model.base_model_prefix, self.given)
        self.model = model

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, features: torch.Tensor
    ) -> Any:
        """Logits (n, K) from features (n, H); ids and mask, (n, 1), stand for one real token."""
        self.given.outputs = _outputs(self.kind, features)
        return self.model(input_ids=input_ids, attention_mask=attention_mask)

    def set_attn_implementation(self, name: str) -> None:
        """As of the model: heads do not attend, and what is set is in the configuration they share."""
        self.model.set_attn_implementation(name)

    def restore(self) -> PreTrainedModel:
        """The whole model again: its own encoder, and the head as it is now."""
        model, [encoder] = self.model, self.encoder
        device = next(model.parameters()).device
        setattr(model, model.base_model_prefix, encoder.to(device))
        return model


@dataclass(frozen=True)
class Extracted:
    """What replaces the materials of a training run.

    Attributes:
        train: columns input_ids, attention_mask, features (float32, one vector a row), length and
            labels; in memory.
        collate: stacks such rows.
    """

    model: HeadOnly
    train: Dataset
    validation: Dataset | None
    collate: Collate


def check(model: PreTrainedModel, fresh: Sequence[str]) -> None:
    """Raises UserError where the encoder itself has new weights, which would stay random.

    Args:
        fresh: names of the weights that were not in the checkpoint.
    """
    inside = [name for name in fresh if name.startswith(f"{model.base_model_prefix}.")]
    if inside:
        raise UserError(
            f"training.feature_extraction: the checkpoint does not have {', '.join(inside)}, so "
            "the features would come through random weights; write task.pooling: mean, which goes "
            "without a pooler, or train the whole model"
        )


def extract(
    model: PreTrainedModel,
    train: Dataset,
    validation: Dataset | None,
    collate: Collate,
    *,
    batch_size: BatchSize,
    precision: str,
) -> Extracted:
    """Runs the encoder once over every row, without dropout, and takes it out of the model.

    Raises:
        UserError: the head reads more of the encoder's output than one vector a row.
    """
    extractor = _Extractor(model)

    def features(rows: Dataset, what: str) -> Dataset:
        with extractor.listening():
            found: Any = predict(
                extractor,  # type: ignore[arg-type]
                rows,
                collate,
                batch_size=batch_size,
                precision=precision,
                what=what,
                shared=True,
            )
        return _data_set(rows, found.values, _real_token(model))

    trained = features(train, "extracting features of train")
    validated = None
    if validation is not None:
        validated = features(validation, "extracting features of validation")
    assert extractor.kind is not None
    return Extracted(HeadOnly(model, extractor.kind), trained, validated, stack)


def stack(rows: list[Row]) -> Mapping[str, torch.Tensor]:
    """A batch of rows with features: features (n, H), input_ids and attention_mask (n, 1)."""
    kept = [{name: row[name] for name in INPUTS if name in row} for row in rows]
    batch: Mapping[str, torch.Tensor] = default_data_collator(kept)
    return batch


class _Given(nn.Module):
    """Stands in for an encoder: whatever it is asked, it gives the outputs it was given."""

    outputs: ModelOutput

    def forward(self, *_: Any, **__: Any) -> ModelOutput:
        return self.outputs


class _Extractor(nn.Module):
    """A model that gives, as its logits, what its head reads: one vector a row."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model
        self.kind: type[ModelOutput] | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        def keep(*arguments: Any) -> None:
            self.outputs: ModelOutput = arguments[-1]

        hook = self.model.base_model.register_forward_hook(keep)
        try:
            yield
        finally:
            hook.remove()

    def forward(self, **batch: torch.Tensor) -> SimpleNamespace:
        self.model(**batch)
        self.kind = type(self.outputs)
        mask = batch.get("attention_mask")
        return SimpleNamespace(logits=_vectors(self.outputs, mask)[self._read(batch)])

    def _read(self, batch: dict[str, torch.Tensor]) -> str:
        """Which of the vectors the head reads: the one that alone gives the same logits.

        Random states tell the vectors apart better than those of an untrained encoder.
        """
        states = self.outputs["last_hidden_state"].float()
        generator = torch.Generator(states.device).manual_seed(0)
        drawn = {
            name: torch.randn(value.shape, generator=generator, device=value.device)
            for name, value in self.outputs.items()
            if name in ("last_hidden_state", "pooler_output")
        }
        one = torch.full_like(batch["input_ids"][:, :1], _real_token(self.model))
        alone = {"input_ids": one, "attention_mask": torch.ones_like(one)}
        assert self.kind is not None
        with torch.autocast(states.device.type, enabled=False):
            outputs = self.kind(**drawn)
            logits = self._head(outputs, batch)
            differences = {
                name: float((self._head(_outputs(self.kind, vectors), alone) - logits).abs().max())
                for name, vectors in _vectors(outputs, batch.get("attention_mask")).items()
            }
        found = min(differences, key=lambda name: differences[name])
        if differences[found] > ALIKE * float(logits.abs().max()):
            raise UserError(
                "training.feature_extraction: the head of "
                f"{type(self.model).__name__} reads more of the encoder's output than one vector a "
                "row; leave it out, and write freeze to train the head alone"
            )
        return found

    def _head(self, outputs: ModelOutput, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """What the model says where its encoder gives these outputs."""
        model, given = self.model, _Given()
        encoder = model.base_model
        given.outputs = outputs
        setattr(model, model.base_model_prefix, given)
        try:
            logits: torch.Tensor = model(**batch).logits
        finally:
            setattr(model, model.base_model_prefix, encoder)
        return logits


def _outputs(kind: type[ModelOutput], vectors: torch.Tensor) -> ModelOutput:
    """An encoder's output for a sequence of one token, of which these are the states."""
    values = {"last_hidden_state": vectors.unsqueeze(1)}
    if "pooler_output" in kind.__dataclass_fields__:  # type: ignore[attr-defined]
        values["pooler_output"] = vectors
    return kind(**values)


def _vectors(outputs: Any, mask: torch.Tensor | None) -> dict[str, torch.Tensor]:
    """What heads read: the pooler's output, one of the tokens, or a mean or maximum of them."""
    states = outputs.last_hidden_state
    if mask is None:
        mask = torch.ones(states.shape[:2], device=states.device, dtype=torch.long)
    last = (torch.arange(mask.shape[1], device=mask.device) * mask).argmax(1)
    pooled = getattr(outputs, "pooler_output", None)
    found: dict[str, Callable[[], torch.Tensor]] = {
        "first": lambda: states[:, 0],
        "last": lambda: states[torch.arange(len(states), device=states.device), last],
        "mean": lambda: pool("mean", states, mask),
        "max": lambda: pool("max", states, mask),
    }
    of_pooler = {} if pooled is None else {"pooler": pooled}
    return of_pooler | {name: compute() for name, compute in found.items()}


def _real_token(model: PreTrainedModel) -> int:
    """An id that is no padding; the end of a sequence is what the heads of BART and T5 look for."""
    pad, end = model.config.pad_token_id, getattr(model.config, "eos_token_id", None)
    return next(token for token in (end, 0, 1) if isinstance(token, int) and token != pad)


def _data_set(rows: Dataset, vectors: Any, token: int) -> Dataset:
    from datasets import Dataset, Features, List, Value

    count, width = vectors.shape
    columns = {
        "input_ids": [[token]] * count,
        "attention_mask": [[1]] * count,
        "features": vectors,
        "length": [1] * count,
        "labels": rows["labels"][:],
    }
    kinds = {
        "input_ids": List(Value("int64")),
        "attention_mask": List(Value("int64")),
        "features": List(Value("float32"), length=width),
        "length": Value("int64"),
        "labels": rows.features["labels"],
    }
    made = Dataset.from_dict(columns, features=Features(kinds))
    return made.with_format("numpy", columns=["features"], output_all_columns=True)
