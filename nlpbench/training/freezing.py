"""What is not trained: for the whole run (`freeze`), or until its turn comes (`GradualUnfreezing`)."""

from __future__ import annotations

import difflib
import logging
import math
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from nlpbench.config.errors import UserError
from nlpbench.config.strategies import Freeze
from nlpbench.models.structure import locate

logger = logging.getLogger("nlpbench")


def freeze(model: nn.Module, section: Freeze) -> None:
    """Takes the gradients from the parameters that the section names.

    The first n layers are counted from the embeddings up; a decoder stands on its encoder. A table
    that is also the output layer (tied weights) is an embedding. The optimiser must be made after
    this, of the parameters that still require gradients.

    Raises:
        UserError: a pattern that matches nothing, more layers than there are, layers that share
            their weights, or nothing left to train.
    """
    parameters = dict(model.named_parameters())
    frozen = {name for pattern in section.parameters for name in _matching(pattern, parameters)}
    if section.embeddings or section.layers:
        structure = locate(model)
        if section.embeddings:
            frozen.update(structure.embeddings.parameters)
        if section.layers:
            structure.check_layers(section.layers, "training.freeze.layers")
            frozen.update(*(layer.parameters for layer in structure.layers[: section.layers]))
    for name in frozen:
        parameters[name].requires_grad_(False)
    trained = [p.numel() for p in parameters.values() if p.requires_grad]
    if not trained:
        raise UserError("training.freeze leaves no parameter to train; freeze less")
    total = sum(p.numel() for p in parameters.values())
    logger.info("frozen: %d of %d parameters", total - sum(trained), total)


def _matching(pattern: str, names: Iterable[str]) -> list[str]:
    found = [name for name in names if fnmatchcase(name, pattern)]
    if not found:
        raise UserError(
            f"training.freeze.parameters: {pattern} matches no parameter; {_close(pattern, names)}"
        )
    return found


def _close(pattern: str, names: Iterable[str]) -> str:
    """Names that are like the pattern, in whole or in one of the words between their dots."""
    words: dict[str, str] = {}
    for name in names:
        words.setdefault(name, name)
        for word in name.split("."):
            words.setdefault(word, name)
    asked = [pattern, *(word for word in pattern.split(".") if word.strip("*?"))]
    close = [
        words[word]
        for part in asked
        for word in difflib.get_close_matches(part.strip("*?"), words, n=2, cutoff=0.7)
    ]
    shown = list(dict.fromkeys(close)) or list(dict.fromkeys(words.values()))
    return f"{'close to it' if close else 'there'} are {', '.join(shown[:3])}"


class GradualUnfreezing(TrainerCallback):
    """Trains the head, then one layer more from the top after each period, the embeddings last.

    ULMFiT (Howard & Ruder 2018, arXiv:1801.06146), section 3.3. What is trained follows from the
    number of steps alone, so a resumed run needs nothing of its own. All parameters are in the
    optimiser from the start; those whose turn has not come have no gradient, so they are neither
    changed, nor decayed, nor counted in the norm that is clipped. What does not require gradients
    when this is made stays frozen, and a part of which nothing is left takes no turn; where the
    head has no weights of its own, the top layer begins.

    DistributedDataParallel must be told `find_unused_parameters=True`, since it waits for the
    gradients of all parameters that required them when it was made.
    """

    def __init__(self, model: nn.Module, epochs_per_layer: float, steps_per_epoch: int) -> None:
        trainable = {name for name, p in model.named_parameters() if p.requires_grad}
        parts = [
            (part.name, [name for name in part.parameters if name in trainable])
            for part in locate(model).from_the_top
        ]
        self.parts = [(name, parameters) for name, parameters in parts if parameters]
        self.period = epochs_per_layer * steps_per_epoch
        self.trained = 0

    def parts_trained(self, step: int) -> int:
        """How many parts, from the head down, the step after `step` steps trains."""
        # A period such as 0.7 x 10 is a little more than 7 in floating point.
        return min(len(self.parts), 1 + math.floor(step / self.period + 1e-9))

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        never = [name for name, _ in self.parts[self.parts_trained(state.max_steps - 1) :]]
        if never:
            logger.warning(
                "gradual_unfreezing: the run ends after %d steps, before the turn of %s",
                state.max_steps,
                ", ".join(never),
            )

    def on_step_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: nn.Module | None = None,
        **_: Any,
    ) -> None:
        count = self.parts_trained(state.global_step)
        if count == self.trained:
            return
        assert model is not None
        parameters = dict(model.named_parameters())
        for number, (_name, names) in enumerate(self.parts):
            for name in names:
                parameters[name].requires_grad_(number < count)
                if number >= count:
                    parameters[name].grad = None
        added = ", ".join(name for name, _ in self.parts[self.trained : count])
        logger.info("step %d: the training of %s begins", state.global_step + 1, added)
        self.trained = count
