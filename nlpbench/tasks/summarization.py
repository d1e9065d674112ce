"""Summarisation: a text to a short one that says what matters in it."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from nlpbench.config.problems import Invalid, Problem
from nlpbench.tasks.writing.generation import GenerationTask


class Summarization(GenerationTask):
    """A text to a short one that says what matters in it.

    Encoder-decoders (BART, Pegasus, T5 with `source_prefix: "summarize: "`) or decoders, prompted
    with `TL;DR:` (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"). A
    text may be a list of sentences; a list of summaries is one of references.

    ```yaml
    task: {name: summarization, source_column: source, target_column: target, train_on: shortest}
    ```
    """

    source_column: str = Field("text", description="column with the text, or its sentences")
    target_column: str | None = Field(
        None, description="column with its summary, or with several; summary unless told"
    )
    target_columns: list[str] | None = Field(
        None, min_length=2, description="several columns, each with a summary"
    )
    language: str | None = Field(
        None, min_length=2, description="for multilingual models the language's code, such as en_XX"
    )

    @model_validator(mode="after")
    def one_kind_of_target(self) -> Summarization:
        if self.target_columns is not None and self.target_column is not None:
            problem = Problem(
                ("target_columns",), "excludes target_column", "keep one", at_key=True
            )
            raise Invalid(problem)
        return self

    @property
    def source(self) -> str:
        return self.source_column

    @property
    def targets(self) -> list[str]:
        return self.target_columns or [self.target_column or "summary"]

    @property
    def languages(self) -> tuple[str | None, str | None]:
        return self.language, self.language

    @property
    def decoder_template(self) -> str:
        return "{source}\nTL;DR:"

    def metrics_of_texts(self) -> list[dict[str, Any]]:
        return [{"name": "rouge"}]
