"""The training strategies that are mappings of their own: keys, bounds, defaults and sources."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from nlpbench.config.component import Section
from nlpbench.config.problems import Invalid, Problem

Name = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=0)]


class Freeze(Section):
    """Parameters that keep their pretrained values.

    freeze: {embeddings: true, layers: 4, parameters: ["*.LayerNorm.*"]}
    """

    embeddings: bool = Field(False, description="the embedding tables and their norm")
    layers: Count = Field(0, description="the first n layers; a decoder stands on its encoder")
    parameters: list[Name] = Field(
        [], description="shell patterns of parameter names, such as *.query.*"
    )

    @model_validator(mode="after")
    def freezes_something(self) -> Freeze:
        if not (self.embeddings or self.layers or self.parameters):
            advice = "write embeddings: true, layers: N or parameters: [PATTERN]"
            raise Invalid(Problem((), "freezes nothing", advice, at_key=True))
        return self


class GradualUnfreezing(Section):
    """The head first, then one layer more after each period (ULMFiT, Howard & Ruder 2018).

    gradual_unfreezing: {epochs_per_layer: 0.5}
    """

    epochs_per_layer: float = Field(1.0, gt=0, description="until the next lower layer is trained")


class SlantedTriangular(Section):
    """The shape of lr_scheduler_type: slanted_triangular (ULMFiT, Howard & Ruder 2018)."""

    cut_fraction: float = Field(
        0.1, gt=0, lt=1, description="share of steps in which the rate rises"
    )
    ratio: float = Field(32.0, gt=1, description="highest learning rate by the lowest")


class FocalLoss(Section):
    """Less weight for rows that are already right (Lin et al. 2017, arXiv:1708.02002)."""

    gamma: float = Field(2.0, gt=0, description="how fast the weight of easy rows falls")


class RDrop(Section):
    """Two passes with other dropout masks must agree (Liang et al. 2021, arXiv:2106.14448)."""

    alpha: float = Field(1.0, gt=0, description="weight of the symmetric KL divergence")


class MovingAverage(Section):
    """Weights that are scored and saved: their exponential moving average (Polyak & Juditsky 1992).

    ema: {decay: 0.99}
    """

    decay: float = Field(
        0.999,
        gt=0,
        lt=1,
        description="what a step keeps of the average; less in the first steps",
    )


class Lora(Section):
    """Low-rank adapters beside frozen weights (Hu et al. 2021, arXiv:2106.09685); extra `peft`.

    lora: {r: 8, alpha: 16, target_modules: [query, value]}
    """

    r: int = Field(8, ge=1, description="rank of the adapters")
    alpha: float = Field(16.0, gt=0, description="the update is scaled by alpha / r")
    dropout: float = Field(0.0, ge=0, lt=1, description="on the input of the adapters")
    target_modules: list[Name] | Literal["all-linear"] | None = Field(
        None,
        description="names of the layers that get one; those peft knows for the model unless told",
    )
    use_dora: bool = Field(
        False, description="direction and magnitude apart (DoRA, Liu et al. 2024, arXiv:2402.09353)"
    )
    merge: bool = Field(
        False, description="save a plain model with the adapters added to its weights"
    )


class Fsdp(Section):
    """Weights, gradients and optimiser state spread over the processes (FSDP2 of torch).

    fsdp: {reshard_after_forward: false, cpu_offload: true}
    """

    reshard_after_forward: bool = Field(
        True, description="free a layer's weights between forward and backward as well (ZeRO-3)"
    )
    transformer_layer_cls_to_wrap: list[Name] | None = Field(
        None, description="classes spread one by one; those transformers names unless told"
    )
    cpu_offload: bool = Field(False, description="keep weights and optimiser state on the CPU")
    activation_checkpointing: bool = Field(
        False, description="compute activations twice, and hold fewer"
    )
