"""Question answering: the part of a context that answers a question, or none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from nlpbench.config.errors import UserError
from nlpbench.config.problems import Invalid, Problem
from nlpbench.tasks import (
    SETTLED_ON,
    Bundle,
    Collate,
    Keep,
    Locate,
    Predictions,
    Settled,
    Task,
    keep_in_memory,
    objects,
)
from nlpbench.tasks._columns import Texts, check_texts, to_column
from nlpbench.tasks.spans import context_windows
from nlpbench.tasks.spans.answer_columns import AnswerColumns, read_answers
from nlpbench.tasks.spans.context_windows import Sizes

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from numpy.typing import NDArray

    from nlpbench.tasks.spans.span_search import Found, Span

THRESHOLD = "nlpbench_null_threshold"  # in a model's configuration
NEST = "nbest_predictions.jsonl"


class QuestionAnswering(Task):
    """The part of a context that answers a question, word for word, or that there is none.

    The head is that of transformers' `AutoModelForQuestionAnswering`: a start and an end logit a
    token; the loss is the mean of their cross entropies (Devlin et al. 2019, "BERT"). A context
    that is too long is read in windows that overlap; a window without the answer has CLS for its
    start and end. The answer is the span of the highest sum of logits in all windows, at most
    `max_answer_length` tokens. With `version_2_with_negative` some questions have no answer
    (Rajpurkar et al. 2018): that is what is said where the sum at CLS, the lowest of all windows, is
    higher by more than a threshold, which is chosen on the validation rows for the best F1.

        task: {name: question-answering, version_2_with_negative: true, max_length: 384}
    """

    question_column: str = Field("question", description="column with the question")
    context_column: str = Field("context", description="column with the text that answers it")
    answers_column: str | None = Field(
        None,
        description="column with the lists text and answer_start of the right answers; answers "
        "if unset",
    )
    answer_text_column: str | None = Field(
        None, description="instead: column with the right answer, or a list of them; empty for none"
    )
    answer_start_column: str | None = Field(
        None,
        description="with answer_text_column: column with the number of the answer's first character "
        "in the context; where an answer stands there only once, it is not needed",
    )
    version_2_with_negative: bool = Field(
        False, description="some questions have no answer, as in SQuAD 2.0"
    )
    max_length: int = Field(384, ge=8, description="tokens of a window, with question")
    doc_stride: int = Field(128, ge=0, description="tokens of the context that two windows share")
    max_question_length: int = Field(
        64, ge=1, description="tokens of a question; the rest is cut off"
    )
    max_answer_length: int = Field(30, ge=1, description="tokens of an answer, at most")
    n_best_size: int = Field(20, ge=1, description=f"spans of a question in {NEST}, at most")
    null_score_diff_threshold: float | None = Field(
        None,
        description="no answer is said where its score is higher than that of the best span by more; "
        "chosen on the validation rows unless told",
    )

    @model_validator(mode="after")
    def options_fit(self) -> QuestionAnswering:
        problems = []
        if self.answer_text_column is not None and self.answers_column is not None:
            problems.append(
                Problem(("answer_text_column",), "excludes answers_column", "keep one", at_key=True)
            )
        if self.answer_start_column is not None and self.answer_text_column is None:
            advice = "name the column of the texts as well"
            problems.append(
                Problem(("answer_start_column",), "needs answer_text_column", advice, at_key=True)
            )
        if self.null_score_diff_threshold is not None and not self.version_2_with_negative:
            problems.append(
                Problem(
                    ("null_score_diff_threshold",),
                    "needs version_2_with_negative: true",
                    at_key=True,
                )
            )
        taken = self.max_question_length + self.doc_stride
        if taken >= self.max_length:
            message = (
                f"leaves no room: max_question_length and doc_stride take {taken} tokens "
                f"(got {self.max_length})"
            )
            problems.append(Problem(("max_length",), message, "make one of them shorter"))
        if problems:
            raise Invalid(*problems)
        return self

    @property
    def answer(self) -> Literal["spans"]:
        return "spans"

    @property
    def settles(self) -> bool:
        return self.version_2_with_negative and self.null_score_diff_threshold is None

    def default_metrics(self) -> list[dict[str, Any]]:
        apart = {"answerability": True} if self.version_2_with_negative else {}
        return [{"name": "squad-f1", **apart}, {"name": "squad-exact-match", **apart}]

    @property
    def columns(self) -> list[str]:
        return [self.question_column, self.context_column, *self._answer_columns.names]

    @property
    def altered_columns(self) -> list[str]:
        return [self.question_column]  # answers are cut out of the context

    @property
    def auto_classes(self) -> tuple[str, ...]:
        return ("AutoModelForQuestionAnswering",)

    @property
    def _answer_columns(self) -> AnswerColumns:
        return AnswerColumns(
            self.answers_column or "answers", self.answer_text_column, self.answer_start_column
        )

    @property
    def _sizes(self) -> Sizes:
        return Sizes(self.max_length, self.doc_stride, self.max_question_length)

    def references(self, rows: Dataset, labels: Sequence[str], locate: Locate) -> NDArray[Any]:
        check_texts(rows, self.context_column, locate)
        answers = read_answers(rows, self.context_column, self._answer_columns, locate, tell=True)
        without = [] if self.version_2_with_negative else answers.unanswerable()
        if without:
            more = f", nor have {len(without) - 1} more of {len(rows)}" if without[1:] else ""
            raise UserError(
                f"{locate(without[0])}: the question has no answer{more}; if that is meant so, write "
                "task.version_2_with_negative: true, else score a split with answers"
            )
        return objects(answers.texts)

    def texts(self, rows: Dataset, locate: Locate) -> Sequence[str]:
        for column in (self.question_column, self.context_column):
            check_texts(rows, column, locate)
        return Texts(rows, [self.question_column, self.context_column])

    def tokenizer_texts(self, rows: Dataset, locate: Locate) -> Iterable[str]:
        """Every question, and a context once for all questions on it that stand together."""
        self.texts(rows, locate)
        before = None
        contexts = Texts(rows, [self.context_column])
        for question, context in zip(Texts(rows, [self.question_column]), contexts, strict=True):
            yield question
            if context != before:
                yield context
            before = context

    def head(self, labels: Sequence[str]) -> dict[str, Any]:
        # What an earlier run has chosen is of another model.
        return {THRESHOLD: None, SETTLED_ON: None}

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
        sizes = self._sizes
        context_windows.check(bundle.tokenizer, sizes)
        read = (self.question_column, self.context_column)
        features = keep(
            rows.select_columns([*read]),
            {
                "question_column": self.question_column,
                "context_column": self.context_column,
                "max_length": sizes.max_length,
                "doc_stride": sizes.doc_stride,
                "max_question_length": sizes.max_question_length,
                "version": context_windows.LAYOUT,
            },
            partial(context_windows.encode, bundle.tokenizer, *read, sizes),
        )
        if references is not None:
            answers = read_answers(rows, self.context_column, self._answer_columns, _by_number)
            places = context_windows.label_places(features, answers.spans)
            features = features.add_column("labels", to_column(places))
        return features

    def collate(self, bundle: Bundle, *, training: bool = False) -> Collate:
        from transformers import DataCollatorWithPadding

        tokenizer = bundle.tokenizer
        collator = DataCollatorWithPadding(tokenizer)
        names = {*tokenizer.model_input_names, "labels"}

        def pad(features: list[dict[str, Any]]) -> Mapping[str, torch.Tensor]:
            import torch

            batch = collator([{key: row[key] for key in names & row.keys()} for row in features])
            if "labels" in batch and tokenizer.padding_side == "left":
                lengths = torch.tensor([len(row["input_ids"]) for row in features])
                batch["labels"] += (batch["input_ids"].shape[1] - lengths)[:, None]
            return batch

        return pad

    def flat_labels(self, labels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(2n,) the first and the last token of each answer in turn, from labels (n, 2)."""
        return (labels.reshape(-1),)

    def flat_logits(self, outputs: Any, labels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(2n, L) over all tokens of the batch, those of padding too, as transformers' own loss."""
        import torch

        both = torch.stack([outputs.start_logits, outputs.end_logits], dim=1)
        return (both.flatten(0, 1),)

    def values(self, outputs: Any, batch: Mapping[str, torch.Tensor]) -> list[NDArray[Any]]:
        """Start and end logits (2, L) of each window, padding left out."""
        import torch

        both = torch.stack([outputs.start_logits, outputs.end_logits], dim=1).float().cpu().numpy()
        real = batch["attention_mask"].bool().cpu().numpy()
        return [logits[:, mask] for logits, mask in zip(both, real, strict=True)]

    def decode(
        self,
        values: NDArray[Any] | list[NDArray[Any]],
        features: Dataset,
        rows: Dataset,
        bundle: Bundle,
    ) -> Predictions:
        threshold = self._threshold(bundle.model)
        answers: list[str] = []
        details: list[dict[str, Any]] = []
        lists: list[dict[str, Any]] = []
        for number, (found, context) in enumerate(self._searched(values, features, rows)):
            candidates = self._candidates(found, context)
            best = found.spans[0] if found.spans and found.null_score_diff <= threshold else None
            answers.append(context[best.start : best.end] if best else "")
            details.append(self._details(found, best, candidates))
            lists.append({"example": number, "nbest": candidates})
        return Predictions(objects(answers), details=details, tables={NEST: lists})

    def settle(
        self,
        values: NDArray[Any] | list[NDArray[Any]],
        features: Dataset,
        rows: Dataset,
        references: NDArray[Any],
        bundle: Bundle,
    ) -> Settled:
        """The threshold of the best mean F1."""
        from nlpbench.tasks.spans.answer_text import best_f1
        from nlpbench.tasks.spans.span_search import best_threshold

        differences, answered, unanswered = [], [], []
        searched = self._searched(values, features, rows)
        for (found, context), right in zip(searched, references, strict=True):
            best = context[found.spans[0].start : found.spans[0].end] if found.spans else ""
            differences.append(found.null_score_diff)
            answered.append(best_f1(best, right))
            unanswered.append(best_f1("", right))
        return Settled({THRESHOLD: best_threshold(differences, answered, unanswered)})

    def _threshold(self, model: Any) -> float:
        if not self.version_2_with_negative:
            return float("inf")
        if self.null_score_diff_threshold is not None:
            return self.null_score_diff_threshold
        chosen = getattr(model.config, THRESHOLD, None)
        return 0.0 if chosen is None else float(chosen)

    def _searched(
        self, values: NDArray[Any] | list[NDArray[Any]], features: Dataset, rows: Dataset
    ) -> Iterator[tuple[Found, str]]:
        """What was found for each row, with its context."""
        from nlpbench.tasks.spans.span_search import search

        windows = context_windows.windows(features)
        found = search(values, windows, self.max_answer_length, self.n_best_size)
        return zip(found, Texts(rows, [self.context_column]), strict=True)

    def _candidates(self, found: Found, context: str) -> list[dict[str, Any]]:
        """The spans, and no answer where that may be, by score; their probabilities add up to 1."""
        import numpy as np
        from scipy.special import softmax

        listed: list[dict[str, Any]] = [
            _candidate(context[span.start : span.end], span.start, span.start_logit, span.end_logit)
            for span in found.spans
        ]
        if self.version_2_with_negative:
            listed.append(_candidate("", None, *found.null))
        listed.sort(key=lambda one: -one["score"])
        if listed:
            shares = softmax(np.array([one["score"] for one in listed]))
            for one, share in zip(listed, shares.tolist(), strict=True):
                one["probability"] = share
        return listed

    def _details(
        self, found: Found, best: Span | None, candidates: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        score = best.score if best else sum(found.null)
        told: dict[str, Any] = {"score": score, "start": best.start if best else None}
        if self.version_2_with_negative:
            [nothing] = [one for one in candidates if one["start"] is None]
            told["no_answer_probability"] = nothing["probability"]
            told["null_score_diff"] = found.null_score_diff if found.spans else None
        return told


def _candidate(
    text: str, start: int | None, start_logit: float, end_logit: float
) -> dict[str, Any]:
    return {
        "text": text,
        "start": start,
        "score": start_logit + end_logit,
        "start_logit": start_logit,
        "end_logit": end_logit,
    }


def _by_number(index: int) -> str:
    return f"row {index + 1}"
