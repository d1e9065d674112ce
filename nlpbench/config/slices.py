"""The key evaluation.slices: which parts of the rows are scored by themselves."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from nlpbench.config.component import Section
from nlpbench.config.problems import Invalid, Path, Problem, show

Positive = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(min_length=1)]
Unit = Literal["tokens", "words", "characters"]

KINDS = ("column", "columns", "label", "length", "pattern")
GOES_WITH = {
    "values": ("column",),
    "min_rows": ("column", "columns"),
    "max_values": ("column", "columns"),
    "fairness": ("column", "columns", "pattern"),
    "unit": ("length",),
}
MIN_ROWS, MAX_VALUES = 1, 50
WITH_LABELS = ("labels", "label-sets")  # the answers of tasks whose rows have labels


class Slicing(Section):
    """One way to cut the rows into slices; a bare string is a column, or `label`.

    ```yaml
    slices:
      - language                                       # language=de, language=en, …
      - label                                          # label=positive, label=negative
      - {length: [16, 64]}                             # length<=16, 16<length<=64, length>64
      - {pattern: "\\\\bnot\\\\b", name: negation}         # negation, not negation
      - {columns: [language, domain], min_rows: 20}    # language=de,domain=news, …
      - {column: group, fairness: true}
    ```
    """

    shorthand: ClassVar[str | None] = "column"

    column: Name | None = Field(None, description="a slice for each value; with pattern, its text")
    columns: list[Name] | None = Field(
        None, min_length=2, description="a slice for each combination of values that occurs"
    )
    label: bool = Field(False, description="true: a slice for each label of the reference")
    length: list[Positive] | None = Field(
        None, min_length=1, description="the longest of each slice but the last, rising"
    )
    pattern: Name | None = Field(
        None, description="regular expression: a slice of the rows it is found in, and the others"
    )
    name: Name | None = Field(
        None, description="what the slices are called by, in place of the column or the pattern"
    )
    values: list[Any] | None = Field(
        None,
        min_length=1,
        description="of the column, in place of all; one that is absent is empty",
    )
    min_rows: Positive | None = Field(
        None, description=f"values with fewer are left out; {MIN_ROWS} unless told"
    )
    max_values: Positive | None = Field(
        None, description=f"more slices are refused; {MAX_VALUES} unless told"
    )
    unit: Unit | None = Field(
        None, description="of length: tokens of the text, words or characters; tokens unless told"
    )
    fairness: bool = Field(
        False, description="compare selection, true and false positive rates between the slices"
    )
    positive_label: Name | None = Field(
        None, description="that the rates are of; the second of two labels, or each, unless told"
    )

    @model_validator(mode="before")
    @classmethod
    def label_is_no_column(cls, values: Any) -> Any:
        return {"label": True} if values == "label" else values

    @model_validator(mode="after")
    def one_of_a_kind(self) -> Slicing:
        found = [kind for kind in KINDS if getattr(self, kind) not in (None, False)]
        if "pattern" in found and "column" in found:
            found.remove("column")  # the text that the pattern is looked for in
        problems = self._of_values()
        if not found:
            message = "needs one of the keys " + ", ".join(KINDS)
            problems.append(Problem((), message, at_key=True))
        problems += [
            Problem((kind,), f"excludes {found[0]}", "keep one of them", at_key=True)
            for kind in found[1:]
        ]
        for key, kinds in GOES_WITH.items():
            if getattr(self, key) and len(found) == 1 and found[0] not in kinds:
                advice = "take it away"
                problems.append(
                    Problem((key,), f"goes with {' or '.join(kinds)}", advice, at_key=True)
                )
        if self.positive_label is not None and not self.fairness:
            problems.append(
                Problem(("positive_label",), "goes with fairness", "write fairness: true", True)
            )
        if problems:
            raise Invalid(*problems)
        return self

    def _of_values(self) -> list[Problem]:
        problems = []
        if self.pattern is not None:
            try:
                re.compile(self.pattern)
            except re.error as error:
                message = f"is no regular expression ({error}; got {show(self.pattern)})"
                problems.append(Problem(("pattern",), message))
        if self.length is not None and self.length != sorted(set(self.length)):
            advice = f"write {show(sorted(set(self.length)))}"
            message = f"must rise from each bound to the next (got {show(self.length)})"
            problems.append(Problem(("length",), message, advice))
        if self.columns is not None and len(set(self.columns)) < len(self.columns):
            problems.append(
                Problem(("columns",), f"names a column twice (got {show(self.columns)})")
            )
        problems += [
            Problem(("values", number), f"must be a text, a number or a truth (got {show(value)})")
            for number, value in enumerate(self.values or ())
            if not isinstance(value, str | int | float)
        ]
        texts = [text_of(value) for value in self.values or ()]
        problems += [
            Problem(("values", number), f"stands twice (got {show(text)})", "keep one of them")
            for number, text in enumerate(texts)
            if text in texts[:number]
        ]
        return problems

    @property
    def title(self) -> str:
        """What the slices have in common, such as `language` of `language=de`."""
        if self.name is not None:
            return self.name
        if self.pattern is not None:
            return f"/{self.pattern}/"
        if self.length is not None:
            return "length" if self.unit in (None, "tokens") else str(self.unit)
        return "label" if self.label else ",".join(self.read_columns)

    @property
    def read_columns(self) -> list[str]:
        """The columns of the data that it reads, besides those of the task."""
        return self.columns or ([self.column] if self.column is not None else [])


def text_of(value: Any) -> str:
    """A value of a column as the name of a slice tells it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def problems(slicings: Sequence[Slicing], answer: str) -> list[Problem]:
    """What is wrong with the slicings of a task that predicts `answer`, from `evaluation` on."""
    found = []
    titles = [slicing.title for slicing in slicings]
    for number, slicing in enumerate(slicings):
        path: Path = ("evaluation", "slices", number)
        if slicing.title in titles[:number]:
            first = f"evaluation.slices[{titles.index(slicing.title)}]"
            message = f"is called {slicing.title}, as {first} is"
            found.append(Problem(path, message, "give one of them a name, or keep one"))
        found += [
            Problem((*path, key), f"needs a task with labels, and this one predicts {answer}")
            for key in ("label", "fairness")
            if getattr(slicing, key) and answer not in WITH_LABELS
        ]
    return found


def columns_of(slicings: Sequence[Slicing]) -> dict[str, str]:
    """The columns that slicings read, each with the first key that names it."""
    found: dict[str, str] = {}
    for number, slicing in enumerate(slicings):
        for column in slicing.read_columns:
            found.setdefault(column, f"evaluation.slices[{number}]")
    return found
