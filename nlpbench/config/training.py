"""The training section of a config: its keys are those of transformers.TrainingArguments, and more."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from nlpbench.config import strategies, training_arguments
from nlpbench.config.component import Section
from nlpbench.config.problems import Invalid, Problem

Positive = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(min_length=1)]
Weights = Annotated[dict[str, Annotated[float, Field(gt=0)]], Field(min_length=1)]


class TrainingSection(Section):
    """How the model is trained. Names and meanings are those of transformers.TrainingArguments."""

    num_train_epochs: float = Field(3.0, gt=0, description="passes over the training rows")
    max_steps: Positive | None = Field(
        None, description="optimiser steps; overrides num_train_epochs"
    )
    learning_rate: float = Field(5e-5, gt=0, description="highest learning rate of AdamW")
    head_learning_rate: float | None = Field(
        None, gt=0, description="of the head, the pooler included; learning_rate unless told"
    )
    layerwise_lr_decay: float | None = Field(
        None,
        gt=0,
        le=1,
        description="learning rate of a layer by that of the next higher one; the head has "
        "learning_rate, the embeddings the lowest (ULMFiT; ELECTRA, Clark et al. 2020)",
    )
    lr_scheduler_type: Literal[
        "linear", "cosine", "constant", "inverse_sqrt", "polynomial", "slanted_triangular"
    ] = Field("linear", description="course of the learning rate after the warm-up")
    slanted_triangular: strategies.SlantedTriangular | None = Field(
        None, description="shape of lr_scheduler_type: slanted_triangular"
    )
    warmup_steps: float = Field(
        0.0, ge=0, description="optimiser steps of linear warm-up; below 1 a share of all steps"
    )
    weight_decay: float = Field(0.0, ge=0, description="not applied to biases and norms")
    max_grad_norm: float | None = Field(
        1.0, gt=0, description="gradients are clipped to this norm; null leaves them"
    )
    label_smoothing_factor: float = Field(
        0.0, ge=0, lt=1, description="share of the target spread over all classes"
    )
    effective_batch_size: Positive = Field(
        32, description="rows the optimiser sees in one step, over all devices and accumulation"
    )
    per_device_train_batch_size: Positive | Literal["auto"] | None = Field(
        None,
        description="rows at a time on a device; the effective batch size unless told; auto: the "
        "most that fit",
    )
    train_sampling_strategy: Literal["group_by_length", "random", "sequential"] = Field(
        "group_by_length", description="order of the training rows; by length saves padding"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="of the arithmetic; weights are always trained in fp32"
    )
    torch_compile: bool | Literal["auto"] = Field(
        "auto", description="compile the model; auto: where the steps to come repay it"
    )
    gradient_checkpointing: bool = Field(
        False, description="compute activations twice, and hold fewer (Chen et al. 2016)"
    )
    freeze: strategies.Freeze | None = Field(None, description="what is not trained")
    gradual_unfreezing: strategies.GradualUnfreezing | None = Field(
        None, description="train the head first, then one layer more at a time (ULMFiT)"
    )
    reinit_layers: Positive | None = Field(
        None, description="the top layers that begin with random weights (Zhang et al. 2021)"
    )
    feature_extraction: bool = Field(
        False, description="train the head alone, on features that are computed once"
    )
    fsdp: Literal["full_shard", "shard_grad_op"] | strategies.Fsdp | None = Field(
        None, description="spread the model over the processes; shard_grad_op: less, and faster"
    )
    deepspeed: Name | dict[str, Any] | None = Field(
        None, description="DeepSpeed's configuration, or the path of its JSON file"
    )
    lora: strategies.Lora | None = Field(None, description="train low-rank adapters (extra peft)")
    class_weights: Literal["balanced"] | Weights | None = Field(
        None,
        description="of the loss: weights by label, the others 1; or balanced, as in scikit-learn",
    )
    focal_loss: strategies.FocalLoss | None = Field(
        None, description="weigh rows by how wrong they are"
    )
    weighted_sampling: bool = Field(
        False, description="draw rows with replacement, every class as often"
    )
    r_drop: strategies.RDrop | None = Field(None, description="two passes must agree")
    ema: strategies.MovingAverage | None = Field(
        None, description="score and save the moving average of the weights"
    )
    neftune_noise_alpha: float | None = Field(
        None, gt=0, description="noise on the embeddings (Jain et al. 2023, arXiv:2310.05914)"
    )
    evaluate_first: bool = Field(False, description="score the model before its first step as well")
    eval_strategy: Literal["epoch", "steps", "no"] = Field(
        "epoch", description="when the validation split is scored and a checkpoint kept"
    )
    eval_steps: Positive | None = Field(None, description="with eval_strategy: steps")
    logging_steps: Positive = Field(
        50, description="optimiser steps between lines of history.jsonl"
    )
    load_best_model_at_end: bool = Field(
        True, description="end with the checkpoint that scored best on validation"
    )
    metric_for_best_model: Name | None = Field(
        None, description="a metric of evaluation.metrics, or loss; the first metric unless told"
    )
    early_stopping_patience: Positive | None = Field(
        None, description="stop after this many evaluations without a better score"
    )
    early_stopping_threshold: float = Field(
        0.0, ge=0, description="least gain over the best score that counts as better"
    )
    arguments: Annotated[dict[str, Any], AfterValidator(training_arguments.checked)] = Field(
        {}, description="any other field of transformers.TrainingArguments"
    )

    @model_validator(mode="after")
    def consistent(self) -> TrainingSection:
        problems = []
        micro = self.per_device_train_batch_size
        if isinstance(micro, int) and self.effective_batch_size % micro:
            advice = f"take a divisor of {self.effective_batch_size}"
            message = f"does not divide effective_batch_size {self.effective_batch_size}"
            problems.append(
                Problem(("per_device_train_batch_size",), f"{message} (got {micro})", advice)
            )
        if self.warmup_steps >= 1 and self.warmup_steps != int(self.warmup_steps):
            message = f"must be whole, or a share below 1 (got {self.warmup_steps})"
            problems.append(Problem(("warmup_steps",), message))
        if self.eval_strategy == "steps" and self.eval_steps is None:
            advice = "say after how many steps"
            problems.append(Problem(("eval_strategy",), "steps needs the key eval_steps", advice))
        if self.eval_strategy != "steps" and self.eval_steps is not None:
            message = f"goes with eval_strategy: steps (got eval_strategy: {self.eval_strategy})"
            problems.append(Problem(("eval_steps",), message, "write eval_strategy: steps"))
        if self.eval_strategy == "no":
            for key in ("early_stopping_patience", "metric_for_best_model", "evaluate_first"):
                if getattr(self, key):
                    message = "needs evaluations (got eval_strategy: no)"
                    problems.append(Problem((key,), message, "write eval_strategy: epoch"))
        problems += self._loss_problems()
        problems += self._of_the_schedule()
        problems += self._of_the_processes()
        problems += self._of_frozen_models()
        if problems:
            raise Invalid(*problems)
        return self

    def _of_the_schedule(self) -> list[Problem]:
        problems, name = [], self.lr_scheduler_type
        slanted = name == "slanted_triangular"
        if slanted and self.warmup_steps:
            message = f"slanted_triangular has a rise of its own (got {self.warmup_steps:g})"
            advice = "write slanted_triangular: {cut_fraction: SHARE OF STEPS}"
            problems.append(Problem(("warmup_steps",), message, advice))
        if self.slanted_triangular is not None and not slanted:
            message = f"goes with lr_scheduler_type: slanted_triangular (got {name})"
            advice = "write lr_scheduler_type: slanted_triangular"
            problems.append(Problem(("slanted_triangular",), message, advice, at_key=True))
        if self.arguments.get("lr_scheduler_kwargs") and name in ("constant", "slanted_triangular"):
            advice = "write slanted_triangular: {…}" if slanted else "leave it out"
            path = ("arguments", "lr_scheduler_kwargs")
            problems.append(Problem(path, f"{name} reads none of it", advice, at_key=True))
        if self.gradual_unfreezing is not None and self.torch_compile is True:
            message = "gradual_unfreezing changes what is trained, so would compile again each time"
            problems.append(Problem(("torch_compile",), message, "leave it out"))
        return problems

    def _of_frozen_models(self) -> list[Problem]:
        """Strategies that would act on weights which adapters or feature extraction never train."""
        problems = []
        of_layers = ["freeze", "gradual_unfreezing", "reinit_layers"]
        of_encoder = ["layerwise_lr_decay", "neftune_noise_alpha", "gradient_checkpointing"]
        if self.lora is not None:
            message = "excludes lora, which trains none of the model's own layers"
            problems += [
                Problem((key,), message, "keep one of them", at_key=True)
                for key in of_layers
                if getattr(self, key)
            ]
        if self.feature_extraction:
            message = "excludes feature_extraction, which trains the head alone"
            problems += [
                Problem((key,), message, "keep one of them", at_key=True)
                for key in [*of_layers, "lora", *of_encoder]
                if getattr(self, key)
            ]
            if self.head_learning_rate is not None:
                message = "with feature_extraction there is only the head"
                advice = "write learning_rate"
                problems.append(Problem(("head_learning_rate",), message, advice, at_key=True))
        return problems

    def _of_the_processes(self) -> list[Problem]:
        problems = []
        for spread in ("fsdp", "deepspeed"):
            if getattr(self, spread) is None:
                continue
            for key in ("ema", "gradual_unfreezing", "feature_extraction", "lora"):
                if getattr(self, key):
                    message = f"needs whole weights in every process, and {spread} spreads them"
                    problems.append(Problem((key,), message, f"leave out {spread}", at_key=True))
            if spread == "deepspeed" and self.fsdp is not None:
                message = "excludes fsdp: both spread the model over the processes"
                problems.append(Problem((spread,), message, "keep one of them", at_key=True))
        return problems

    def _loss_problems(self) -> list[Problem]:
        problems = []
        if self.focal_loss is not None and self.label_smoothing_factor:
            message = "excludes label_smoothing_factor: a smoothed target is never quite right"
            problems.append(Problem(("focal_loss",), message, "keep one of them", at_key=True))
        if self.weighted_sampling and self.class_weights == "balanced":
            message = "excludes class_weights: balanced, which corrects the same skew again"
            problems.append(
                Problem(("weighted_sampling",), message, "keep one of them", at_key=True)
            )
        if self.weighted_sampling and self.train_sampling_strategy == "sequential":
            message = "draws at random (got train_sampling_strategy: sequential)"
            advice = "write train_sampling_strategy: group_by_length"
            problems.append(Problem(("weighted_sampling",), message, advice, at_key=True))
        return problems
