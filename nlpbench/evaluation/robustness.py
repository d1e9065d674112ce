"""How far scores fall when the texts of a split are altered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from nlpbench.config.sections import EvaluationSection
from nlpbench.evaluation import paired
from nlpbench.evaluation.answered import Answered, rows_of
from nlpbench.evaluation.metrics import Metric
from nlpbench.evaluation.paired import Difference
from nlpbench.evaluation.perturbations import Perturbation
from nlpbench.evaluation.score import score
from nlpbench.results.record import Drop, PerturbedRecord

if TYPE_CHECKING:
    from datasets import Dataset

    from nlpbench.tasks import Predictions

FILE = "robustness.jsonl"


@dataclass(frozen=True)
class Robustness:
    """What each perturbation does.

    Attributes:
        records: by the label of the perturbation.
        tables: what was predicted for altered rows, under the name of its file.
    """

    records: dict[str, PerturbedRecord] = field(default_factory=dict)
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def measure(
    section: EvaluationSection,
    metrics: Sequence[Metric],
    answered: Answered,
    rows: Dataset,
    columns: Sequence[str],
    predict: Callable[[Dataset], Predictions],
) -> Robustness:
    """Has the rows predicted again under each perturbation of `evaluation.perturbations`.

    The references stay as they are. A drop has the interval of the paired bootstrap: the scores of
    the rows as they are and as they were altered are taken from the same resamples.

    Args:
        answered: what was predicted for the rows as they are.
        columns: of the texts that are altered.
        predict: as the rows were predicted.
    """
    records: dict[str, PerturbedRecord] = {}
    told: list[dict[str, Any]] = []
    for perturbation in cast(list[Perturbation], section.perturbations or []):
        inputs = {column: altered(rows, column, perturbation) for column in columns}
        changed = _changed(rows, inputs)
        again = replace(answered, predictions=predict(with_columns(rows, inputs)))
        scores = score(
            metrics,
            again.predictions,
            again.references,
            again.labels,
            section,
            again.answer,
            again.clusters,
        )
        records[perturbation.label] = PerturbedRecord(
            rows=len(answered),
            changed=len(changed),
            options=perturbation.model_dump(mode="json"),
            scores=scores,
            drop=_drops(section, metrics, answered, again),
        )
        predicted = [row["prediction"] for row in rows_of(again)]
        told += [
            {
                "perturbation": perturbation.label,
                "example": number,
                "input": {column: texts[number] for column, texts in inputs.items()},
                "prediction": predicted[number],
            }
            for number in changed
        ]
    return Robustness(records, {FILE: told} if records else {})


def altered(rows: Dataset, column: str, perturbation: Perturbation) -> list[Any]:
    """(n,) the texts of a column, or lists of texts, as the perturbation leaves them."""
    batches = rows.select_columns([column]).with_format(None).iter(1000)
    return [perturbation.perturb(text) for batch in batches for text in batch[column]]


def with_columns(rows: Dataset, columns: Mapping[str, Sequence[Any]]) -> Dataset:
    """The same rows in the same order, with other values in some columns."""
    import pyarrow as pa
    from datasets import Dataset

    table = rows.with_format("arrow")[:]
    for name, values in columns.items():
        place = table.schema.get_field_index(name)
        kind = table.schema.field(place)
        table = table.set_column(place, kind, pa.array(values, kind.type))
    return Dataset(table, info=rows.info.copy())


def _changed(rows: Dataset, columns: Mapping[str, Sequence[Any]]) -> list[int]:
    """The rows that a text was altered in."""
    before = rows.select_columns(list(columns)).with_format(None)
    numbered = enumerate(row for batch in before.iter(1000) for row in _each(batch))
    return [
        number
        for number, row in numbered
        if any(row[name] != values[number] for name, values in columns.items())
    ]


def _each(batch: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(batch, row, strict=True)) for row in zip(*batch.values(), strict=True)]


def _drops(
    section: EvaluationSection, metrics: Sequence[Metric], plain: Answered, altered: Answered
) -> dict[str, Drop]:
    found = {}
    for metric in metrics:
        differences = paired.differences(
            metric,
            [plain],
            [altered],
            confidence=section.confidence,
            resamples=section.resamples,
            seed=section.bootstrap_seed,
            test="bootstrap",
        )
        for key, difference in differences.items():
            found[key] = _drop(difference, metric.higher_is_better)
    return found


def _drop(difference: Difference, higher_is_better: bool) -> Drop:
    value, low, high = difference.value, difference.low, difference.high
    if higher_is_better:
        return Drop(value=value, low=low, high=high)
    return Drop(value=_less(value), low=_less(high), high=_less(low))


def _less(value: float | None) -> float | None:
    return None if value is None else 0.0 - value
