"""Which of two labels is the positive one."""

from __future__ import annotations

from collections.abc import Sequence

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show


def positive_class(
    metric: str, positive_label: str | None, labels: Sequence[str], binary: bool
) -> int:
    """The id of the positive label: the second one unless told otherwise.

    Args:
        binary: whether each example has one of two labels.

    Raises:
        UserError: `positive_label` is given where it cannot apply, or is none of the labels.
    """
    if positive_label is None:
        return 1
    if not binary:
        raise UserError(
            f"{metric}: positive_label (got {show(positive_label)}) applies to tasks with one of "
            f"exactly 2 labels per example (got {describe(labels)}); leave it out"
        )
    if positive_label not in labels:
        allowed = ", ".join(show(label) for label in labels)
        raise UserError(
            f"{metric}: positive_label must be one of the labels (got {show(positive_label)}), "
            f"allowed: {allowed or 'none, as the labels have no names here'}"
        )
    return list(labels).index(positive_label)


def describe(labels: Sequence[str]) -> str:
    """The labels in words; two of them are an obstacle only where an example may have both."""
    return "label sets over 2 labels" if len(labels) == 2 else f"{len(labels)} labels"
