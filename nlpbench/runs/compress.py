"""From a fine-tuned model through a chain of methods, each proved before the next begins."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from nlpbench import models
from nlpbench.compression import Method
from nlpbench.config.errors import RunError, UserError
from nlpbench.config.run_config import RunConfig
from nlpbench.config.sections import ModelSection
from nlpbench.models import compressed
from nlpbench.models import source as sources
from nlpbench.results import files, run_directory
from nlpbench.results import record as records
from nlpbench.results.record import RECORD, Record
from nlpbench.runs.compression_context import Workshop
from nlpbench.runs.compression_gain import with_gains
from nlpbench.runs.fresh_process import (
    compare_freshly,
    evaluate_freshly,
    measure_freshly,
    note_answers,
)
from nlpbench.runs.libraries import settle_libraries
from nlpbench.runs.scored_model import open_model
from nlpbench.tasks import Task

if TYPE_CHECKING:
    from transformers import PretrainedConfig

logger = logging.getLogger("nlpbench")
ORIGINAL = "0-original"


@dataclass(frozen=True)
class Step:
    """A method of the chain with the directories that it reads and writes."""

    number: int
    method: Method
    before: Path
    directory: Path

    @property
    def model(self) -> Path:
        return self.directory / "model"


def compress(config: RunConfig, output_dir: str | Path) -> list[Record]:
    """Compresses a fine-tuned model as `compression` says; one record a step, the original first.

    After each step the model is saved, loaded in a fresh process, compared with what was saved, and
    scored on the rows of `evaluation.split`. A chain that was killed goes on at its first unfinished
    step. The last model is in `model/` of the directory.

    Raises:
        UserError: a method that does not fit the model or the task, before any work; or as
            `evaluate`.
        RunError: a model that is another one once it is loaded, or a recovery that diverged.
    """
    settle_libraries()
    directory = Path(output_dir)
    check(config)
    resolved = config.resolved()
    if (directory / "model").is_dir():
        raise UserError(
            f"{directory} holds the finished chain of some config (see: nlpbench results "
            f"{directory}); name a new one with --output-dir"
        )
    run_directory.check_free(directory, resolved, resume=_is_unfinished(directory, resolved))
    run_directory.open_run(directory, resolved)
    found = [_original(config, directory / ORIGINAL)]
    steps = steps_of(config, directory)
    for step in steps:
        found.append(_read(step) or _take(config, step))
    found = _measured(config, found, [Path(config.model.address), *(step.model for step in steps)])
    found = with_gains(found, [directory / ORIGINAL, *(step.directory for step in steps)])
    for record, place in zip(
        found, [directory / ORIGINAL, *(s.directory for s in steps)], strict=True
    ):
        files.write_text(place / RECORD, record.to_json())
    with files.new_directory(directory / "model") as place:
        shutil.copytree(steps[-1].model, place, dirs_exist_ok=True, copy_function=_link)
    return found


def steps_of(config: RunConfig, directory: Path) -> list[Step]:
    """The chain of a config with its places in a directory."""
    steps: list[Step] = []
    before = Path(config.model.address)
    for number, method in enumerate(_chain(config), start=1):
        steps.append(Step(number, method, before, directory / f"{number}-{method.name}"))
        before = steps[-1].model
    return steps


def check(config: RunConfig) -> None:
    """Raises UserError, with all that is wrong, unless model and methods fit together."""
    from transformers import AutoConfig

    chain = _chain(config)
    if config.model.name_or_path is None:
        raise UserError("model.config describes an untrained model; name a fine-tuned one")
    source = sources.find(config.model.address, config.model.revision)
    sources.check_weights(source)
    sources.check_tokenizer(source)
    configuration = AutoConfig.from_pretrained(source.location, revision=source.revision or "main")
    wrong = []
    if source.directory is not None and (note := compressed.read_note(source.directory)):
        kept = note.format == "transformers" and note.dtype is None
        wrong += [
            f"compression[{number}]: {method.name} needs plain weights, and {config.model.address} "
            "is compressed already"
            for number, method in enumerate(chain)
            if not kept and not method.takes_compressed
        ]
    for number, method in enumerate(chain):
        wrong += _misfit(config, configuration, number, method)
    if wrong:
        raise UserError("\n".join(wrong))


def _misfit(
    config: RunConfig, configuration: PretrainedConfig, number: int, method: Method
) -> list[str]:
    try:
        method.check(configuration, cast(Task, config.task))
    except UserError as error:
        return [f"compression[{number}]: {error}"]
    return []


def _chain(config: RunConfig) -> Sequence[Method]:
    if not config.compression:
        raise UserError("the config has no compression; write compression: [int8-dynamic]")
    return cast(Sequence[Method], config.compression)


def _is_unfinished(directory: Path, resolved: dict[str, Any]) -> bool:
    return run_directory.state_of(directory, resolved) == "unfinished"


def _original(config: RunConfig, place: Path) -> Record:
    if (place / RECORD).is_file():
        return records.read(place)
    logger.info("the original: %s", config.model.address)
    return evaluate_freshly(config, Path(config.model.address), place)


def _read(step: Step) -> Record | None:
    if not (step.directory / RECORD).is_file():
        return None
    logger.info("step %d, %s, is there already", step.number, step.method.name)
    return records.read(step.directory)


def _take(config: RunConfig, step: Step) -> Record:
    """Applies one method, and proves what came out of it."""
    logger.info("step %d: %s", step.number, step.method.name)
    run_directory.open_run(step.directory, _of_step(config, step.model).resolved())
    if not (step.model / compressed.NOTE).is_file():
        _make(config, step)
    expected = step.directory / "expected.npz"
    parity = compare_freshly(config, step.model, expected)
    if not parity.holds:
        raise RunError(
            f"{step.method.name}: the saved model is not the one that was made; its numbers differ "
            f"by {parity.max_difference:.3g}, of {parity.scale:.3g} at most"
        )
    record = evaluate_freshly(config, step.model, step.directory)
    told = {
        "step": step.number,
        "method": step.method.model_dump(mode="json", exclude_none=True),
        "parity": {"rows": parity.rows, "max_difference": parity.max_difference},
        "nonzero_share": _nonzero_share(step.model),
    }
    record = record.model_copy(
        update={"command": "compress", "name": step.directory.name, "compression": told}
    )
    files.write_text(step.directory / RECORD, record.to_json())
    expected.unlink()
    return record


def _make(config: RunConfig, step: Step) -> None:
    """Applies the method, trains if it is to recover, and saves the model with its note."""
    opened = open_model(config, str(step.before), None)
    workshop = Workshop(config, config.model.address, opened, step.directory)
    context = workshop.context()
    step.method.check(opened.loaded.model.config, context.task)
    model = step.method.apply(opened.loaded.model, context)
    tokenizer = step.method.retokenize(context)
    if step.method.recover is not None:
        model = workshop.fit(model, step.method.recover)
    cast(Any, model).eval()
    made = _reopened(opened, model, tokenizer)
    note_answers(config, made, step.directory / "expected.npz")
    original, before = _history(config, step)
    with files.new_directory(step.model) as place:
        compressed.save(model, tokenizer, place, original, [*before, _told(step.method)])
    shutil.rmtree(step.directory / "work", ignore_errors=True)
    shutil.rmtree(step.directory / "recovery", ignore_errors=True)


def _reopened(opened: Any, model: Any, tokenizer: Any) -> Any:
    from dataclasses import replace

    return replace(opened, loaded=replace(opened.loaded, model=model), tokenizer=tokenizer)


def _history(config: RunConfig, step: Step) -> tuple[dict[str, Any], list[Any]]:
    """What the chain began with, and the steps before this one."""
    directory = sources.find(str(step.before)).directory
    note = compressed.read_note(directory) if directory is not None else None
    if note is not None:
        return dict(note.original), list(note.steps)
    weights = models.weights_hash(directory) if directory is not None else None
    return {"name": config.model.address, "weights": weights}, []


def _told(method: Method) -> dict[str, Any]:
    return method.model_dump(mode="json", exclude_none=True, exclude_defaults=True) | {
        "name": method.name
    }


def _nonzero_share(model: Path) -> float | None:
    """The share of numbers that are not zero in the weight files."""
    from safetensors import safe_open

    total = nonzero = 0
    for file in sources.weight_files(model):
        if file.suffix != ".safetensors":
            return None
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - no mapping
                tensor = tensors.get_tensor(name)
                total += tensor.numel()
                nonzero += int(tensor.count_nonzero())
    return nonzero / total if total else None


def _measured(config: RunConfig, found: list[Record], places: list[Path]) -> list[Record]:
    """The records with costs of all models measured in turns, where costs are asked for."""
    if not config.evaluation.efficiency:
        return found
    logger.info("measuring the original and %d steps side by side", len(found) - 1)
    costs = measure_freshly(config, places)
    return [
        record.model_copy(update={"efficiency": {**record.efficiency, **measured}})
        for record, measured in zip(found, costs, strict=True)
    ]


def _of_step(config: RunConfig, model: Path) -> RunConfig:
    from nlpbench.config import matrix
    from nlpbench.runs.evaluate import cells_of

    [cell] = cells_of(config, [str(model)])
    return matrix.to_score(cell).config


def _link(source: str, target: str) -> str:
    """A second name for a file where the disk has such, else a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


def with_model(config: RunConfig, name: str | None) -> RunConfig:
    """The config with another model to compress."""
    if name is None:
        return config
    return config.model_copy(update={"model": ModelSection(name_or_path=name)})


def next_directory(base: Path, config: RunConfig) -> Path:
    """`base`, or `base-2` …: the last one if this chain is unfinished there, or a new one."""
    taken = [base]
    while taken[-1].exists():
        taken.append(base.with_name(f"{base.name}-{len(taken) + 1}"))
    for place in reversed(taken[:-1]):
        same = _is_unfinished(place, config.resolved())
        if same and not (place / "model").is_dir():
            return place
    return taken[-1]
