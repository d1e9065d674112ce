"""What a compression method may use besides its model: rows, training, the original."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from nlpbench.compression import Context
from nlpbench.config.errors import UserError
from nlpbench.config.run_config import RunConfig
from nlpbench.config.training import TrainingSection
from nlpbench.results import run_directory
from nlpbench.runs import material as materials
from nlpbench.runs.features import encode
from nlpbench.runs.preparation import Prepared, watch
from nlpbench.runs.scored_model import OpenedModel, open_model
from nlpbench.tasks import Bundle, Task

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PreTrainedModel

    from nlpbench.runs.material import Material

CALIBRATION_BATCH = 16  # rows


class Workshop:
    """Rows and training for the steps of one chain; nothing is read before it is asked for."""

    def __init__(self, config: RunConfig, original: str, opened: OpenedModel, place: Path) -> None:
        """
        Args:
            original: the model that the chain began with.
            opened: the model of the step, which knows its labels.
            place: the directory of the step.
        """
        self.config = config
        self.original = original
        self.opened = opened
        self.place = place

    def context(self) -> Context:
        return Context(
            task=cast(Task, self.config.task),
            tokenizer=self.opened.tokenizer,
            labels=self.opened.labels,
            seed=self.config.seed,
            original=self._original,
            batches=self._batches,
            fit=self.fit,
            directory=self.place / "work",
        )

    def fit(self, model: Any, section: TrainingSection, **options: Any) -> PreTrainedModel:
        """The model, trained on the rows of the run as a `training:` section says.

        A training that was killed goes on from its last checkpoint.
        """
        from accelerate.utils import extract_model_from_parallel

        from nlpbench.models.load import LoadedModel
        from nlpbench.training.checkpoints import any_whole
        from nlpbench.training.fit import fit, forget_checkpoints

        config = self.config.model_copy(update={"training": section})
        watched = watch(config, self.opened.labels)
        loaded = LoadedModel(model, None, None, ())
        material = self._material
        bundle = Bundle(self.opened.tokenizer, model, self.opened.labels)
        features = {
            name: encode(
                cast(Task, config.task),
                split.rows,
                material.references[name],
                bundle,
                training=name == "train",
                corpus=material.corpus,
            )
            for name, split in material.data.splits.items()
        }
        prepared = Prepared(material, self.opened.tokenizer, loaded, watched, features, [])
        place = self.place / "recovery"
        place.mkdir(parents=True, exist_ok=True)
        resume = any_whole(place / run_directory.CHECKPOINTS)
        fitted = fit(config, prepared.for_training(config), place, resume, **options)
        forget_checkpoints(place)
        # Without the autocast that training has put around its forward.
        return cast(Any, extract_model_from_parallel(fitted.model, keep_fp32_wrapper=False)).eval()  # type: ignore[no-any-return]

    @cached_property
    def _material(self) -> Material:
        needed = ["train"]
        if self.config.training.eval_strategy != "no":
            needed.append("validation")
        return materials.read(self.config, needed, self.opened.labels)

    def _original(self) -> PreTrainedModel:
        return open_model(self.config, self.original, None).loaded.model

    def _batches(self, split: str, rows: int) -> Iterator[Mapping[str, torch.Tensor]]:
        import numpy as np

        material = self._material
        if split not in material.data.splits:
            raise UserError(f"the data has no {split} split, which the calibration reads")
        found = material.data.splits[split]
        count = min(rows, len(found.rows))
        generator = np.random.Generator(np.random.PCG64(self.config.seed))
        chosen = np.sort(generator.permutation(len(found.rows))[:count])
        task = cast(Task, self.config.task)
        bundle = Bundle(self.opened.tokenizer, self.opened.loaded.model, self.opened.labels)
        features = encode(
            task,
            found.rows.select(chosen),
            material.references[split][chosen],
            bundle,
            training=True,
            corpus=material.corpus,
        )
        yield from _collated(features, partial(_one, task.collate(bundle, training=True)))


def _one(collate: Any, rows: list[dict[str, Any]]) -> Mapping[str, torch.Tensor]:
    return cast(Mapping[str, "torch.Tensor"], collate(rows))


def _collated(features: Dataset, collate: Any) -> Iterator[Mapping[str, torch.Tensor]]:
    for start in range(0, len(features), CALIBRATION_BATCH):
        columns = features[start : start + CALIBRATION_BATCH]
        yield collate(
            [
                dict(zip(columns, values, strict=True))
                for values in zip(*columns.values(), strict=True)
            ]
        )
