"""What watches a training run: its history file, its progress, and when to stop early."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from nlpbench.evaluation.progress import Progress
from nlpbench.results.files import told_clearly, write_text

logger = logging.getLogger("nlpbench")


class History(TrainerCallback):
    """Writes a line a log entry to history.jsonl; a resumed run drops the lines it repeats.

    Of several processes the first one writes.
    """

    def __init__(self, file: Path) -> None:
        self.file = file

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if not state.is_world_process_zero:
            return
        kept = []
        if self.file.exists() and state.global_step:
            for line in self.file.read_text(encoding="utf-8").splitlines(keepends=True):
                # A killed run may have left half a line.
                if line.endswith("\n") and json.loads(line)["step"] <= state.global_step:
                    kept.append(line)
        write_text(self.file, "".join(kept))

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        control.should_log = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        if not state.is_world_process_zero:
            return
        entry: dict[str, Any] = {"step": state.global_step, "epoch": round(state.epoch or 0, 4)}
        entry |= {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in (logs or {}).items()
            if key != "epoch"
        }
        with told_clearly(self.file), self.file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry) + "\n")


class BestCheckpoint(TrainerCallback):
    """Finds the best checkpoint of a resumed run by its step, so that the run can be moved."""

    def __init__(self, checkpoints: Path) -> None:
        self.checkpoints = checkpoints

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        place = self.checkpoints / f"checkpoint-{state.best_global_step}"
        if state.best_global_step and place.is_dir():
            state.best_model_checkpoint = str(place)


class ShowProgress(TrainerCallback):
    """Steps, rate and time left; the scores of every evaluation."""

    def __init__(self, watched: str | None) -> None:
        self.watched = watched
        self.note = ""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self.step = state.global_step
        self.progress = Progress("training", state.max_steps, "steps", done=self.step)
        self.progress.__enter__()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self.progress.advance(state.global_step - self.step, self.note)
        self.step = state.global_step

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        if logs and "loss" in logs:
            self.note = f"loss {logs['loss']:.4g}"

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        shown = {
            key.removeprefix("eval_"): value
            for key, value in (metrics or {}).items()
            if key in ("eval_loss", f"eval_{self.watched}")
        }
        scores = ", ".join(f"{key} {value:.4f}" for key, value in shown.items())
        logger.info(
            "step %d of %d, epoch %.2f: validation %s",
            state.global_step,
            state.max_steps,
            state.epoch or 0,
            scores,
        )

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self.close()

    def close(self) -> None:
        if hasattr(self, "progress"):
            self.progress.__exit__(None, None, None)


class EarlyStopping(TrainerCallback, ExportableState):
    """Stops after `patience` evaluations without a gain of more than `threshold` over the best.

    The best is the one since which patience is counted, not the highest score seen: many small
    gains that add up to more than the threshold count as one. The count survives a resume.
    """

    def __init__(
        self,
        patience: int,
        threshold: float,
        key: str,
        higher_is_better: bool,
        best: float | None = None,
        waited: int = 0,
    ) -> None:
        self.patience, self.threshold = patience, threshold
        self.key, self.higher_is_better = key, higher_is_better
        self.best, self.waited = best, waited

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        if not state.global_step:  # the model as it came; nothing was learnt to wait for
            return
        value = (metrics or {})[self.key]
        gain = math.inf if self.best is None else value - self.best
        if self.best is not None and not self.higher_is_better:
            gain = -gain
        if gain > self.threshold and not math.isnan(value):  # an undefined score is no gain
            self.best, self.waited = value, 0
            return
        self.waited += 1
        if self.waited >= self.patience:
            control.should_training_stop = True
            logger.info(
                "stopped early at step %d: %d evaluations without a better %s than %s",
                state.global_step,
                self.waited,
                self.key.removeprefix("eval_"),
                "any" if self.best is None else f"{self.best:.4f}",
            )

    def state(self) -> dict[str, Any]:
        return {
            "args": {
                "patience": self.patience,
                "threshold": self.threshold,
                "key": self.key,
                "higher_is_better": self.higher_is_better,
                "best": self.best,
                "waited": self.waited,
            },
            "attributes": {"best": self.best, "waited": self.waited},
        }
