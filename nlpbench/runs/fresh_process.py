"""Scores a saved model in a process of its own, so that what is measured is what was saved.

python -m nlpbench.runs.fresh_process JOB.json RESULT.json
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from nlpbench.config.errors import NlpbenchError, RunError, UserError
from nlpbench.config.run_config import RunConfig

if TYPE_CHECKING:
    from nlpbench.results.record import Record

PARITY_ROWS = 32
PARITY_TOLERANCE = 1e-4
"""How far a model may be from the one that was saved, relative to the largest of its numbers."""
EXPECTED = "expected.npz"


@dataclass(frozen=True)
class Parity:
    """How a loaded model agrees with the one that was saved.

    Attributes:
        rows: both predicted.
        max_difference: between the numbers of both.
        scale: the largest of these numbers.
    """

    rows: int
    max_difference: float
    scale: float

    @property
    def holds(self) -> bool:
        return self.max_difference <= PARITY_TOLERANCE * max(1.0, self.scale)


def evaluate_freshly(config: RunConfig, model: Path, directory: Path) -> Record:
    """Scores and measures a saved model in a fresh process; the record is in the directory.

    Raises:
        UserError, RunError: as the process told it.
    """
    from nlpbench.results.record import read

    _in_fresh_process("evaluate", config, model=str(model), directory=str(directory))
    return read(directory)


def compare_freshly(config: RunConfig, model: Path, expected: Path) -> Parity:
    """What a saved model says in a fresh process, beside what `note_answers` noted of it.

    Raises:
        UserError, RunError: as the process told it.
    """
    return Parity(**_in_fresh_process("compare", config, model=str(model), expected=str(expected)))


def measure_freshly(config: RunConfig, models: Sequence[Path]) -> list[dict[str, Any]]:
    """Latency and throughput of saved models that take turns in one fresh process.

    Raises:
        UserError, RunError: as the process told it.
    """
    found = _in_fresh_process("measure", config, models=[str(model) for model in models])
    return cast(list[dict[str, Any]], found["costs"])


def note_answers(config: RunConfig, opened: Any, file: Path) -> None:
    """Writes what a model in memory says about a few rows, for `compare_freshly`."""
    import numpy as np

    arrays = _answers(config, opened)
    with file.open("wb") as stream:
        np.savez(stream, *arrays)


def _in_fresh_process(what: str, config: RunConfig, **job: Any) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        order, result = Path(folder, "job.json"), Path(folder, "result.json")
        values = {"what": what, "config": config.resolved(), **job}
        order.write_text(json.dumps(values), encoding="utf-8")
        command = [sys.executable, "-m", "nlpbench.runs.fresh_process", str(order), str(result)]
        code = subprocess.run(command, check=False).returncode  # noqa: S603
        if not result.is_file():
            raise RunError(
                f"the process that loads {job.get('model', 'the models')} ended ({code})"
            )
        found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    if "error" in found:
        kind = UserError if found["exit_code"] == UserError.exit_code else RunError
        raise kind(found["error"])
    return found


def main(order: str, result: str) -> None:
    """What the fresh process does."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    job = json.loads(Path(order).read_text(encoding="utf-8"))
    try:
        found = _JOBS[job.pop("what")](RunConfig.model_validate(job.pop("config")), **job)
    except NlpbenchError as error:
        found = {"error": str(error), "exit_code": error.exit_code}
    Path(result).write_text(json.dumps(found), encoding="utf-8")


def _evaluate(config: RunConfig, model: str, directory: str) -> dict[str, Any]:
    from nlpbench.runs.evaluate import evaluate

    evaluate(config, directory, [model])
    return {}


def _compare(config: RunConfig, model: str, expected: str) -> dict[str, Any]:
    import numpy as np

    from nlpbench.runs.libraries import settle_libraries
    from nlpbench.runs.scored_model import open_model

    settle_libraries()
    found = _answers(config, open_model(config, model, None))
    with np.load(expected, allow_pickle=False) as file:
        before = [file[name] for name in file.files]
    if [array.shape for array in before] != [array.shape for array in found]:
        raise RunError(f"{model}: the saved model says something of another shape")
    differences = [
        np.abs(one - other).max(initial=0.0) for one, other in zip(before, found, strict=True)
    ]
    scales = [np.abs(array).max(initial=0.0) for array in before]
    return {
        "rows": PARITY_ROWS,
        "max_difference": float(max(differences, default=0.0)),
        "scale": float(max(scales, default=0.0)),
    }


def _measure(config: RunConfig, models: list[str]) -> dict[str, Any]:
    from nlpbench.evaluation import efficiency
    from nlpbench.evaluation.predict import as_told, predict
    from nlpbench.runs.features import encode
    from nlpbench.runs.libraries import settle_libraries
    from nlpbench.runs.scored_model import open_model, rows_for
    from nlpbench.tasks import Bundle, Task

    settle_libraries()
    task, section, candidates = cast(Task, config.task), config.evaluation, []
    for name in models:
        opened = open_model(config, name, None)
        material = rows_for(config, opened)
        bundle = Bundle(opened.tokenizer, opened.loaded.model, opened.labels)
        rows = material.data.splits[section.split].rows
        features = encode(task, rows, None, bundle, corpus=material.corpus)
        collate, infer = task.collate(bundle), partial(task.infer, bundle)
        few = features.select(range(min(64, len(features))))
        told = as_told(section, task, bundle)
        outputs = predict(opened.loaded.model, few, collate, infer, **told)
        candidates.append(
            efficiency.Candidate(
                opened.loaded.model,
                features,
                collate,
                infer,
                told["batch_size"],
                outputs.precision,
                outputs.count / outputs.seconds,
                told["side_by_side"],
            )
        )
    return {"costs": efficiency.measure(candidates)}


def _answers(config: RunConfig, opened: Any) -> list[Any]:
    """What a model says about the first rows of the scored split: arrays of numbers."""
    import numpy as np

    from nlpbench.evaluation.predict import predict
    from nlpbench.runs.features import encode
    from nlpbench.runs.scored_model import rows_for
    from nlpbench.tasks import Bundle, Task

    task, material = cast(Task, config.task), rows_for(config, opened)
    bundle = Bundle(opened.tokenizer, opened.loaded.model, opened.labels)
    rows = material.data.splits[config.evaluation.split].rows
    features = encode(task, rows, None, bundle, corpus=material.corpus)
    few = features.select(range(min(PARITY_ROWS, len(features))))
    outputs = predict(
        opened.loaded.model,
        few,
        task.collate(bundle),
        partial(task.infer, bundle),
        batch_size=PARITY_ROWS,
        precision=config.evaluation.precision,
    )
    values = outputs.values
    arrays = [values] if isinstance(values, np.ndarray) else list(values)
    return [np.asarray(array) for array in arrays]


_JOBS: dict[str, Callable[..., dict[str, Any]]] = {
    "evaluate": _evaluate,
    "compare": _compare,
    "measure": _measure,
}

if __name__ == "__main__":
    main(*sys.argv[1:])
