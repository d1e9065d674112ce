"""From a fine-tuned model and validation rows to a copy of it with a temperature or thresholds."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from nlpbench.config.errors import UserError
from nlpbench.config.run_config import RunConfig
from nlpbench.models.settings import copy_with
from nlpbench.results import files
from nlpbench.runs.features import encode
from nlpbench.runs.libraries import settle_libraries
from nlpbench.runs.scored_model import open_model, rows_for
from nlpbench.runs.settling import settings_of, settle
from nlpbench.tasks import Bundle, Task


def calibrate(
    config: RunConfig, output_dir: str | Path, model: str, revision: str | None = None
) -> dict[str, Any]:
    """Has the task choose on the validation rows what fine-tuning with this config would choose.

    The weights are copied as they are.

    Args:
        output_dir: of the copy.
        model: a run directory, model directory, hub id or pkg:// address.

    Returns:
        what the copy's configuration says to nlpbench, such as `temperature` and `thresholds`.

    Raises:
        UserError: a config that has nothing to choose, a model or data that cannot be used, or the
            directory is taken.
    """
    settle_libraries()
    task, directory = cast(Task, config.task), Path(output_dir)
    if not task.settles:
        raise UserError(
            f"the config has {task.name} choose nothing on validation rows; for text-classification "
            "write task.temperature_scaling: true, or task.tune_thresholds: f1"
        )
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UserError(f"{directory} is there already; name a new one with --output-dir")
    evaluation = config.evaluation.model_copy(update={"split": "validation"})
    config = config.model_copy(update={"evaluation": evaluation})
    opened = open_model(config, model, revision)
    material = rows_for(config, opened)
    split, references = material.data.splits["validation"], material.references["validation"]
    bundle = Bundle(opened.tokenizer, opened.loaded.model, opened.labels)
    features = encode(task, split.rows, references, bundle, corpus=material.corpus)
    entries, _ = settle(config, bundle, split, features, references)
    assert opened.loaded.directory is not None
    with files.new_directory(directory) as place:
        copy_with(entries, opened.loaded.directory, place)
    return settings_of(bundle.model)
