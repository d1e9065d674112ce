"""The whole config of a run, and the checks that span its sections."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Protocol

from pydantic import Field, model_validator

from nlpbench.config import compression as chains
from nlpbench.config import gate as gates
from nlpbench.config import perturbations, registry, slices
from nlpbench.config.component import Component, ComponentField, Section
from nlpbench.config.problems import Invalid, Path, Problem, dotted, show, suggest
from nlpbench.config.sections import (
    DataSection,
    EvaluationSection,
    ModelSection,
)
from nlpbench.config.training import TrainingSection


class _Task(Protocol):
    name: str
    answer: str
    target: str
    names_classes: bool
    reads_words: bool
    rows_interact: bool
    reads_one_vector: bool
    slow_to_score: bool
    watched: str | None
    altered_columns: list[str]

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
    model: ModelSection = Field(description="a name, or a mapping: what is fine-tuned")
    data: DataSection = Field(description="a source, or a mapping: where the rows come from")
    task: Annotated[Component, ComponentField("task")] = Field(
        description="a name, or a mapping: what is learnt, from which columns"
    )
    training: TrainingSection = Field(TrainingSection(), description="how the model is trained")
    evaluation: EvaluationSection = Field(
        EvaluationSection(), description="what is measured, on which rows"
    )
    compression: list[Annotated[Component, ComponentField("method")]] | None = Field(
        None, min_length=1, description="methods in their order, names or mappings"
    )
    goal: gates.Rules | None = Field(
        None,
        min_length=1,
        description="what the compressed model must hold, as under gate; the baseline is the original",
    )
    gate: gates.Rules | None = Field(
        None, min_length=1, description="by score, metric or cost, what a run must hold to pass"
    )
    baseline: str | None = Field(
        None, min_length=1, description="the run, or its record, that the gate compares with"
    )

    @model_validator(mode="after")
    def fits_together(self) -> RunConfig:
        problems: list[Problem] = []
        path: Path
        if self.seeds and "seed" in self.model_fields_set:
            problems.append(Problem(("seeds",), "excludes seed", "keep one of them", at_key=True))
        if self.seeds and len(set(self.seeds)) < len(self.seeds):
            problems.append(Problem(("seeds",), f"names a seed twice (got {show(self.seeds)})"))
        task: _Task = self.task  # type: ignore[assignment]
        metrics = self.evaluation.metrics or []
        for number, metric in enumerate(metrics):
            path = ("evaluation", "metrics", number)
            if task.answer not in metric.answers:  # type: ignore[attr-defined]
                message = f"{metric.name} does not score the {task.answer} of {task.name}"
                problems.append(Problem(path, message, "allowed: " + ", ".join(_fit(task))))
            elif metric in metrics[:number]:
                first = dotted((*path[:-1], metrics.index(metric)))
                problems.append(Problem(path, f"is the same metric as {first}", "keep one of them"))
        best = self.training.metric_for_best_model
        known = ["loss", *(metric.key for metric in self.metrics)]  # type: ignore[attr-defined]
        # A metric has scores of its own, such as f1_macro or f1[LABEL]; a run knows which.
        if best is not None and not (
            best == "loss" or any(metric.gives(best) for metric in self.metrics)  # type: ignore[attr-defined]
        ):
            path = ("training", "metric_for_best_model")
            message = f"is not among evaluation.metrics (got {show(best)})"
            problems.append(Problem(path, message, suggest(best.removeprefix("eval_"), known)))
        if task.slow_to_score and self.training.fsdp and (best or task.watched) != "loss":
            message = f"its processes compute in step, which scoring a {task.name} run does not"
            advice = "write training.metric_for_best_model: loss"
            problems.append(Problem(("training", "fsdp"), message, advice))
        problems += self._strategies_that_need_labels(task)
        problems += perturbations.problems(task, self.evaluation.perturbations or ())
        problems += slices.problems(self.evaluation.slices or (), task.answer)
        problems += self.of_gate(self.gate or {})
        problems += [
            replace(problem, path=("goal", *problem.path[1:]))
            for problem in self.of_gate(self.goal or {})
        ]
        problems += chains.problems(self.compression or ())  # type: ignore[arg-type]
        lora = self.training.lora
        if lora is not None and not lora.merge and self.model.name_or_path is None:
            message = "its adapters belong to random weights, which nobody could load again"
            problems.append(
                Problem(("training", "lora"), message, "write merge: true", at_key=True)
            )
        if problems:
            raise Invalid(*problems)
        return self

    def of_gate(self, rules: gates.Rules) -> list[Problem]:
        """What is wrong with the rules of a gate for a run of this config."""
        sliced = self.evaluation.slices is not None
        return gates.problems_of(rules, self.metrics, sliced)  # type: ignore[arg-type]

    def _strategies_that_need_labels(self, task: _Task) -> list[Problem]:
        needs = {
            "label_smoothing_factor": ("one label a target", task.target == "labels"),
            "weighted_sampling": (
                "one label a row",
                task.answer == "labels" and task.names_classes,
            ),
            "class_weights": ("labels", task.names_classes),
            "focal_loss": ("labels", task.names_classes),
            "feature_extraction": ("a head on one vector a row", task.reads_one_vector),
            "r_drop": ("rows that are learnt one by one", not task.rows_interact),
        }
        return [
            Problem(
                ("training", key),
                f"needs {need}, and {task.name} predicts {task.answer} here",
                "leave the key out",
            )
            for key, (need, fits) in needs.items()
            if getattr(self.training, key) and not fits
        ]

    @property
    def metrics(self) -> list[Component]:
        """The metrics that are computed: those of the config, or the task's own."""
        if self.evaluation.metrics is not None:
            return self.evaluation.metrics
        task: _Task = self.task  # type: ignore[assignment]
        field = ComponentField("metric")
        return [field.build(metric) for metric in task.default_metrics()]

    @property
    def max_length(self) -> int | None:
        """The longest input in tokens; None where the model's own limit counts."""
        return self.task.max_tokens  # type: ignore[attr-defined, no-any-return]

    @property
    def needed_splits(self) -> list[str]:
        """The splits that fine-tuning reads."""
        needed = {"train", self.evaluation.split}
        if self.training.eval_strategy != "no" or self.task.settles:  # type: ignore[attr-defined]
            needed.add("validation")
        return [name for name in ("train", "validation", "test") if name in needed]

    @property
    def columns_beside(self) -> dict[str, str]:
        """The columns of the scored split that the evaluation reads and the task does not need.

        Each with the key of the config that names it.
        """
        columns = slices.columns_of(self.evaluation.slices or ())
        if self.evaluation.cluster_column is not None:
            columns.setdefault(self.evaluation.cluster_column, "evaluation.cluster_column")
        return columns

    def resolved(self) -> dict[str, Any]:
        """All keys with their values, as they stand in a run's config.yaml; unset ones left out."""
        values = self.model_dump(mode="json")
        values["evaluation"]["metrics"] = [
            metric.model_dump(mode="json") for metric in self.metrics
        ]
        if self.seeds:
            del values["seed"]
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
