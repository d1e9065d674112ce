"""The sections of a config and their keys: types, bounds, defaults, and what each key means."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from nlpbench.config import training_arguments
from nlpbench.config.component import Component, ComponentField, Section
from nlpbench.config.problems import Invalid, Problem

SplitName = Literal["train", "validation", "test"]
Share = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(min_length=1)]


class TokenizerTraining(Section):
    """Train a tokenizer of the model's own kind on the training texts."""

    vocab_size: int = Field(8000, ge=100, description="entries of the vocabulary, at most")


class TokenizerSection(Section):
    """A tokenizer by name or directory, or one trained on the data."""

    shorthand = "name_or_path"

    name_or_path: Name | None = Field(None, description="hub id, directory or pkg://package/folder")
    train: TokenizerTraining | None = Field(None, description="train one on the training texts")

    @model_validator(mode="after")
    def exactly_one(self) -> TokenizerSection:
        if (self.name_or_path is None) == (self.train is None):
            raise Invalid(_needs_one(self, "name_or_path", "train"))
        return self


class ModelSection(Section):
    """The pretrained checkpoint, or a bare configuration that starts from random weights."""

    shorthand = "name_or_path"

    name_or_path: Name | None = Field(
        None, description="hub id, directory, run directory or pkg://package/folder"
    )
    revision: Name | None = Field(None, description="branch, tag or commit of a hub model")
    config: dict[str, Any] | None = Field(
        None, description="a transformers configuration with its model_type: random weights"
    )
    tokenizer: TokenizerSection | None = Field(
        None, description="another tokenizer than the model's own; needed with config"
    )

    @model_validator(mode="after")
    def one_source(self) -> ModelSection:
        problems = []
        if (self.name_or_path is None) == (self.config is None):
            problems.append(_needs_one(self, "name_or_path", "config"))
        elif self.config is not None:
            if not isinstance(self.config.get("model_type"), str):
                advice = "write model_type: bert, or another one that transformers knows"
                problems.append(
                    Problem(("config",), "needs the key model_type", advice, at_key=True)
                )
            if self.tokenizer is None:
                advice = "write tokenizer: {train: {vocab_size: 8000}}, or name one"
                problems.append(Problem((), "needs the key tokenizer", advice, at_key=True))
            if self.revision is not None:
                problems.append(
                    Problem(("revision",), "goes with name_or_path", "take it away", at_key=True)
                )
        if problems:
            raise Invalid(*problems)
        return self

    @property
    def label(self) -> str:
        """What a table calls the model."""
        if self.name_or_path is not None:
            return self.name_or_path
        assert self.config is not None
        return f"{self.config['model_type']} from scratch"


class MaxSamples(Section):
    """The most rows of each split; a seeded sample in dataset order is kept."""

    train: Positive | None = Field(None, description="rows of train, at most")
    validation: Positive | None = Field(None, description="rows of validation, at most")
    test: Positive | None = Field(None, description="rows of test, at most")


