"""Which learning rate and which weight decay each parameter gets."""

from __future__ import annotations

from typing import Any, cast

from torch import nn
from transformers import Trainer

from nlpbench.config.training import TrainingSection
from nlpbench.models.structure import Part, locate


def parameter_groups(model: nn.Module, section: TrainingSection) -> list[dict[str, Any]]:
    """The groups of an optimiser: `params`, `lr` (the highest one), `weight_decay` and `name`.

    With `layerwise_lr_decay` d the head, the pooler included, learns at `learning_rate`, the top
    layer at d times this, each layer at d times the rate of the one above it, and the embeddings
    at d times that of the lowest layer (Howard & Ruder 2018, section 3.2; ELECTRA, Clark et al.
    2020, whose code leaves one power of d out between head and top layer). A decoder stands on its
    encoder; layers that share their weights (ALBERT) count as one. `head_learning_rate` replaces
    the rate of the head alone. Groups go from the head down, so that the head's is the learning
    rate that transformers reports.

    Without both there are the two groups of transformers.Trainer. Biases and norms are never
    decayed. Frozen parameters are left out.

    Raises:
        UserError: parts of the model that cannot be told apart.
    """
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    decayed = set(Trainer.get_decay_parameter_names(cast(Any, None), model))
    groups = []
    for part, rate in _rates(model, section):
        names = [name for name in part.parameters if name in parameters]
        for decays in (True, False):
            chosen = [parameters[name] for name in names if (name in decayed) == decays]
            if chosen:
                groups.append(
                    {
                        "params": chosen,
                        "lr": rate,
                        "weight_decay": section.weight_decay if decays else 0.0,
                        "name": part.name if decays else f"{part.name}, biases and norms",
                    }
                )
    return groups


def _rates(model: nn.Module, section: TrainingSection) -> list[tuple[Part, float]]:
    rate, decay = section.learning_rate, section.layerwise_lr_decay
    names = tuple(name for name, _ in model.named_parameters())
    if decay is None and section.head_learning_rate is None:
        return [(Part("model", names), rate)]
    parts = locate(model).from_the_top
    of_head = (parts[0], section.head_learning_rate or rate)
    if decay is None:
        head = set(parts[0].parameters)
        return [of_head, (Part("body", tuple(name for name in names if name not in head)), rate)]
    return [of_head, *((part, rate * decay**depth) for depth, part in enumerate(parts[1:], 1))]
