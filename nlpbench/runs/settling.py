"""Has a task choose on the validation rows what it chooses after training, such as thresholds."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from nlpbench.config.run_config import RunConfig
from nlpbench.evaluation.predict import as_told, predict
from nlpbench.tasks import SETTLED_ON, Bundle, Task

if TYPE_CHECKING:
    from datasets import Dataset
    from numpy.typing import NDArray

    from nlpbench.data.load import Split

logger = logging.getLogger("nlpbench")
PREFIX = "nlpbench_"  # of nlpbench's own entries in a model's configuration


def settle(
    config: RunConfig,
    bundle: Bundle,
    split: Split,
    features: Dataset,
    references: NDArray[Any],
) -> tuple[dict[str, Any], list[str]]:
    """Puts what the task chooses into the configuration of the bundle's model.

    All processes of a run call this.

    Args:
        split: the validation rows; `features` and `references` are theirs.

    Returns:
        the entries of the configuration, and warnings for the record.
    """
    task = cast(Task, config.task)
    found = predict(
        bundle.model,
        features,
        task.collate(bundle),
        partial(task.infer, bundle),
        **as_told(config.evaluation, task, bundle),
        what="settling",
        shared=True,
    )
    chosen = task.settle(found.values, features, split.rows, references, bundle)
    for note in chosen.notes:
        logger.info("%s", note)
    for warning in chosen.warnings:
        logger.warning("%s", warning)
    entries = {**chosen.entries, SETTLED_ON: split.fingerprint}
    for key, value in entries.items():
        setattr(bundle.model.config, key, value)
    return entries, list(chosen.warnings)


def settings_of(model: Any) -> dict[str, Any]:
    """What a model's configuration says to nlpbench, for the record; `nlpbench_` left out.

    Such as `temperature`, `thresholds`, `null_threshold` or `pooling`.
    """
    found = {key: value for key, value in vars(model.config).items() if value is not None}
    return {
        key.removeprefix(PREFIX): value for key, value in found.items() if key.startswith(PREFIX)
    }


def settled_on_these(model: Any, fingerprint: str) -> str | None:
    """A sentence where the rows to score are those that something was chosen on."""
    if getattr(model.config, SETTLED_ON, None) != fingerprint:
        return None
    return (
        "what the model's configuration holds of thresholds or a temperature was chosen on these "
        "very rows, so the scores flatter; score other rows"
    )
