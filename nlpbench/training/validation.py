"""What a model in training scores on the validation rows."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from transformers import PreTrainedModel

from nlpbench.config.run_config import RunConfig
from nlpbench.evaluation.predict import as_told, predict
from nlpbench.evaluation.score import values
from nlpbench.training.learner import Learner

if TYPE_CHECKING:
    from nlpbench.training.fit import Materials


def validate(config: RunConfig, materials: Materials, learner: Learner) -> dict[str, float]:
    """The validation scores, by the same path as every other evaluation."""
    assert learner.validation is not None
    assert materials.validation_rows is not None
    assert materials.validation_references is not None
    assert materials.watched is not None
    task, bundle = materials.task, replace(materials.bundle, model=learner.model)
    scored = not task.slow_to_score or materials.watched.key != "loss"
    told = as_told(config.evaluation, task, bundle)
    if not scored:
        told["margins"] = None  # there are no answers
    # What a strategy makes of a model may not be one that several threads can call.
    told["side_by_side"] &= isinstance(learner.model, PreTrainedModel)
    with learner.scored():
        outputs = predict(
            learner.model,
            learner.validation,
            learner.collate,
            partial(task.infer, bundle, answers=scored),
            **told,
            what="validating",
            shared=True,
        )
    if not scored:
        assert outputs.loss is not None
        return {"loss": outputs.loss}
    predictions = task.decode(
        outputs.values, materials.validation, materials.validation_rows, bundle
    )
    found = values(
        materials.metrics, predictions, materials.validation_references, materials.labels
    )
    loss = outputs.loss if predictions.loss is None else predictions.loss
    return {**({} if loss is None else {"loss": loss}), **found}
