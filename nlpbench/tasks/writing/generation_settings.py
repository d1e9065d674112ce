"""How a model writes: the options of a task that generates text."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from nlpbench.config.component import Section
from nlpbench.config.problems import Invalid, Problem

OF_SAMPLING = ("temperature", "top_p", "top_k", "seed")
OF_BEAMS = ("length_penalty", "early_stopping")


class Generation(Section):
    """How a model writes, by the names of transformers' `GenerationConfig`.

    Greedy search unless told. What a checkpoint brings with it counts only for its special tokens.
    """

    max_new_tokens: Annotated[int, Field(ge=1)] | None = Field(
        None, description="most tokens of an answer; task.max_target_length unless told"
    )
    min_new_tokens: Annotated[int, Field(ge=0)] | None = Field(
        None, description="no answer ends before as many tokens"
    )
    num_beams: int = Field(1, ge=1, description="beams of the search; 1 is greedy")
    length_penalty: float | None = Field(
        None, description="exponent of the length by which a beam's score is divided; 1 unless told"
    )
    early_stopping: bool | Literal["never"] | None = Field(
        None, description="true: stop with num_beams answers; false: by a guess; never: when sure"
    )
    no_repeat_ngram_size: int = Field(
        0, ge=0, description="no run of as many tokens is written twice; 0 allows all"
    )
    repetition_penalty: float = Field(
        1.0, gt=0, description="divides the scores of tokens met before (Keskar et al. 2019)"
    )
    do_sample: bool = Field(False, description="draw tokens at random instead of the likeliest")
    temperature: Annotated[float, Field(gt=0)] | None = Field(
        None, description="divides the scores before drawing; 1 unless told"
    )
    top_p: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="draw from the likeliest tokens of this share (Holtzman et al. 2020)"
    )
    top_k: Annotated[int, Field(ge=0)] | None = Field(
        None, description="draw from as many likeliest tokens; 50 unless told, 0 for all"
    )
    seed: Annotated[int, Field(ge=0)] | None = Field(
        None, description="of the drawing, by row whatever the batch size; 0 unless told"
    )

    @model_validator(mode="after")
    def consistent(self) -> Generation:
        problems = []
        if not self.do_sample:
            problems += self._without_effect(OF_SAMPLING, "do_sample: true")
        elif self.num_beams > 1:
            message = "excludes num_beams: a beam search draws nothing"
            problems.append(Problem(("do_sample",), message, "keep one of them", at_key=True))
        if self.num_beams == 1:
            problems += self._without_effect(OF_BEAMS, "num_beams of 2 or more")
        least, most = self.min_new_tokens, self.max_new_tokens
        if least is not None and most is not None and least > most:
            message = f"is more than max_new_tokens (got {least} and {most})"
            problems.append(Problem(("min_new_tokens",), message))
        if problems:
            raise Invalid(*problems)
        return self

    def asked(self, max_target_length: int) -> dict[str, Any]:
        """The settings by transformers' names, unset ones left out; `seed` is none of them."""
        values = self.model_dump(exclude={"seed"}, exclude_none=True)
        return {"max_new_tokens": max_target_length, **values}

    def _without_effect(self, keys: tuple[str, ...], need: str) -> list[Problem]:
        return [
            Problem((key,), f"needs {need}", "leave it out", at_key=True)
            for key in keys
            if getattr(self, key) is not None
        ]
