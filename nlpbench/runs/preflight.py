"""Everything that a run would stumble over, told before it: data, model, metrics, time and room."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from nlpbench.config.errors import UserError
from nlpbench.config.matrix import MatrixCell
from nlpbench.config.run_config import RunConfig
from nlpbench.data.features import lengths
from nlpbench.evaluation import efficiency
from nlpbench.evaluation.device import autocast, default_device
from nlpbench.results import run_directory
from nlpbench.runs import material as materials
from nlpbench.runs.cell_rows import CellRows
from nlpbench.runs.evaluate import cells_of, open_cell
from nlpbench.runs.libraries import settle_libraries
from nlpbench.runs.material import Material
from nlpbench.runs.once import Once
from nlpbench.runs.preparation import prepare
from nlpbench.tasks import Bundle, Task

if TYPE_CHECKING:
    from datasets import Dataset

BATCHES = 2


def preflight(config: RunConfig, directory: Path, resume: bool, processes: int = 1) -> str:
    """What `finetune --dry-run` reports: all of `check_model`, and whether the directory is free."""
    run_directory.check_free(directory, config.resolved(), resume)
    return check_model(config, directory, processes) + f"\noutput: {directory}"


def preflight_evaluation(config: RunConfig, names: Sequence[str]) -> str:
    """As `preflight_cells`, of one data set."""
    return preflight_cells(cells_of(config, names))


def preflight_cells(cells: Sequence[MatrixCell]) -> str:
    """What `evaluate --dry-run` reports: that every model loads, knows the labels and the metrics.

    Raises:
        UserError: with what is wrong with each model on each data set.
    """
    settle_libraries()
    several = len({cell.data for cell in cells}) > 1
    lines, wrong, rows = [], [], CellRows()
    for name in dict.fromkeys(cell.model for cell in cells):
        of_model = [cell for cell in cells if cell.model == name]
        model = Once(partial(open_cell, of_model[0]))
        for cell in of_model:
            place = f"{name} on {cell.data}" if several else name
            try:
                opened = model()
                found = rows.material(cell, opened)
            except UserError as error:
                wrong.append(f"{place}: {error}" if len(cells) > 1 else str(error))
                continue
            count = len(found.texts[cell.config.evaluation.split])
            architecture = type(opened.loaded.model).__name__
            lines.append(f"{place}: {architecture}, {count} rows to score")
    if wrong:
        raise UserError("\n".join(wrong))
    return "\n".join(lines)


def check_data(config: RunConfig) -> str:
    """Loads and audits the data of a fine-tuning run."""
    settle_libraries()
    return _data_report(materials.read(config, config.needed_splits))


def check_model(config: RunConfig, directory: Path = Path(), processes: int = 1) -> str:
    """Loads everything, trains on two batches and forgets it, and says what a run would take."""
    from nlpbench.training import learner
    from nlpbench.training.fit import check_arguments
    from nlpbench.training.precision import choose
    from nlpbench.training.schedule import plan

    settle_libraries()
    prepared = prepare(config)
    task = cast(Task, config.task)
    loaded, watched, features = prepared.loaded, prepared.watched, prepared.features
    schedule = plan(config.training, len(features["train"]), processes, task.rows_interact)
    precision = choose(config.training.precision, loaded.model.config.model_type, default_device())
    check_arguments(config, schedule, precision, watched)
    learner.check(config, prepared.for_training(config))
    with efficiency.PeakMemory() as memory:
        bundle = Bundle(prepared.tokenizer, loaded.model, prepared.material.labels)
        seconds, padded = _two_batches(
            config, bundle, features["train"], precision.name, schedule.micro_batch_size
        )
    run_directory.check_space(directory, prepared.megabytes_needed)
    shares = {name: materials.truncated_share(found) for name, found in features.items()}
    count = efficiency.parameters(loaded.model)["parameters"]
    lines = [
        _data_report(prepared.material),
        "",
        f"model: {type(loaded.model).__name__}, {count / 1e6:.1f} M parameters",
        f"new weights: {', '.join(loaded.fresh) or 'none'}",
        f"precision: {precision.name} ({precision.reason})",
        f"steps: {schedule.steps} ({schedule.steps_per_epoch} an epoch), warm-up: "
        f"{schedule.warmup_steps}, batch: {schedule.accumulation} x {schedule.micro_batch_size} rows",
        f"best checkpoint by: {watched.key if watched else 'none, the last is kept'}",
        f"padded share of {BATCHES} batches: {padded:.1%}",
        f"truncated share: {', '.join(f'{k} {v:.1%}' for k, v in shares.items())}",
        f"disk: up to {prepared.megabytes_needed:.0f} MB",
        f"memory: about {_memory(memory, count):.0f} MB on {efficiency.hardware()['device']}",
        f"time: about {_clock(seconds * schedule.accumulation * schedule.steps)} of training",
    ]
    return "\n".join(lines)


def _two_batches(
    config: RunConfig,
    bundle: Bundle,
    train: Dataset,
    precision: str,
    micro_batch_size: int,
) -> tuple[float, float]:
    """Seconds of forward and backward a batch, and the padded share; the longest rows go first."""
    import numpy as np

    task, model = cast(Task, config.task), bundle.model
    device = default_device()
    model.to(device).train()
    collate = task.collate(bundle, training=True)
    order = np.argsort(-lengths(train), kind="stable")
    middle = (len(order) - micro_batch_size) // 2
    starts = [0, max(0, middle)]
    real = computed = 0
    seconds = 0.0
    for start in starts[:BATCHES]:
        index = sorted(order[start : start + micro_batch_size].tolist())
        rows = [
            {**row, "visit": (config.seed, 0, place)}
            for row, place in zip(train.select(index).to_list(), index, strict=True)
        ]
        batch = {key: value.to(device) for key, value in collate(rows).items()}
        labels = batch.pop("labels")
        began = time.perf_counter()
        with autocast(device, precision):
            outputs = task.forward(model, batch)
        flat = task.flat_labels(labels)
        losses = [
            task.loss(logits, targets) / max(1, targets.numel())
            for logits, targets in zip(task.flat_logits(outputs, labels), flat, strict=True)
        ]
        loss = sum(losses[1:], start=losses[0])
        loss.backward()  # type: ignore[no-untyped-call]
        seconds = time.perf_counter() - began  # of the second one, of middling length
        real += int(batch["attention_mask"].sum())
        computed += batch["attention_mask"].numel()
    if not np.isfinite(loss.item()):
        raise UserError(f"the loss of the first batches is {loss.item()} in {precision}")
    model.zero_grad()
    return seconds, 1 - real / computed


def _memory(measured: efficiency.PeakMemory, parameters: int) -> float:
    """The peak of two batches, and AdamW's two moments, which these batches did not need."""
    return (measured.megabytes or 0.0) + 2 * 4 * parameters / 1e6


def _data_report(material: Material) -> str:
    header, *rows = material.audit.lines()
    widths = [max(len(str(row[i])) for row in (header, *rows)) for i in range(len(header))]
    lines = [
        "  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (header, *rows)
    ]
    labels = f"labels: {', '.join(material.labels) or 'none'}"
    return "\n".join([*material.data.notes, labels, *lines])


def _clock(seconds: float) -> str:
    minutes = seconds / 60
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes:.0f} min"
