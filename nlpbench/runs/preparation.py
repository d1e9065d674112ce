"""What a training run needs, ready to train: rows, tokenizer, model, features, and what to watch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from nlpbench import models
from nlpbench.config.errors import UserError
from nlpbench.config.run_config import RunConfig
from nlpbench.evaluation import efficiency
from nlpbench.evaluation.metrics import Metric
from nlpbench.evaluation.score import try_out
from nlpbench.runs import generation
from nlpbench.runs import material as materials
from nlpbench.runs.material import Material
from nlpbench.runs.settling import settle
from nlpbench.tasks import Bundle, Task

if TYPE_CHECKING:
    from datasets import Dataset

    from nlpbench.data.load import Split
    from nlpbench.models.load import LoadedModel
    from nlpbench.training.fit import Materials, Watched

logger = logging.getLogger("nlpbench")


@dataclass(frozen=True)
class Prepared:
    """All of a run before its first step; nothing is written yet."""

    material: Material
    tokenizer: Any
    loaded: LoadedModel
    watched: Watched | None
    features: dict[str, Dataset]
    warnings: list[str]

    @property
    def megabytes_needed(self) -> float:
        """The disk that a run takes at most: the model, and two to three checkpoints of it with
        AdamW's two moments."""
        weights = 4 * efficiency.parameters(self.loaded.model)["parameters"] / 1e6
        return weights * (1 + 3 * 3) + 10

    def for_training(self, config: RunConfig) -> Materials:
        from nlpbench.training.fit import Materials

        splits = self.material.data.splits
        return Materials(
            model=self.loaded.model,
            tokenizer=self.tokenizer,
            task=cast(Task, config.task),
            labels=self.material.labels,
            metrics=cast(list[Metric], config.metrics),
            watched=self.watched,
            train=self.features["train"],
            validation=self.features.get("validation"),
            validation_rows=splits["validation"].rows if "validation" in splits else None,
            validation_references=self.material.references.get("validation"),
            train_references=self.material.references["train"],
            train_id=row_of_feature(splits["train"], self.features["train"]),
            fingerprints={
                name: split.fingerprint
                for name, split in splits.items()
                if name in ("train", "validation")
            },
            fresh=self.loaded.fresh,
            directory=self.loaded.directory,
        )

    def settle(self, config: RunConfig, model: Any) -> None:
        """Has the task choose on the validation rows what it chooses after training."""
        task, split = cast(Task, config.task), self.material.data.splits.get("validation")
        if not task.settles or split is None:
            return
        bundle = Bundle(self.tokenizer, model, self.material.labels)
        references = self.material.references["validation"]
        _, warnings = settle(config, bundle, split, self.features["validation"], references)
        self.warnings.extend(warnings)


def row_of_feature(split: Split, features: Dataset) -> Callable[[int], int | str]:
    """Says which row a feature was made of, by its id."""
    if "example" not in features.column_names:
        return split.id
    return lambda index: split.id(features[index]["example"])


def prepare(config: RunConfig) -> Prepared:
    """Reads the data, loads tokenizer and model, tries the metrics, encodes the rows.

    Raises:
        UserError: whatever of these cannot be used, with the reason.
    """
    from transformers import set_seed

    task = cast(Task, config.task)
    material = materials.read(config, config.needed_splits)
    set_seed(config.seed)
    train = material.data.splits["train"]
    tokenizer = models.tokenizer(config.model, task.tokenizer_texts(train.rows, train.locate))
    if task.reads_words:
        models.for_words(tokenizer)
    loaded = models.load(
        config.model,
        task.auto_classes,
        task.head(material.labels),
        tokenizer,
        config.max_length,
        max_target_length=task.max_target_tokens,
    )
    generation.settle(task, loaded.model, tokenizer)
    if loaded.fresh:
        logger.info("new weights, not from the checkpoint: %s", ", ".join(loaded.fresh))
    watched = watch(config, material.labels)
    warnings = list(material.audit.warnings)
    skew = materials.skew_warning(config, material, watched.key if watched else None)
    if skew:
        logger.warning("%s", skew)
        warnings.append(skew)
    bundle = Bundle(tokenizer, loaded.model, material.labels)
    features = materials.encode(config, material, bundle)
    return Prepared(material, tokenizer, loaded, watched, features, warnings)


def watch(config: RunConfig, labels: Sequence[str]) -> Watched | None:
    """The score that chooses the checkpoint; every metric is tried on dummy predictions for it."""
    from nlpbench.training.fit import Watched

    task, section = cast(Task, config.task), config.training
    metrics = cast(list[Metric], config.metrics)
    keys = try_out(metrics, task.answer, labels)
    if section.eval_strategy == "no":
        return None
    wanted = section.metric_for_best_model or task.watched
    if wanted == "loss":
        return Watched("loss", higher_is_better=False)
    if wanted is None or wanted in keys:
        key = wanted or next(iter(keys))
        return Watched(key, keys[key].higher_is_better)
    found = next((key for key, metric in keys.items() if metric.key == wanted), None)
    if found is None:
        message = f"training.metric_for_best_model is none of the scores (got {wanted})"
        raise UserError(f"{message}, allowed: {', '.join(['loss', *keys])}")
    return Watched(found, keys[found].higher_is_better)
