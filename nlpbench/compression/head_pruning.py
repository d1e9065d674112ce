"""Head pruning: attention heads that matter little are taken out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from nlpbench.compression import Context, Method
from nlpbench.config.errors import UserError
from nlpbench.config.problems import Invalid, Problem

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel

    from nlpbench.compression.narrowing.heads import Heads
    from nlpbench.tasks import Task

logger = logging.getLogger("nlpbench")
ONE_BIAS = ("t5", "mt5")  # one table of relative positions serves the heads of all layers


class HeadPruning(Method):
    """Takes out the attention heads that matter least; the model gets smaller and faster.

    Michel et al. 2019, "Are Sixteen Heads Really Better than One?": a head matters as much as the loss
    would change without it, to first order, on training rows. `magnitude` looks at the weights alone.
    T5's heads are taken out of all layers alike, since they share the table of relative positions;
    plain transformers loads the result. That of the others loads with nlpbench.

        compression: [{name: head-pruning, ratio: 0.2}]
        compression: [{name: head-pruning, heads: {0: [1, 4], 5: [0]}}]
    """

    ratio: float | None = Field(None, gt=0, lt=1, description="share of the heads to take out")
    heads: dict[int, list[int]] | None = Field(
        None,
        min_length=1,
        description="the heads to take out, by the number of their attention, all from 0",
    )
    importance: Literal["gradient", "magnitude"] = Field(
        "gradient", description="how heads are weighed: by the loss, or by their weights"
    )
    scope: Literal["global", "layer"] = Field(
        "global", description="the least of the whole model, or as many of each layer"
    )
    samples: int = Field(512, ge=1, description="training rows that heads are weighed on")

    @model_validator(mode="after")
    def one_choice(self) -> HeadPruning:
        if (self.ratio is None) == (self.heads is None):
            message = "needs one of ratio and heads"
            raise Invalid(Problem((), message, "such as ratio: 0.2", at_key=True))
        return self

    def check(self, configuration: PretrainedConfig, task: Task) -> None:
        from nlpbench.models import anatomy

        anatomy.of(configuration)
        if configuration.model_type in ONE_BIAS and self.heads is not None:
            raise UserError(
                "head-pruning: the layers of a T5 model share one table of relative positions, so "
                "all lose the same heads; write ratio"
            )

    def apply(self, model: PreTrainedModel, context: Context) -> PreTrainedModel:
        from nlpbench.compression.narrowing.heads import all_heads

        groups = all_heads(model)
        if self.heads is not None:
            kept = self._as_told(groups)
        else:
            kept = self._least_taken_out(model, groups, context)
        before = sum(group.count for group in groups)
        _keep_biases(groups, kept)
        for group, units in zip(groups, kept, strict=True):
            if len(units) < group.count:
                group.keep(units)
        if model.config.model_type in ONE_BIAS:
            model.config.num_heads = len(kept[0])
        logger.info("%d of %d attention heads are left", sum(map(len, kept)), before)
        return model

    def _as_told(self, groups: Sequence[Heads]) -> list[list[int]]:
        assert self.heads is not None
        kept = [list(range(group.count)) for group in groups]
        for number, units in self.heads.items():
            if not 0 <= number < len(groups):
                raise UserError(
                    f"head-pruning: there is no attention {number}; the model has {len(groups)}, "
                    "counted from 0"
                )
            count = groups[number].count
            wrong = [unit for unit in units if not 0 <= unit < count]
            if wrong:
                raise UserError(
                    f"head-pruning: attention {number} has no head {wrong[0]}; it has {count}, "
                    "counted from 0"
                )
            kept[number] = [unit for unit in range(count) if unit not in units]
            if not kept[number]:
                raise UserError(
                    f"head-pruning: all {count} heads of attention {number} are to go; leave one, or "
                    "drop the layer"
                )
        return kept

    def _least_taken_out(
        self, model: PreTrainedModel, groups: Sequence[Heads], context: Context
    ) -> list[list[int]]:
        from nlpbench.compression.narrowing.choice import keep_in_each, keep_overall

        assert self.ratio is not None
        found = self._importance(model, groups, context)
        if model.config.model_type in ONE_BIAS:
            return _alike(groups, found, self.ratio)
        choose = keep_overall if self.scope == "global" else keep_in_each
        kept = choose(found, self.ratio)
        if all(len(units) == group.count for units, group in zip(kept, groups, strict=True)):
            raise UserError(
                f"head-pruning: ratio {self.ratio:g} of {groups[0].count} heads a layer is less than "
                "one; take a larger one"
            )
        return kept

    def _importance(
        self, model: PreTrainedModel, groups: Sequence[Heads], context: Context
    ) -> list[torch.Tensor]:
        if self.importance == "magnitude":
            return [group.norms().double() for group in groups]
        from nlpbench.compression.narrowing import sensitivity

        return sensitivity.of_heads(
            model, context.task, groups, context.batches("train", self.samples)
        )


def _alike(
    groups: Sequence[Heads], importance: Sequence[torch.Tensor], ratio: float
) -> list[list[int]]:
    """The same heads of every layer of a stack, and as many of either stack."""
    import torch

    from nlpbench.compression.narrowing.choice import keep_in_each

    kept: dict[str, list[int]] = {}
    for stack in {group.layer.stack.layers for group in groups}:
        scores = [
            scores / scores.norm().clamp_min(1e-30)
            for group, scores in zip(groups, importance, strict=True)
            if group.layer.stack.layers == stack
        ]
        [kept[stack]] = keep_in_each([torch.stack(scores).sum(dim=0)], ratio)
    return [kept[group.layer.stack.layers] for group in groups]


def _keep_biases(groups: Sequence[Heads], kept: Sequence[Sequence[int]]) -> None:
    """Narrows the tables of relative positions, a column a head, which T5's first layers hold."""
    import torch

    from nlpbench.compression.narrowing import matrices

    for group, units in zip(groups, kept, strict=True):
        table: Any = getattr(group.module, "relative_attention_bias", None)
        if isinstance(table, torch.nn.Embedding) and len(units) < table.embedding_dim:
            matrices.keep_slices(table, "weight", torch.tensor(sorted(units)), 1)
            table.embedding_dim = len(units)
