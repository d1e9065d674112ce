"""Multiple choice: which of several texts goes on from a context, or answers a question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from nlpbench.config.errors import UserError
from nlpbench.config.problems import Invalid, Problem
from nlpbench.tasks import Bundle, Collate, Keep, Locate, Predictions, Task, keep_in_memory
from nlpbench.tasks._columns import check_texts
from nlpbench.tasks._margins import between_classes
from nlpbench.tasks.vectors import stacked_texts as stacked
from nlpbench.tasks.vectors.choice_columns import LETTERS, ChoiceColumns, Questions, right_choices

if TYPE_CHECKING:
    import numpy as np
    from datasets import Dataset
    from numpy.typing import NDArray
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class MultipleChoice(Task):
    """Which of several texts follows a context, or answers a question about it.

    The head is that of transformers' `AutoModelForMultipleChoice`: one score for the pair of the
    context and each choice, and cross entropy over the scores of a row, as for SWAG (Zellers et al.
    2018, "SWAG: A Large-Scale Adversarial Dataset for Grounded Commonsense Inference"). A question
    stands before each choice. Labels are the letters A, B, C … of the choices.

        task: {name: multiple-choice, context_column: context, choices_column: choices}
    """

    context_column: str = Field(
        "context", description="column with the text that all choices share"
    )
    question_column: str | None = Field(
        None, description="column with a question or beginning, put before every choice"
    )
    choices_column: str | None = Field(
        None, description="column with the list of choices; choices if unset"
    )
    choice_columns: list[str] | None = Field(
        None, min_length=2, max_length=len(LETTERS), description="several columns, one a choice"
    )
    label_column: str = Field(
        "label", description="column with the right choice: its number, letter or text"
    )
    first_label: Literal[0, 1] = Field(0, description="the number of the first choice")
    max_length: int = Field(
        128, ge=2, description="tokens of the context with one choice; the rest is cut off"
    )

    @model_validator(mode="after")
    def columns_fit(self) -> MultipleChoice:
        problems = []
        if self.choice_columns is not None:
            if self.choices_column is not None:
                problems.append(
                    Problem(("choice_columns",), "excludes choices_column", "keep one", at_key=True)
                )
            if len(set(self.choice_columns)) < len(self.choice_columns):
                problems.append(Problem(("choice_columns",), "names a column twice"))
        if problems:
            raise Invalid(*problems)
        return self

    @property
    def answer(self) -> Literal["labels"]:
        return "labels"

    def default_metrics(self) -> list[dict[str, Any]]:
        return [{"name": "accuracy"}]

    @property
    def columns(self) -> list[str]:
        return [*self._columns.texts, self.label_column]

    @property
    def altered_columns(self) -> list[str]:
        return [self.context_column, *([self.question_column] if self.question_column else [])]

    @property
    def _columns(self) -> ChoiceColumns:
        choices = self.choice_columns or [self.choices_column or "choices"]
        return ChoiceColumns(
            self.context_column, self.question_column, tuple(choices), self.choice_columns is None
        )

    @property
    def auto_classes(self) -> tuple[str, ...]:
        return ("AutoModelForMultipleChoice",)

    def find_labels(self, rows: Dataset, locate: Locate) -> list[str]:
        return list(LETTERS[: self._columns.count(rows, locate)])

    def references(self, rows: Dataset, labels: Sequence[str], locate: Locate) -> NDArray[Any]:
        count = self._columns.count(rows, locate)
        if count > len(labels):
            raise UserError(
                f"{locate(0)}: {count} choices, and the model was trained on {len(labels)}"
            )
        return right_choices(rows, self._columns, self.label_column, self.first_label, locate)

    def texts(self, rows: Dataset, locate: Locate) -> Sequence[str]:
        for column in (self.context_column, self.question_column):
            if column is not None:
                check_texts(rows, column, locate)
        self._columns.count(rows, locate)
        return Questions(rows, self._columns)

    def head(self, labels: Sequence[str]) -> dict[str, Any]:
        return {
            "id2label": dict(enumerate(labels)),
            "label2id": {label: number for number, label in enumerate(labels)},
        }

    def labels_of(self, model: PreTrainedModel) -> list[str]:
        """The letters that the model was trained on; all where it does not tell: any number will do."""
        names: dict[Any, Any] = model.config.id2label or {}
        known = [names[number] for number in range(len(names))]
        if known == list(LETTERS[: len(known)]):
            return known
        return list(LETTERS[: len(self.choice_columns or LETTERS)])

    def encode(
        self,
        rows: Dataset,
        references: NDArray[Any] | None,
        bundle: Bundle,
        keep: Keep = keep_in_memory,
        *,
        training: bool = False,
        corpus: Dataset | None = None,
    ) -> Dataset:
        columns = self._columns
        stacked.check_room(bundle.tokenizer, self.max_length, pair=True)
        options = {
            "context": columns.context,
            "question": columns.question,
            "choices": list(columns.choices),
            "max_length": self.max_length,
        }
        features = keep(
            rows.select_columns(columns.texts),
            options,
            partial(map, partial(_encode, bundle.tokenizer, columns, self.max_length)),
        )
        if references is not None:
            features = features.add_column("labels", references)
        return features

    def collate(self, bundle: Bundle, *, training: bool = False) -> Collate:
        return stacked.collate(bundle.tokenizer)

    def decode(
        self,
        values: NDArray[Any] | list[NDArray[Any]],
        features: Dataset,
        rows: Dataset,
        bundle: Bundle,
    ) -> Predictions:
        import numpy as np
        from scipy.special import softmax

        shares = softmax(np.asarray(values, dtype=np.float64), axis=-1)
        probabilities = np.zeros((len(shares), max(len(bundle.labels), shares.shape[1])))
        probabilities[:, : shares.shape[1]] = shares
        answers = shares.argmax(axis=-1)
        texts = rows.select_columns(list(self._columns.choices)).with_format(None)
        choices = [row for batch in texts.iter(1000) for row in self._columns.choices_of(batch)]
        details = [
            {"choice": row[answer], "probabilities": dict(zip(LETTERS, share, strict=False))}
            for row, answer, share in zip(choices, answers, shares.tolist(), strict=True)
        ]
        return Predictions(answers, probabilities, details)

    def margins(
        self,
        values: NDArray[Any] | list[NDArray[Any]],
        bundle: Bundle,
    ) -> NDArray[np.float64]:
        import numpy as np

        return between_classes(np.asarray(values))

    def rows_of(
        self, predictions: Predictions, references: NDArray[Any], labels: Sequence[str]
    ) -> list[dict[str, Any]]:
        plain = super().rows_of(predictions, references, labels)
        return [
            {**row, **{key: labels[row[key]] for key in ("reference", "prediction")}}
            for row in plain
        ]


def _encode(
    tokenizer: PreTrainedTokenizerBase,
    columns: ChoiceColumns,
    max_length: int,
    batch: Mapping[str, Sequence[Any]],
) -> dict[str, Any]:
    contexts, choices = columns.pairs(batch)
    return stacked.encode(tokenizer, contexts, max_length, choices)
