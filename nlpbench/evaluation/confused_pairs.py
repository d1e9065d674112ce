"""Which labels are taken for which others, and how often."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nlpbench.evaluation.answered import Answered

WITH_LABELS = ("labels", "label-sets", "tags")
IDS = 10  # of examples that a pair names

Pair = tuple[str | None, str | None]


def confused_pairs(answered: Answered) -> list[dict[str, Any]]:
    """The pairs of a right label and the wrong one given for it, the most frequent first.

    Of sets of labels, each label that is missing makes a pair with each that is too much; where
    only one of both occurs, the other side is None. Tags are counted by word.

    Returns:
        of each pair `reference`, `prediction`, `count`, its `share` of all that are to have the
        reference (None where that is None), and the first `ids`.
    """
    of_label: Counter[str] = Counter()
    counts: Counter[Pair] = Counter()
    ids: defaultdict[Pair, list[Any]] = defaultdict(list)
    for number, (right, wrong) in enumerate(_examples(answered)):
        of_label.update(right)
        for pair in wrong:
            counts[pair] += 1
            known = ids[pair]
            if len(known) < IDS and (not known or known[-1] != answered.ids[number]):
                known.append(answered.ids[number])
    return [
        {
            "reference": reference,
            "prediction": prediction,
            "count": count,
            "share": None if reference is None else count / of_label[reference],
            "ids": ids[reference, prediction],
        }
        for (reference, prediction), count in counts.most_common()
    ]


def _examples(answered: Answered) -> Iterator[tuple[Iterable[str], Iterable[Pair]]]:
    """The right labels of each example, and its wrong pairs."""
    labels = answered.labels
    rows = zip(answered.references.tolist(), answered.predictions.answers.tolist(), strict=True)
    for reference, prediction in rows:
        if answered.answer == "labels":
            one, other = labels[reference], labels[prediction]
            yield [one], [(one, other)] if one != other else []
        elif answered.answer == "tags":
            yield (
                reference,
                [pair for pair in zip(reference, prediction, strict=True) if pair[0] != pair[1]],
            )
        else:
            yield _of_sets(labels, reference, prediction)


def _of_sets(
    labels: list[str], reference: list[int], prediction: list[int]
) -> tuple[list[str], list[Pair]]:
    flags = list(zip(labels, reference, prediction, strict=True))
    missing: list[str | None] = [label for label, due, given in flags if due and not given]
    surplus: list[str | None] = [label for label, due, given in flags if given and not due]
    pairs = (
        []
        if not missing and not surplus
        else [(one, other) for one in missing or [None] for other in surplus or [None]]
    )
    return [label for label, due, _ in flags if due], pairs
