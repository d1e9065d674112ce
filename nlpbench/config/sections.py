"""The sections of a config and their keys: types, bounds, defaults, and what each key means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from nlpbench.config.component import Component, ComponentField, Section
from nlpbench.config.error_analysis import SwitchedErrorAnalysis
from nlpbench.config.perturbations import Perturbations
from nlpbench.config.problems import Invalid, Problem, show
from nlpbench.config.slices import Slicing

SplitName = Literal["train", "validation", "test"]
Share = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(min_length=1)]
Probability = Annotated[float, Field(ge=0, lt=1)]


class TokenizerTraining(Section):
    """Train a tokenizer of the model's own kind on the training texts."""

    vocab_size: int = Field(8000, ge=100, description="entries of the vocabulary, at most")
    type: Literal["bpe", "wordpiece", "unigram"] | None = Field(
        None, description="of pieces: bpe, wordpiece or unigram; as the model's own unless told"
    )


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


class Dropout(Section):
    """Dropout probabilities in place of those of the checkpoint."""

    hidden: Probability | None = Field(None, description="of embeddings and layers")
    attention: Probability | None = Field(None, description="of attention probabilities")
    classifier: Probability | None = Field(None, description="before the head's last layer")


class ModelSection(Section):
    """The pretrained checkpoint, or a bare configuration that starts from random weights."""

    shorthand = "name_or_path"

    name_or_path: Name | None = Field(
        None, description="hub id, directory, run directory or pkg://package/folder"
    )
    gguf_file: Name | None = Field(
        None, description="the model in there, where it is one of several GGUF files"
    )
    revision: Name | None = Field(None, description="branch, tag or commit of a hub model")
    config: dict[str, Any] | None = Field(
        None, description="a transformers configuration with its model_type: random weights"
    )
    tokenizer: TokenizerSection | None = Field(
        None, description="another tokenizer than the model's own; needed with config"
    )
    dropout: Dropout | None = Field(None, description="probabilities other than the checkpoint's")

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
            problems += [
                Problem((key,), "goes with name_or_path", "take it away", at_key=True)
                for key in ("gguf_file", "revision")
                if getattr(self, key) is not None
            ]
        if self.gguf_file is not None and not self.gguf_file.lower().endswith(".gguf"):
            message = f"must end in .gguf (got {show(self.gguf_file)})"
            problems.append(Problem(("gguf_file",), message))
        if problems:
            raise Invalid(*problems)
        return self

    @property
    def address(self) -> str:
        """Where the pretrained model is, with its GGUF file if one is told."""
        assert self.name_or_path is not None
        if self.gguf_file is None:
            return self.name_or_path
        return f"{self.name_or_path.rstrip('/')}/{self.gguf_file}"

    @property
    def label(self) -> str:
        """What a table calls the model."""
        if self.name_or_path is not None:
            return self.address
        assert self.config is not None
        return f"{self.config['model_type']} from scratch"


class MaxSamples(Section):
    """The most rows of each split; a seeded sample in dataset order is kept."""

    train: Positive | None = Field(None, description="rows of train, at most")
    validation: Positive | None = Field(None, description="rows of validation, at most")
    test: Positive | None = Field(None, description="rows of test, at most")


class ConllColumns(Section):
    """Which columns of a CoNLL file are read, counted from 0; -1 is the last one."""

    tokens: int = Field(0, description="the column of the words")
    tags: int = Field(-1, description="the column of their tags")

    @model_validator(mode="after")
    def two_columns(self) -> ConllColumns:
        if self.tokens == self.tags:
            message = f"is the column of the tokens as well (got {self.tags})"
            raise Invalid(Problem(("tags",), message, "name two columns"))
        return self


