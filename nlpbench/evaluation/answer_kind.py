"""What kind of answers a file holds, from the metrics that are asked and the values themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

from nlpbench.config.errors import UserError
from nlpbench.evaluation.answer_forms import in_form, labels_in
from nlpbench.evaluation.answered import WITH_PROBABILITIES, Answered, Row, build
from nlpbench.evaluation.metrics import Answer, Metric

NAMING = (*WITH_PROBABILITIES, "tags")  # kinds with class names
LISTS = ("label-sets", "tags", "log-likelihoods", "rankings")  # kinds whose answers are lists


def kinds(metrics: Sequence[Metric]) -> list[Answer]:
    """The kinds that all metrics score.

    Raises:
        UserError: there is none.
    """
    found = [kind for kind in get_args(Answer) if all(kind in one.answers for one in metrics)]
    if not found:
        told = "; ".join(
            f"{metric.name} scores {' or '.join(metric.answers)}" for metric in metrics
        )
        raise UserError(f"no kind of answer has all these metrics: {told}")
    return found


def read_as(rows: Sequence[Row], answer: Answer, labels: Sequence[str] | None = None) -> Answered:
    """Rows as somebody wrote them, as answers of a kind.

    Args:
        labels: the class names in their order; those of the rows, sorted, unless told.

    Raises:
        UserError: a value that is none of the kind, with its place.
    """
    formed = [
        replace(
            row,
            reference=in_form(answer, "reference", row.reference),
            prediction=in_form(answer, "prediction", row.prediction),
            probabilities=row.probabilities if answer in WITH_PROBABILITIES else None,
        )
        for row in rows
    ]
    if labels is None:
        values = [value for row in formed for value in (row.reference, row.prediction)]
        values += [list(row.probabilities) for row in formed if isinstance(row.probabilities, dict)]
        labels = labels_in(answer, values)
    elif answer not in NAMING:
        raise UserError(f"--labels names classes, and these are {answer}; leave it out")
    return build(formed, answer, labels)


def find(
    rows: Sequence[Row], candidates: Sequence[Answer], labels: Sequence[str] | None = None
) -> Answered:
    """The rows as the one kind of answers that they can be.

    Raises:
        UserError: they can be none of the kinds, or several.
    """
    listed = any(isinstance(row.prediction, list) for row in rows)
    likely = [answer for answer in candidates if listed == (answer in LISTS)]
    if not listed and "tags" in candidates:  # which may stand in one text
        likely.append("tags")
    fitting, refused = [], []
    for answer in likely or candidates:
        try:
            fitting.append(read_as(rows, answer, labels))
        except UserError as error:
            refused.append((answer, error))
    if not fitting:
        if len(refused) == 1:
            raise refused[0][1]
        told = "; ".join(f"as {answer}, {error}" for answer, error in refused)
        raise UserError(f"the answers are of no kind that these metrics score: {told}")
    names = [answered.answer for answered in fitting]
    if names == ["spans", "texts"]:  # which differ only where a question has no answer
        return fitting[0]
    if len(fitting) > 1:
        raise UserError(
            f"the answers could be {' or '.join(names)}: write --answer {names[0]}, or another"
        )
    return fitting[0]
