"""The whole config of a run, and the checks that span its sections."""

from __future__ import annotations

from typing import Annotated, Any, Protocol

from pydantic import Field, model_validator

from nlpbench.config import registry
from nlpbench.config.component import Component, ComponentField, Section
from nlpbench.config.problems import Invalid, Problem, suggest
from nlpbench.config.sections import (
    DataSection,
    EvaluationSection,
    ModelSection,
    TrainingSection,
)


class _Task(Protocol):
    name: str
    answer: str

    def default_metrics(self) -> list[dict[str, Any]]: ...


class RunConfig(Section):
    """One run of nlpbench: a model, data, a task, and how to train and score."""

    output_dir: str | None = Field(
        None, min_length=1, description="the run directory; runs/NAME-OF-THE-CONFIG unless told"
    )
    seed: int = Field(42, ge=0, description="of weights, data order and dropout")
    seeds: list[Annotated[int, Field(ge=0)]] | None = Field(
        None, min_length=1, description="instead of seed: one run each, mean and deviation reported"
    )
    model: ModelSection
    data: DataSection
    task: Annotated[Component, ComponentField("task")]
    training: TrainingSection = TrainingSection()
    evaluation: EvaluationSection = EvaluationSection()

    @model_validator(mode="before")
    @classmethod
    def not_both_seeds(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("seeds") is not None and "seed" in values:
            raise Invalid(Problem(("seeds",), "excludes seed", "keep one of them", at_key=True))
        return values

    @model_validator(mode="after")
    def fits_together(self) -> RunConfig:
        problems = []
        if self.seeds and len(set(self.seeds)) < len(self.seeds):
            problems.append(Problem(("seeds",), "names a seed twice"))
        task: _Task = self.task  # type: ignore[assignment]
        for number, metric in enumerate(self.evaluation.metrics or []):
            if task.answer not in metric.answers:  # type: ignore[attr-defined]
                path = ("evaluation", "metrics", number)
                message = f"{metric.name} does not score the {task.answer} of {task.name}"
                problems.append(Problem(path, message, "one that does: " + ", ".join(_fit(task))))
        best = self.training.metric_for_best_model
        known = {"loss"} | {metric.key for metric in self.metrics}  # type: ignore[attr-defined]
        if best is not None and best not in known:
            path = ("training", "metric_for_best_model")
            message = f"is not among evaluation.metrics (got {best})"
            problems.append(Problem(path, message, suggest(best, known)))
        if self.training.label_smoothing_factor and task.answer != "labels":
            path = ("training", "label_smoothing_factor")
            problems.append(Problem(path, f"needs a task with one label a row, not {task.answer}"))
        if problems:
            raise Invalid(*problems)
        return self

    @property
    def metrics(self) -> list[Component]:
        """The metrics that are computed: those of the config, or the task's own."""
        if self.evaluation.metrics is not None:
            return self.evaluation.metrics
        task: _Task = self.task  # type: ignore[assignment]
        field = ComponentField("metric")
        return [field.build(metric) for metric in task.default_metrics()]

    @property
    def max_length(self) -> int:
        """The longest input in tokens."""
        return self.task.max_length  # type: ignore[attr-defined, no-any-return]

    @property
    def needed_splits(self) -> list[str]:
        """The splits that fine-tuning reads."""
        needed = {"train", self.evaluation.split}
        if self.training.eval_strategy != "no":
            needed.add("validation")
        return [name for name in ("train", "validation", "test") if name in needed]

    def resolved(self) -> dict[str, Any]:
        """All keys with their values, as they stand in a run's config.yaml; unset ones left out."""
        values = self.model_dump(mode="json")
        values["evaluation"]["metrics"] = [
            metric.model_dump(mode="json") for metric in self.metrics
        ]
        return _without_unset(values)  # type: ignore[no-any-return]

    def with_seed(self, seed: int) -> RunConfig:
        return self.model_copy(update={"seed": seed, "seeds": None})


def _fit(task: _Task) -> list[str]:
    names = registry.names("metric")
    return [name for name in names if task.answer in registry.load("metric", name).answers]  # type: ignore[attr-defined]


def _without_unset(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: _without_unset(item) for key, item in value.items() if item is not None}
        return {key: item for key, item in kept.items() if item != {}}
    return [_without_unset(item) for item in value] if isinstance(value, list) else value
