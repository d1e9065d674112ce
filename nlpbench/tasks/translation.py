"""Translation: a text to the same text in another language."""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field, model_validator

from nlpbench.config.problems import Invalid, Problem
from nlpbench.tasks.writing.generation import GenerationTask

READ_BY_CHARACTERS = {"zh", "ja", "ko"}  # BLEU has tokenizers of their own for these


class Translation(GenerationTask):
    """A text to the same text in another language.

    Encoder-decoders (Marian, T5 with `source_prefix`, mBART and other multilingual ones, which are
    told their languages by codes such as en_XX) or decoders, prompted as `source = ` (Radford et
    al. 2019, "Language Models are Unsupervised Multitask Learners").

    ```yaml
    task: {name: translation, source_language: en, target_language: de}
    task: {name: translation, source_column: translation.en, target_column: translation.de}
    ```
    """

    source_language: str | None = Field(
        None, min_length=2, description="code of the language that is read, such as en"
    )
    target_language: str | None = Field(
        None, min_length=2, description="code of the language that is written"
    )
    source_column: str | None = Field(
        None, description="column with the text; source_language unless told"
    )
    target_column: str | None = Field(
        None, description="column with its translation, or several; target_language unless told"
    )
    target_columns: list[str] | None = Field(
        None, min_length=2, description="several columns, each with a translation"
    )
    max_source_length: int = Field(
        128, ge=1, description="most tokens of a source with its prompt; the rest is cut off"
    )

    @model_validator(mode="after")
    def columns_are_known(self) -> Translation:
        problems = []
        for side in ("source", "target"):
            several = side == "target" and self.target_columns is not None
            one = getattr(self, f"{side}_column") or getattr(self, f"{side}_language")
            if one is None and not several:
                message = f"needs the key {side}_column or {side}_language"
                problems.append(Problem((), message, at_key=True))
        if self.target_columns is not None and self.target_column is not None:
            problems.append(
                Problem(("target_columns",), "excludes target_column", "keep one", at_key=True)
            )
        if problems:
            raise Invalid(*problems)
        return self

    @property
    def source(self) -> str:
        return str(self.source_column or self.source_language)

    @property
    def targets(self) -> list[str]:
        return self.target_columns or [str(self.target_column or self.target_language)]

    @property
    def languages(self) -> tuple[str | None, str | None]:
        return self.source_language, self.target_language

    @property
    def decoder_template(self) -> str:
        return "{source} ="

    def metrics_of_texts(self) -> list[dict[str, Any]]:
        language = re.split("[_-]", self.target_language or "")[0]
        told = {"target_language": language} if language in READ_BY_CHARACTERS else {}
        return [{"name": "bleu", **told}, {"name": "chrf"}]
