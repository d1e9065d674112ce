"""The key evaluation.error_analysis: whether the errors of a model are told apart, and how many."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from nlpbench.config.component import Section
from nlpbench.config.problems import Invalid, Problem, show


class ErrorAnalysis(Section):
    """Which errors there are, in files of the run directory; `true` takes all defaults."""

    examples: int = Field(50, ge=1, description="rows of a file, at most")


def _spelled_out(value: Any) -> Any:
    if isinstance(value, bool):
        return {} if value else None
    if value is None or isinstance(value, dict | ErrorAnalysis):
        return value
    raise Invalid(Problem((), f"must be true, false or a mapping (got {show(value)})"))


SwitchedErrorAnalysis = Annotated[
    ErrorAnalysis | None,
    BeforeValidator(_spelled_out, json_schema_input_type=bool | ErrorAnalysis | None),
]