class DataSection(Section):
    """Where the rows come from. Paths are relative to the directory the command runs in."""

    shorthand = "source"

    source: Name | None = Field(
        None, description="hub id, file, glob, directory, pkg://package/path or sample:NAME"
    )
    train: Name | None = Field(
        None, description="with source the name of its split, else a file or glob"
    )
    validation: Name | None = Field(None, description="as train")
    test: Name | None = Field(None, description="as train")
    subset: Name | None = Field(None, description="configuration of a hub data set, such as mrpc")
    revision: Name | None = Field(None, description="branch, tag or commit of a hub data set")
    delimiter: str | None = Field(
        None, min_length=1, max_length=1, description="of csv files; a comma unless told"
    )
    column_names: list[Name] | None = Field(
        None, min_length=1, description="for csv and tsv files without a header line"
    )
    id_column: Name | None = Field(
        None, description="column that identifies a row in predictions.jsonl; its number if unset"
    )
    validation_share: Share = Field(0.1, description="of train, where there is no validation split")
    test_share: Share = Field(0.1, description="of train, where there is no test split")
    split_seed: int = Field(42, ge=0, description="of splitting and sampling rows")
    max_samples: MaxSamples = Field(MaxSamples(), description="the most rows of each split")
    max_leakage: float | None = Field(
        None,
        ge=0,
        le=1,
        description="fail if a larger share of an evaluation split's rows stands in train",
    )

    @model_validator(mode="after")
    def some_source(self) -> DataSection:
        problems = []
        if self.source is None and not (self.train or self.validation or self.test):
            advice = "write source, or train with a file"
            problems.append(Problem((), "names no data", advice, at_key=True))
        shares = self.validation_share + self.test_share
        if shares >= 1:
            message = f"with validation_share leaves no rows to train on (together {shares:g})"
            problems.append(Problem(("test_share",), message, "take shares below 1 together"))
        if problems:
            raise Invalid(*problems)
        return self


class TrainingSection(Section):
    """How the model is trained. Names and meanings are those of transformers.TrainingArguments."""

    num_train_epochs: float = Field(3.0, gt=0, description="passes over the training rows")
    max_steps: Positive | None = Field(
        None, description="optimiser steps; overrides num_train_epochs"
    )
    learning_rate: float = Field(5e-5, gt=0, description="highest learning rate of AdamW")
    lr_scheduler_type: Literal["linear", "cosine", "constant", "inverse_sqrt", "polynomial"] = (
        Field("linear", description="course of the learning rate after the warm-up")
    )
    warmup_steps: float = Field(
        0.0, ge=0, description="optimiser steps of linear warm-up; below 1 a share of all steps"
    )
    weight_decay: float = Field(0.0, ge=0, description="not applied to biases and norms")
    max_grad_norm: float = Field(1.0, gt=0, description="gradients are clipped to this norm")
    label_smoothing_factor: float = Field(
        0.0, ge=0, lt=1, description="share of the target spread over all classes"
    )
    effective_batch_size: Positive = Field(
        32, description="rows the optimiser sees in one step, over all devices and accumulation"
    )
    per_device_train_batch_size: Positive | None = Field(
        None, description="rows at a time on a device; the effective batch size unless told"
    )
    train_sampling_strategy: Literal["group_by_length", "random", "sequential"] = Field(
        "group_by_length", description="order of the training rows; by length saves padding"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="of the arithmetic; weights are always trained in fp32"
    )
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
        if micro is not None and self.effective_batch_size % micro:
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
            for key in ("early_stopping_patience", "metric_for_best_model"):
                if getattr(self, key) is not None:
                    message = "needs evaluations (got eval_strategy: no)"
                    problems.append(Problem((key,), message, "write eval_strategy: epoch"))
        if problems:
            raise Invalid(*problems)
        return self


class EvaluationSection(Section):
    """What is measured, on which rows, and how sure the figures are."""

    split: SplitName = Field("test", description="the split that is scored at the end")
    metrics: list[Annotated[Component, ComponentField("metric")]] | None = Field(
        None, min_length=1, description="names or mappings; the task's own unless told"
    )
    confidence: float = Field(0.95, gt=0, lt=1, description="level of the intervals")
    resamples: int = Field(1000, ge=100, description="bootstrap resamples")
    bootstrap_seed: int = Field(12345, ge=0, description="of the bootstrap")
    batch_size: Positive = Field(32, description="rows at a time on the device")
    precision: Literal["fp32", "bf16", "fp16"] = Field("fp32", description="of the arithmetic")
    efficiency: bool = Field(True, description="measure latency, throughput and memory")


def _needs_one(section: Section, one: str, other: str) -> Problem:
    if getattr(section, one) is None:
        return Problem((), f"needs the key {one} or {other}", at_key=True)
    return Problem((other,), f"excludes {one}", "keep one of them", at_key=True)
