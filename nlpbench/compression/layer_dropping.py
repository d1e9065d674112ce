"""Layer dropping: whole layers are taken out."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from nlpbench.compression import Context, Method
from nlpbench.config.errors import UserError
from nlpbench.config.problems import Invalid, Problem

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

    from nlpbench.models.anatomy import Stack
    from nlpbench.tasks import Task

logger = logging.getLogger("nlpbench")
KEEPS_FIRST = {"modernbert": "its first layer has no norm of its own"}


class LayerDropping(Method):
    """Takes out whole layers; the model gets smaller and faster, and plain transformers loads it.

    Sajjad et al. 2020, "On the Effect of Dropping Layers of Pre-trained Transformer Models" (top,
    bottom, alternate); Fan et al. 2019, "Reducing Transformer Depth on Demand with Structured
    Dropout". `importance` keeps those that turn their input most: 1 - cos(input, output), averaged
    over tokens of training rows (Men et al. 2024, "ShortGPT"). ALBERT's layers have the weights of one,
    so that fewer passes make it faster and not smaller.

        compression: [{name: layer-dropping, keep: 4}]
        compression: [{name: layer-dropping, keep: 3, which: alternate, recover: {num_train_epochs: 1}}]
        compression: [{name: layer-dropping, layers: [0, 2, 5], stack: decoder}]
    """

    keep: int | None = Field(None, ge=1, description="layers that stay, of each stack")
    layers: list[int] | None = Field(
        None, min_length=1, description="the layers that stay, counted from 0"
    )
    which: Literal["top", "bottom", "alternate", "importance"] = Field(
        "top", description="what is dropped: the top, the bottom, every other, the least important"
    )
    stack: Literal["encoder", "decoder", "both"] = Field(
        "both", description="of an encoder-decoder, the stack that loses layers"
    )
    samples: int = Field(256, ge=1, description="training rows that importance is measured on")

    @model_validator(mode="after")
    def one_choice(self) -> LayerDropping:
        problems = []
        if (self.keep is None) == (self.layers is None):
            message = "needs one of keep and layers"
            problems.append(Problem((), message, "such as keep: 4", at_key=True))
        if self.layers is not None:
            if self.which != "top":
                problems.append(Problem(("which",), "excludes layers", "keep one", at_key=True))
            if len(set(self.layers)) < len(self.layers) or min(self.layers) < 0:
                message = f"must be different numbers from 0 on (got {self.layers})"
                problems.append(Problem(("layers",), message))
        if problems:
            raise Invalid(*problems)
        return self

    def check(self, configuration: PretrainedConfig, task: Task) -> None:
        for stack in self._stacks(configuration):
            count = getattr(configuration, stack.depth)
            kind = configuration.model_type
            if self.keep is not None and self.keep >= count:
                raise UserError(
                    f"layer-dropping: keep {self.keep} drops nothing; the model has {count} layers"
                )
            if self.layers is not None and max(self.layers) >= count:
                raise UserError(
                    f"layer-dropping: there is no layer {max(self.layers)}; the model has {count}, "
                    "counted from 0"
                )
            if self.layers is not None and len(self.layers) == count:
                raise UserError(
                    f"layer-dropping: layers names all {count} layers, so drops nothing"
                )
            if stack.shared and (self.layers is not None or self.which in ("importance", "bottom")):
                raise UserError(
                    f"layer-dropping: the layers of a {kind} model are one and the same; write keep"
                )
            first = self.layers is None or 0 in self.layers
            if kind in KEEPS_FIRST and not (first and self.which != "bottom"):
                raise UserError(
                    f"layer-dropping: layer 0 of a {kind} model must stay; {KEEPS_FIRST[kind]}"
                )

    def apply(self, model: PreTrainedModel, context: Context) -> PreTrainedModel:
        from nlpbench.compression.narrowing import depth
        from nlpbench.models import anatomy

        present = anatomy.stacks(model)
        for stack in self._stacks(model.config):
            if stack not in present:
                continue
            before = getattr(model.config, stack.depth)
            kept = self._kept(model, stack, before, context)
            depth.keep(model, stack, kept)
            logger.info("%s: layers %s of %d are left", stack.layers, kept, before)
        return model

    def _stacks(self, configuration: Any) -> list[Stack]:
        from nlpbench.models import anatomy

        stacks = anatomy.of(configuration).stacks
        if self.stack == "both":
            return list(stacks)
        if len(stacks) == 1:
            raise UserError(
                f"layer-dropping: a {configuration.model_type} model has one stack of layers; leave "
                "stack out"
            )
        return [stacks[0 if self.stack == "encoder" else 1]]

    def _kept(self, model: Any, stack: Stack, count: int, context: Context) -> list[int]:
        from nlpbench.compression.narrowing import depth
        from nlpbench.compression.narrowing.choice import keep_best

        if self.layers is not None:
            return sorted(self.layers)
        assert self.keep is not None
        if self.which == "top":
            return list(range(self.keep))
        if self.which == "bottom":
            return list(range(count - self.keep, count))
        if self.which == "alternate":
            return depth.spread(self.keep, count)
        batches = context.batches("train", self.samples)
        turned = depth.turning(model, context.task, stack, batches)
        if model.config.model_type in KEEPS_FIRST:
            turned[0] = float("inf")
        return keep_best(turned, self.keep)
