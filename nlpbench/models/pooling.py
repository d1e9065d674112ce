"""A classifier that reads pooled token states instead of what the architecture's own head reads."""

from __future__ import annotations

import inspect
from functools import cache
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel

KEY = "nlpbench_pooling"  # of config.json; a task's head asks with it
AUTO_CLASS = "AutoModelForSequenceClassification"
BASES = ("AutoModel", "AutoModelForTextEncoding")
POOLINGS = ("cls", "mean", "max")
MODEL_TYPES = (
    "albert",
    "bert",
    "camembert",
    "deberta-v2",
    "distilbert",
    "electra",
    "mpnet",
    "roberta",
    "xlm-roberta",
)
DROPOUTS = (
    "classifier_dropout",
    "classifier_dropout_prob",
    "seq_classif_dropout",
    "hidden_dropout_prob",
)


def model_class(auto_class: Any, config: PretrainedConfig, asked: str | None) -> Any:
    """What loads the model, by `from_pretrained` or `from_config`.

    That is the auto class itself, unless the task asks for a pooling or the checkpoint was trained
    with one: then a class whose head is dropout and one linear layer, `pooled_classifier`, over the
    pooled states of the last layer. The pooling is written into the configuration. Plain
    transformers does not know the head, so says that its own one is new.

    Raises:
        UserError: another pooling than the checkpoint's, or an architecture without one.
    """
    import transformers

    if auto_class.__name__ != AUTO_CLASS:
        return auto_class
    known = getattr(config, KEY, None)
    if known is not None and known not in POOLINGS:
        raise UserError(
            f"{KEY} in the model's config.json is {show(known)}, allowed: {', '.join(POOLINGS)}"
        )
    pooling = asked or known
    if pooling is None:
        return auto_class
    if known not in (None, pooling):
        raise UserError(
            f"task.pooling is {pooling}, and the model was trained with {known}; "
            f"leave it out, or write pooling: {known}"
        )
    if config.model_type not in MODEL_TYPES:
        raise UserError(
            f"task.pooling: {config.model_type} models cannot be pooled, only "
            f"{', '.join(MODEL_TYPES)}; leave it out"
        )
    setattr(config, KEY, pooling)
    return _pooled(
        auto_class._model_mapping[type(config)], transformers.MODEL_MAPPING[type(config)]
    )


def pool(pooling: str, states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """One vector a row, (n, H), from the states (n, T, H) of its tokens.

    Args:
        pooling: cls is the first token, mean and max go over all tokens but padding.
        mask: (n, T), nought where a row is padded; None where none is.
    """
    import torch

    if pooling == "cls":
        return states[:, 0]
    if mask is None:
        mask = torch.ones(states.shape[:2], device=states.device)
    real = mask.bool().unsqueeze(-1)
    if pooling == "max":
        return states.masked_fill(~real, -torch.inf).amax(1)
    exact = torch.promote_types(states.dtype, torch.float32)
    total = states.masked_fill(~real, 0).sum(1, dtype=exact)
    return (total / real.sum(1)).to(states.dtype)


def without_pooler(auto_class: Any, config: PretrainedConfig) -> dict[str, bool]:
    """What makes `AutoModel` give the states of tokens alone, without a pooler above them.

    Checkpoints of masked language models bring none, so that it would be random.
    """
    if auto_class.__name__ not in BASES:
        return {}
    return _no_pooler(auto_class._model_mapping[type(config)])


def _no_pooler(base_class: Any) -> dict[str, bool]:
    # A pooler that nobody reads would have parameters without gradients.
    takes = inspect.signature(base_class.__init__).parameters
    return {"add_pooling_layer": False} if "add_pooling_layer" in takes else {}


@cache
def _pooled(head_class: Any, base_class: Any) -> type[PreTrainedModel]:
    from torch import nn
    from transformers import PreTrainedModel
    from transformers.modeling_outputs import SequenceClassifierOutput
    from transformers.utils.generic import can_return_tuple

    family = next(one for one in head_class.__mro__[1:] if issubclass(one, PreTrainedModel))
    options = _no_pooler(base_class)

    class Pooled(family):  # type: ignore[misc, valid-type]
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.num_labels = config.num_labels
            setattr(self, self.base_model_prefix, base_class(config, **options))
            self.dropout = nn.Dropout(_dropout(config))
            self.pooled_classifier = nn.Linear(config.hidden_size, config.num_labels)
            self.post_init()

        @can_return_tuple  # type: ignore[untyped-decorator]
        def forward(
            self,
            input_ids: torch.Tensor | None = None,
            attention_mask: torch.Tensor | None = None,
            token_type_ids: torch.Tensor | None = None,
            position_ids: torch.Tensor | None = None,
            inputs_embeds: torch.Tensor | None = None,
            labels: torch.Tensor | None = None,
            **kwargs: Any,
        ) -> SequenceClassifierOutput:
            segments = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
            outputs = getattr(self, self.base_model_prefix)(
                input_ids=input_ids,
                attention_mask=attention_mask,
                position_ids=position_ids,
                inputs_embeds=inputs_embeds,
                return_dict=True,
                **segments,
                **kwargs,
            )
            pooled = pool(getattr(self.config, KEY), outputs.last_hidden_state, attention_mask)
            logits = self.pooled_classifier(self.dropout(pooled))
            loss = None
            if labels is not None:
                loss = self.loss_function(
                    logits=logits, labels=labels, pooled_logits=logits, config=self.config
                )
            return SequenceClassifierOutput(
                loss=loss,
                logits=logits,
                hidden_states=outputs.hidden_states,
                attentions=outputs.attentions,
            )

        @classmethod
        def from_config(cls, config: PretrainedConfig, **kwargs: Any) -> PreTrainedModel:
            return cls._from_config(config, **kwargs)  # type: ignore[no-any-return]

    Pooled.__name__ = Pooled.__qualname__ = f"Pooled{head_class.__name__}"
    return Pooled


def _dropout(config: PretrainedConfig) -> float:
    """That of the architecture's own head."""
    found = (getattr(config, name, None) for name in DROPOUTS)
    return next((value for value in found if value is not None), 0.0)
