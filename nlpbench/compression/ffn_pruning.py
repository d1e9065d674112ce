"""Feed-forward pruning: intermediate neurons that matter little are taken out."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from nlpbench.compression import Context, Method
from nlpbench.config.errors import UserError
from nlpbench.config.problems import Invalid, Problem

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel

    from nlpbench.compression.narrowing.neurons import Neurons
    from nlpbench.tasks import Task

logger = logging.getLogger("nlpbench")


class FfnPruning(Method):
    """Takes out the feed-forward neurons that matter least; the model gets smaller and faster.

    A neuron matters as much as the loss would change without it, to first order, on training rows
    (Molchanov et al. 2017, "Pruning Convolutional Neural Networks for Resource Efficient Inference";
    for transformers Kwon et al. 2022, "A Fast Post-Training Pruning Framework for Transformers").
    With the same width in every layer plain transformers loads the result; with `scope: global` the
    widths are uneven, and nlpbench loads it.

        compression: [{name: ffn-pruning, ratio: 0.5}]
        compression: [{name: ffn-pruning, width: 768, importance: magnitude}]
        compression: [{name: ffn-pruning, ratio: 0.5, scope: global}]
    """

    ratio: float | None = Field(None, gt=0, lt=1, description="share of the neurons to take out")
    width: int | None = Field(None, ge=1, description="neurons that every layer keeps")
    importance: Literal["gradient", "magnitude"] = Field(
        "gradient", description="how neurons are weighed: by the loss, or by their weights"
    )
    scope: Literal["layer", "global"] = Field(
        "layer", description="as many of each layer, or the least of the whole model"
    )
    multiple_of: int = Field(
        1, ge=1, description="widths are rounded down to multiples, which some kernels like"
    )
    samples: int = Field(512, ge=1, description="training rows that neurons are weighed on")

    @model_validator(mode="after")
    def one_choice(self) -> FfnPruning:
        problems = []
        if (self.ratio is None) == (self.width is None):
            message = "needs one of ratio and width"
            problems.append(Problem((), message, "such as ratio: 0.5", at_key=True))
        for key, usual in (("width", None), ("multiple_of", 1)):
            if self.scope == "global" and getattr(self, key) != usual:
                advice = "take scope: layer, or leave it out"
                problems.append(Problem((key,), "is of even widths", advice, at_key=True))
        if problems:
            raise Invalid(*problems)
        return self

    def check(self, configuration: PretrainedConfig, task: Task) -> None:
        from nlpbench.models import anatomy

        for stack in anatomy.of(configuration).stacks:
            before = getattr(configuration, stack.neurons, None)
            if self.width is not None and before is not None and self.width >= before:
                raise UserError(
                    f"ffn-pruning: width {self.width} takes nothing out; the model has {before} "
                    "neurons a layer"
                )

    def apply(self, model: PreTrainedModel, context: Context) -> PreTrainedModel:
        from nlpbench.compression.narrowing.neurons import all_neurons

        groups = all_neurons(model)
        before = sum(group.count for group in groups)
        importance = self._importance(model, groups, context)
        for group, units in zip(groups, self._kept(importance), strict=True):
            group.keep(units)
        for group in groups:
            if self.scope == "layer":
                setattr(model.config, group.layer.stack.neurons, group.count)
        logger.info("%d of %d neurons are left", sum(group.count for group in groups), before)
        return model

    def _kept(self, importance: list[torch.Tensor]) -> list[list[int]]:
        from nlpbench.compression.narrowing.choice import keep_best, keep_overall

        if self.scope == "global":
            assert self.ratio is not None
            return keep_overall(importance, self.ratio)
        kept = []
        for scores in importance:
            count = self.width or max(1, len(scores) - round((self.ratio or 0) * len(scores)))
            count = max(count // self.multiple_of * self.multiple_of, min(self.multiple_of, count))
            if count >= len(scores):
                raise UserError(f"ffn-pruning takes nothing out of {len(scores)} neurons a layer")
            kept.append(keep_best(scores, count))
        return kept

    def _importance(
        self, model: PreTrainedModel, groups: list[Neurons], context: Context
    ) -> list[torch.Tensor]:
        if self.importance == "magnitude":
            return [group.norms().double() for group in groups]
        from nlpbench.compression.narrowing.sensitivity import sensitivity

        batches = context.batches("train", self.samples)
        readers = [group.output for group in groups]
        return sensitivity(model, context.task, readers, [group.count for group in groups], batches)
