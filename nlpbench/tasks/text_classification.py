"""Text classification: a text or a pair of texts to a label, a set of labels or a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from nlpbench.config.errors import UserError
from nlpbench.config.problems import Invalid, Problem, dotted, show
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
)
from nlpbench.tasks._columns import Texts, check_texts, to_column
from nlpbench.tasks._margins import between_classes, from_edges
from nlpbench.tasks.calibration import fitted as calibration
from nlpbench.tasks.calibration.fitted import TEMPERATURE, THRESHOLDS, Calibration
from nlpbench.tasks.calibration.thresholds import USUAL, Criterion

if TYPE_CHECKING:
    import numpy as np
    import torch
    from datasets import Dataset
    from numpy.typing import NDArray
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SINGLE, MULTI, REGRESSION = (
    "single_label_classification",
    "multi_label_classification",
    "regression",
)


class TextClassification(Task):
    """A text, or a pair of texts, to a label, several labels, or a number.

    The head is that of transformers' `AutoModelForSequenceClassification`; the losses are cross
    entropy, binary cross entropy per label, and mean squared error.

    `temperature_scaling` and `tune_thresholds` fit the answers on the validation rows after
    training. What they choose is kept in the model's configuration, as `nlpbench_temperature` and
    `nlpbench_thresholds`, and holds wherever nlpbench scores the model; transformers loads the
    model as any other, and does not use it: its `pipeline` gives the plain probabilities.

        task: {name: text-classification, text_column: text, label_column: intent}
        task: {name: text-classification, temperature_scaling: true, tune_thresholds: f1}
    """

    text_column: str = Field("text", description="column with the text")
    text_pair_column: str | None = Field(None, description="column with the second text of a pair")
    label_column: str | None = Field(
        None, description="column with the label, the list of labels, or the number; label if unset"
    )
    label_columns: list[str] | None = Field(
        None, min_length=2, description="several columns of 0 and 1, one a label"
    )
    problem_type: Literal[
        "single_label_classification", "multi_label_classification", "regression"
    ] = Field("single_label_classification", description="as in a transformers configuration")
    labels: list[str] | None = Field(
        None, min_length=2, description="the names of labels that the data gives as 0, 1, 2 …"
    )
    max_length: int = Field(128, ge=2, description="tokens of a row; the rest is cut off")
    threshold: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="of a label's probability (multi-label); what was tuned, or 0.5, unless told",
    )
    temperature_scaling: bool = Field(
        False,
        description="after training, divide the logits by the number that makes the validation "
        "rows most likely (Guo et al. 2017)",
    )
    tune_thresholds: Criterion | None = Field(
        None,
        description="after training, choose for each label of several, or for one of two, the "
        "probability from which on it is given: that of the best score on the validation rows",
    )
    positive_label: str | None = Field(
        None, description="with tune_thresholds and two labels: that one; the second unless told"
    )
    pooling: Literal["cls", "mean", "max"] | None = Field(
        None,
        description="which token states of an encoder a linear head reads; its own unless told",
    )

    @model_validator(mode="after")
    def columns_fit(self) -> TextClassification:
        problems = []
        if self.label_columns is not None:
            if self.label_column is not None:
                problems.append(
                    Problem(("label_columns",), "excludes label_column", "keep one", at_key=True)
                )
            if self.problem_type != MULTI:
                advice = f"write problem_type: {MULTI}"
                problems.append(
                    Problem(("label_columns",), "needs several labels a row", advice, at_key=True)
                )
        if self.labels is not None and self.problem_type == REGRESSION:
            problems.append(Problem(("labels",), "means nothing to a regression", at_key=True))
        if self.labels is not None and len(set(self.labels)) < len(self.labels):
            problems.append(Problem(("labels",), "names a label twice"))
        # Records of earlier versions tell 0.5 for every task.
        if self.threshold not in (None, USUAL) and self.problem_type != MULTI:
            problems.append(Problem(("threshold",), f"needs problem_type: {MULTI}", at_key=True))
        problems += self._unfit_calibration()
        if problems:
            raise Invalid(*problems)
        return self

    def _unfit_calibration(self) -> list[Problem]:
        problems = []
        for key in ("temperature_scaling", "tune_thresholds"):
            if getattr(self, key) and self.problem_type == REGRESSION:
                problems.append(Problem((key,), "means nothing to a regression", at_key=True))
        if self.tune_thresholds is not None and self.threshold is not None:
            problems.append(
                Problem(("tune_thresholds",), "excludes threshold", "keep one of them", at_key=True)
            )
        if self.positive_label is not None and (
            self.tune_thresholds is None or self.problem_type != SINGLE
        ):
            message = "needs tune_thresholds, and one of two labels a row"
            problems.append(Problem(("positive_label",), message, at_key=True))
        unfit = self._unfit_labels(self.labels) if self.labels is not None else None
        return [*problems, unfit] if unfit else problems

    def _unfit_labels(self, labels: Sequence[str]) -> Problem | None:
        """What is wrong with tuning thresholds for these labels."""
        if self.tune_thresholds is None or self.problem_type != SINGLE:
            return None
        if len(labels) != 2:
            message = f"needs two labels, or several a row (got {len(labels)} labels)"
            return Problem(("tune_thresholds",), message, at_key=True)
        if self.positive_label is not None and self.positive_label not in labels:
            message = f"must be one of the labels (got {show(self.positive_label)})"
            return Problem(("positive_label",), message, f"allowed: {', '.join(labels)}")
        return None

    @property
    def answer(self) -> Literal["labels", "label-sets", "values"]:
        answers: dict[str, Literal["labels", "label-sets", "values"]] = {
            SINGLE: "labels",
            MULTI: "label-sets",
            REGRESSION: "values",
        }
        return answers[self.problem_type]

    def default_metrics(self) -> list[dict[str, Any]]:
        if self.problem_type == REGRESSION:
            return [{"name": "spearman"}, {"name": "pearson"}, {"name": "mse"}]
        if self.problem_type == MULTI:
            return [{"name": "f1", "average": "macro"}, {"name": "f1", "average": "micro"}]
        return [{"name": "f1", "average": "macro"}, {"name": "accuracy"}]

    @property
    def columns(self) -> list[str]:
        return [*self._text_columns, *self._label_columns]

    @property
    def altered_columns(self) -> list[str]:
        return self._text_columns

    @property
    def stratify_by(self) -> str | None:
        return self._label_columns[0] if self.problem_type == SINGLE else None

    @property
    def reads_one_vector(self) -> bool:
        return True

    @property
    def settles(self) -> bool:
        return self.temperature_scaling or self.tune_thresholds is not None

    @property
    def auto_classes(self) -> tuple[str, ...]:
        return ("AutoModelForSequenceClassification",)

    @property
    def _text_columns(self) -> list[str]:
        return [self.text_column, *([self.text_pair_column] if self.text_pair_column else [])]

    @property
    def _label_columns(self) -> list[str]:
        return self.label_columns or [self.label_column or "label"]

    def find_labels(self, rows: Dataset, locate: Locate) -> list[str]:
        from nlpbench.tasks import _class_labels as class_labels

        if self.problem_type == REGRESSION:
            return []
        if self.label_columns:
            return list(self.label_columns)
        column = self._label_columns[0]
        if self.problem_type == MULTI:
            return class_labels.find_in_lists(rows, column, locate, self.labels)
        labels = class_labels.find(rows, column, locate, self.labels)
        self._check_labels(labels)
        return labels

    def _check_labels(self, labels: Sequence[str]) -> None:
        """Raises UserError where thresholds cannot be tuned for these labels."""
        if unfit := self._unfit_labels(labels):
            advice = f", {unfit.advice}" * bool(unfit.advice)
            raise UserError(f"task.{dotted(unfit.path)} {unfit.message}{advice}")

    def references(self, rows: Dataset, labels: Sequence[str], locate: Locate) -> NDArray[Any]:
        from nlpbench.tasks import _class_labels as class_labels

        column = self._label_columns[0]
        if self.problem_type == REGRESSION:
            return class_labels.numbers(rows, column, locate)
        if self.label_columns:
            return class_labels.indicator_columns(rows, self.label_columns, locate)
        if self.problem_type == MULTI:
            return class_labels.indicators(rows, column, labels, locate, self.labels)
        return class_labels.ids(rows, column, labels, locate, self.labels)

    def texts(self, rows: Dataset, locate: Locate) -> Sequence[str]:
        for column in self._text_columns:
            check_texts(rows, column, locate)
        return Texts(rows, self._text_columns)

    def head(self, labels: Sequence[str]) -> dict[str, Any]:
        own: dict[str, Any] = {TEMPERATURE: None, THRESHOLDS: None, SETTLED_ON: None}
        if self.pooling is not None:
            own["nlpbench_pooling"] = self.pooling
        if self.problem_type == REGRESSION:
            return {"problem_type": REGRESSION, "num_labels": 1, **own}
        return {
            "problem_type": self.problem_type,
            "id2label": dict(enumerate(labels)),
            "label2id": {label: number for number, label in enumerate(labels)},
            **own,
        }

    def labels_of(self, model: PreTrainedModel) -> list[str]:
        known: str | None = model.config.problem_type
        names: dict[Any, Any] = model.config.id2label or {}
        count = len(names)
        if known is not None and known != self.problem_type:
            raise UserError(
                f"the model was trained for {known}, and task.problem_type is {self.problem_type}"
            )
        pooling = getattr(model.config, "nlpbench_pooling", None)
        if self.pooling not in (None, pooling):
            trained = "with its own head" if pooling is None else f"with {pooling}"
            raise UserError(
                f"the model was trained {trained}, and task.pooling is {self.pooling}; leave it out"
            )
        if self.problem_type == REGRESSION:
            if count != 1:
                raise UserError(f"the model has {count} outputs, and a regression needs one")
            return []
        if self.problem_type == SINGLE and count < 2:
            raise UserError(
                "the model has one output, and classes need two or more; for a number write "
                f"problem_type: {REGRESSION}"
            )
        labels = [str(names[number]) for number in range(len(names))]
        calibration.read(model, labels)
        return labels

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
        tokenizer = bundle.tokenizer
        special = tokenizer.num_special_tokens_to_add(pair=self.text_pair_column is not None)
        if special >= self.max_length:
            raise UserError(
                f"task.max_length is {self.max_length}, and {special} tokens of every row are "
                "special ones; make it longer"
            )
        options = {
            "text_column": self.text_column,
            "text_pair_column": self.text_pair_column,
            "max_length": self.max_length,
        }
        features = keep(
            rows.select_columns(self._text_columns),
            options,
            partial(map, partial(_tokenize, tokenizer, options)),
        )
        if references is not None:
            targets = references if self.problem_type == SINGLE else references.astype("float32")
            features = features.add_column("labels", to_column(targets))
        return features

    def collate(self, bundle: Bundle, *, training: bool = False) -> Collate:
        from transformers import DataCollatorWithPadding

        collator = DataCollatorWithPadding(bundle.tokenizer)
        names = {*bundle.tokenizer.model_input_names, "labels"}

        def pad(features: list[dict[str, Any]]) -> Mapping[str, torch.Tensor]:
            return collator([{key: row[key] for key in names & row.keys()} for row in features])

        return pad

    def loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        import torch
        from torch.nn import functional as F

        if self.problem_type == SINGLE:
            return super().loss(logits, labels)
        logits = logits if logits.dtype == torch.float64 else logits.float()
        labels = labels.to(logits.dtype)
        if self.problem_type == MULTI:
            return F.binary_cross_entropy_with_logits(logits, labels, reduction="sum")
        return F.mse_loss(logits.squeeze(-1), labels, reduction="sum")

    def decode(
        self,
        values: NDArray[Any] | list[NDArray[Any]],
        features: Dataset | None = None,
        rows: Dataset | None = None,
        bundle: Bundle | None = None,
    ) -> Predictions:
        import numpy as np

        if self.problem_type == REGRESSION:
            return Predictions(np.asarray(values, dtype=np.float64)[:, 0])
        labels = bundle.labels if bundle else ()
        fitted = calibration.read(bundle.model, labels) if bundle else Calibration()
        several = self.problem_type == MULTI
        probabilities = calibration.probabilities(
            np.asarray(values), fitted.temperature, several=several
        )
        if several:
            given = probabilities >= self._thresholds(fitted, labels)
            return Predictions(given.astype(np.int64), probabilities)
        answers = probabilities.argmax(axis=-1)
        for label, threshold in fitted.thresholds.items():  # one, of two labels
            positive = list(labels).index(label)
            given = probabilities[:, positive] >= threshold
            answers = np.where(given, positive, 1 - positive)
        return Predictions(answers, probabilities)

    def margins(
        self, values: NDArray[Any] | list[NDArray[Any]], bundle: Bundle
    ) -> NDArray[np.float64] | None:
        import numpy as np
        from scipy.special import logit

        if self.problem_type == REGRESSION:
            return None
        logits, labels = np.asarray(values), list(bundle.labels)
        fitted = calibration.read(bundle.model, labels)
        if self.problem_type == MULTI:
            edges = fitted.temperature * logit(np.asarray(self._thresholds(fitted, labels)))
            return from_edges(logits, edges)
        for label, threshold in fitted.thresholds.items():  # one, of two labels
            positive = labels.index(label)
            gaps = logits[:, [positive]] - logits[:, [1 - positive]]
            return from_edges(gaps, fitted.temperature * logit(threshold))
        return between_classes(logits)

    def _thresholds(self, fitted: Calibration, labels: Sequence[str]) -> Any:
        """One of all labels, or (K,)."""
        if self.threshold is not None or not fitted.thresholds:
            return self.threshold or USUAL
        return [fitted.thresholds.get(label, USUAL) for label in labels]

    def settle(
        self,
        values: NDArray[Any] | list[NDArray[Any]],
        features: Dataset | None,
        rows: Dataset | None,
        references: NDArray[Any],
        bundle: Bundle,
    ) -> Settled:
        """The temperature of the highest likelihood, and the thresholds of the best scores."""
        import numpy as np

        self._check_labels(bundle.labels)
        labels = list(bundle.labels)
        positive = 1 if self.positive_label is None else labels.index(self.positive_label)
        return calibration.choose(
            np.asarray(values),
            references,
            labels,
            scale=self.temperature_scaling,
            criterion=self.tune_thresholds,
            tuned=range(len(labels)) if self.problem_type == MULTI else [positive],
        )

    def rows_of(
        self, predictions: Predictions, references: NDArray[Any], labels: Sequence[str]
    ) -> list[dict[str, Any]]:
        if self.problem_type == REGRESSION:
            pairs = zip(references.tolist(), predictions.answers.tolist(), strict=True)
            return [{"reference": one, "prediction": two} for one, two in pairs]
        assert predictions.probabilities is not None
        name = partial(_set_name if self.problem_type == MULTI else _name, labels)
        return [
            {
                "reference": name(reference),
                "prediction": name(answer),
                "probabilities": dict(zip(labels, shares, strict=True)),
            }
            for reference, answer, shares in zip(
                references.tolist(),
                predictions.answers.tolist(),
                predictions.probabilities.tolist(),
                strict=True,
            )
        ]


def _name(labels: Sequence[str], number: int) -> str:
    return labels[number]


def _set_name(labels: Sequence[str], flags: Sequence[int]) -> list[str]:
    return [label for label, flag in zip(labels, flags, strict=True) if flag]


def _tokenize(
    tokenizer: PreTrainedTokenizerBase, options: Mapping[str, Any], batch: Mapping[str, list[str]]
) -> dict[str, Any]:
    text_column, pair_column = options["text_column"], options["text_pair_column"]
    max_length = options["max_length"]
    # The whole row is encoded once, so that what is cut off can be counted.
    pairs = batch[pair_column] if pair_column else None
    whole = tokenizer(batch[text_column], pairs, truncation=False, verbose=False)
    long = [row for row, ids in enumerate(whole["input_ids"]) if len(ids) > max_length]
    encoded = {key: list(whole[key]) for key in tokenizer.model_input_names if key in whole}
    if long:
        cut = tokenizer(
            [batch[text_column][row] for row in long],
            [pairs[row] for row in long] if pairs else None,
            truncation=True,
            max_length=max_length,
        )
        for key, column in encoded.items():
            for place, row in enumerate(long):
                column[row] = cut[key][place]
    whole_lengths = [max(1, len(ids)) for ids in whole["input_ids"]]
    # A tokenizer without special tokens, such as GPT-2's, makes nothing of an empty text, and a
    # model cannot read nothing: it reads one end-of-text token.
    only = {"input_ids": tokenizer.pad_token_id, "attention_mask": 1}
    for row in [row for row, ids in enumerate(encoded["input_ids"]) if not ids]:
        for key, column in encoded.items():
            column[row] = [only.get(key, 0)]
    lengths = [len(ids) for ids in encoded["input_ids"]]
    return {**encoded, "length": lengths, "whole_length": whole_lengths}