class DataSection(Section):
    """Where the rows come from. Paths are relative to the directory the command runs in."""

    shorthand = "source"

    name: Name | None = Field(None, description="in tables; the source or file unless told")
    source: Name | None = Field(
        None, description="hub id, file, glob, directory, pkg://package/path or sample:NAME"
    )
    train: Name | None = Field(
        None,
        description="with source the name of its split, else a file, a glob or, for parallel text, "
        "train.{en,de}",
    )
    validation: Name | None = Field(None, description="as train")
    test: Name | None = Field(None, description="as train")
    subset: Name | None = Field(None, description="configuration of a hub data set, such as mrpc")
    revision: Name | None = Field(None, description="branch, tag or commit of a hub data set")
    format: Literal["csv", "tsv", "json", "jsonl", "parquet", "txt", "conll"] | None = Field(
        None, description="of all files, where their suffixes do not tell it"
    )
    delimiter: str | None = Field(
        None, min_length=1, max_length=1, description="of csv files; a comma unless told"
    )
    column_names: list[Name] | None = Field(
        None, min_length=1, description="for csv and tsv files without a header line"
    )
    conll_columns: ConllColumns | None = Field(
        None, description="of conll files; the first holds words and the last tags unless told"
    )
    rename_columns: dict[str, Name] = Field(
        {},
        description="columns that get another name as they are read, such as {sentence: text}; "
        "all other keys mean the new names",
    )
    text_unit: Literal["line", "paragraph", "document"] = Field(
        "line",
        description="what of a txt file is a row: a line, what stands between blank lines, the file",
    )
    document_start: Name | None = Field(
        None,
        description="regular expression; a row it is found in begins a document, which the rows "
        "after it belong to",
    )
    id_column: Name | None = Field(
        None, description="column that identifies a row in predictions.jsonl; its number if unset"
    )
    validation_share: Share = Field(0.1, description="of train, where there is no validation split")
    test_share: Share = Field(0.1, description="of train, where there is no test split")
    group_column: Name | None = Field(
        None,
        description="column whose equal values stay in one split, where splits come from train",
    )
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
        targets = list(self.rename_columns.values())
        for old, new in self.rename_columns.items():
            if targets.count(new) > 1:
                message = f"is the new name of two columns (got {show(new)})"
                problems.append(Problem(("rename_columns", old), message, "keep one of them"))
        if self.document_start is not None:
            try:
                re.compile(self.document_start)
            except re.error as error:
                message = f"is no regular expression ({error}; got {show(self.document_start)})"
                problems.append(Problem(("document_start",), message))
        shares = self.validation_share + self.test_share
        if shares >= 1:
            message = f"with validation_share leaves no rows to train on (together {shares:g})"
            problems.append(Problem(("test_share",), message, "take shares below 1 together"))
        if problems:
            raise Invalid(*problems)
        return self


def data_label(values: Mapping[str, Any], split: str) -> str | None:
    """What a table calls data: its name, its source, or the file of the split.

    Args:
        values: the keys of a data section.
    """
    if values.get("name") is not None:
        return str(values["name"])
    source, subset = values.get("source"), values.get("subset")
    if source is None:
        source = values.get(split) or values.get("train")
    return None if source is None else f"{source}/{subset}" if subset else str(source)


class EvaluationSection(Section):
    """What is measured, on which rows, and how sure the figures are."""

    split: SplitName = Field("test", description="the split that is scored at the end")
    metrics: list[Annotated[Component, ComponentField("metric")]] | None = Field(
        None, min_length=1, description="names or mappings; the task's own unless told"
    )
    slices: list[Slicing] | None = Field(
        None, min_length=1, description="parts of the rows that are scored by themselves, too"
    )
    perturbations: Perturbations | None = Field(
        None, min_length=1, description="names or mappings: how far scores fall on altered texts"
    )
    error_analysis: SwitchedErrorAnalysis = Field(
        None,
        description="true, or a mapping: write the examples of the highest loss, the labels most "
        "confused and the references that may be wrong",
    )
    cluster_column: Name | None = Field(
        None,
        description="column whose equal values are one source: the bootstrap draws these together",
    )
    confidence: float = Field(0.95, gt=0, lt=1, description="level of the intervals")
    resamples: int = Field(1000, ge=100, description="bootstrap resamples")
    bootstrap_seed: int = Field(12345, ge=0, description="of the bootstrap")
    batch_size: Positive | Literal["auto"] = Field(
        "auto",
        description="rows at a time on the device; auto: as many as make a good number of tokens",
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "fp32", description="of the arithmetic; auto: bf16 where the hardware computes in it"
    )
    compile: bool = Field(False, description="compile the model first; repaid by very many rows")
    efficiency: bool = Field(True, description="measure latency, throughput and memory")


def _needs_one(section: Section, one: str, other: str) -> Problem:
    if getattr(section, one) is None:
        return Problem((), f"needs the key {one} or {other}", at_key=True)
    return Problem((other,), f"excludes {one}", "keep one of them", at_key=True)
