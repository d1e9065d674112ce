"""What training minimises: the task's loss with class weights, smoothing, focusing and R-Drop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor
from torch.nn import functional as F
from transformers import PretrainedConfig

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show, suggest
from nlpbench.config.training import TrainingSection
from nlpbench.models.dropout import EVERY, FIRST
from nlpbench.tasks import Task

# Below this a row counts as learnt: a power below 1 has no finite slope at nought.
LEARNT = 1e-12


class Objective:
    """The training loss as a sum over targets, and what the sum is divided by.

    The parts of a batch can be computed one by one: their totals add up to that of the batch, and
    so do their targets. Total by targets is torch's mean, the weighted one where there are class
    weights. The loss of a validation split is not this but the task's plain one, whatever
    weighs, smooths or focuses the training loss, so that runs can be compared by it.

    - Class weights of single labels weigh the whole loss of a row; those of label sets weigh its
      positive targets, as torch's `pos_weight`.
    - Label smoothing is that of `torch.nn.functional.cross_entropy`.
    - Focal loss: (1 - p)^gamma times the cross entropy, p of the true class, or of the right
      answer to each label (Lin et al. 2017, "Focal Loss for Dense Object Detection").
    - R-Drop: each row is computed twice, with other dropout masks. The loss is the mean of both,
      and alpha times half of KL(one || two) + KL(two || one): of the distribution over classes, or
      over yes and no for each label. Numbers have no distribution; between them it is the squared
      difference, as in the paper (Liang et al. 2021, "R-Drop: Regularized Dropout for Neural
      Networks").
    """

    def __init__(
        self,
        task: Task,
        class_weights: Tensor | None = None,
        label_smoothing: float = 0.0,
        focal_gamma: float | None = None,
        r_drop_alpha: float | None = None,
    ) -> None:
        self.task = task
        self.label_smoothing = label_smoothing
        self.focal_gamma = focal_gamma
        self.r_drop_alpha = r_drop_alpha
        self.class_weights = class_weights
        self._placed: dict[tuple[torch.device, torch.dtype], Tensor] = {}

    def inputs(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """What the model is fed in training: with R-Drop all rows, and then all of them again.

        `labels` stay as they are.
        """
        if self.r_drop_alpha is None:
            return dict(batch)
        return {
            key: value if key == "labels" else torch.cat([value, value])
            for key, value in batch.items()
        }

    def loss(self, outputs: Any, labels: Tensor) -> Tensor:
        """(T,) the total of each term of the task's loss.

        Args:
            outputs: of the model for `inputs` of a batch.
            labels: of that batch.
        """
        flat = self.task.flat_labels(labels)
        twice = labels if self.r_drop_alpha is None else torch.cat([labels, labels])
        logits = self.task.flat_logits(outputs, twice)
        return torch.stack([self.total(*pair) for pair in zip(logits, flat, strict=True)])

    def count(self, labels: Tensor) -> Tensor:
        """(T,) what each of these totals is divided by."""
        return torch.stack([self.targets(flat) for flat in self.task.flat_labels(labels)])

    def total(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss summed over all targets: a scalar in float32, float64 for float64 logits.

        Args:
            logits: (n, K) for the n labels; with R-Drop (2n, K), as `inputs` has doubled them.
        """
        logits = logits if logits.dtype == torch.float64 else logits.float()
        if self.r_drop_alpha is None:
            return self._sum(logits, labels)
        one, two = logits.chunk(2)
        mean = (self._sum(one, labels) + self._sum(two, labels)) / 2
        return mean + self.r_drop_alpha * self._disagreement(one, two, labels)

    def targets(self, labels: Tensor) -> Tensor:
        """What a total is divided by, a scalar: the number of targets, or their weights' sum."""
        if self.task.target == "labels" and self.class_weights is not None:
            weights: Tensor = self._weights(labels.device, torch.float32)
            return weights[labels].sum()
        return torch.tensor(float(labels.numel()), device=labels.device)

    def _sum(self, logits: Tensor, labels: Tensor) -> Tensor:
        if self.class_weights is None and self.focal_gamma is None and not self.label_smoothing:
            return self.task.loss(logits, labels)
        weights = self._weights(logits.device, logits.dtype)
        if self.task.target == "labels":
            return _cross_entropy(logits, labels, weights, self.label_smoothing, self.focal_gamma)
        return _binary_cross_entropy(logits, labels, weights, self.focal_gamma)

    def _disagreement(self, one: Tensor, two: Tensor, labels: Tensor) -> Tensor:
        """Half of KL(one || two) + KL(two || one), summed: sums of (p - q) (log p - log q)."""
        if self.task.target == "labels":
            p, q = one.log_softmax(-1), two.log_softmax(-1)
            rows = ((p.exp() - q.exp()) * (p - q)).sum(-1) / 2
            weights = self._weights(rows.device, rows.dtype)
            return rows.sum() if weights is None else (weights[labels] * rows).sum()
        if self.task.target == "label-sets":
            return ((one.sigmoid() - two.sigmoid()) * (one - two)).sum() / 2
        return F.mse_loss(one, two, reduction="sum")

    def _weights(self, device: torch.device, dtype: torch.dtype) -> Any:
        if self.class_weights is None:
            return None
        if (device, dtype) not in self._placed:  # a copy at every step would wait for the device
            self._placed[device, dtype] = self.class_weights.to(device, dtype)
        return self._placed[device, dtype]


def build(
    section: TrainingSection,
    task: Task,
    labels: Sequence[str],
    train_labels: NDArray[Any],
) -> Objective:
    """The objective that a training section asks for.

    Args:
        labels: the K class names; none for a regression.
        train_labels: of the training rows, as `task.class_ids` gives them.

    Raises:
        UserError: a class weight for a label that does not exist.
    """
    weights = None
    if section.class_weights is not None:
        values = (
            _balanced(task, len(labels), train_labels)
            if section.class_weights == "balanced"
            else _named(section.class_weights, labels)
        )
        weights = torch.tensor(values, dtype=torch.float64).float()
    return Objective(
        task,
        class_weights=weights,
        label_smoothing=section.label_smoothing_factor,
        focal_gamma=section.focal_loss.gamma if section.focal_loss else None,
        r_drop_alpha=section.r_drop.alpha if section.r_drop else None,
    )


def check_passes_differ(section: TrainingSection, config: PretrainedConfig) -> None:
    """Raises UserError where R-Drop would compare a model with itself: it has no dropout."""
    if section.r_drop is None or section.neftune_noise_alpha is not None:
        return
    names = [name for names in (*EVERY.values(), *FIRST.values()) for name in names]
    if not any(getattr(config, name, None) for name in names):
        raise UserError(
            f"training.r_drop: this {config.model_type} model has no dropout, so both passes are "
            "the same; write model.dropout: {hidden: 0.1}"
        )


def _balanced(task: Task, count: int, train_labels: NDArray[Any]) -> NDArray[np.float64]:
    """A weight a label; a label that no training row has, or every one, weighs 1.

    Single labels: rows / (classes * rows of the class), as scikit-learn's `compute_class_weight`.
    Label sets: rows without the label by rows with it.
    """
    weights = np.ones(count)
    if task.target == "labels":
        found = np.unique(train_labels)
        weights[found] = compute_class_weight("balanced", classes=found, y=train_labels)
        return weights
    positive = train_labels.sum(axis=0)
    negative = len(train_labels) - positive
    some = (positive > 0) & (negative > 0)
    weights[some] = negative[some] / positive[some]
    return weights


def _named(asked: Mapping[str, float], labels: Sequence[str]) -> list[float]:
    for label in asked:
        if label not in labels:
            raise UserError(
                f"training.class_weights: there is no label {show(label)}  {suggest(label, labels)}"
            )
    return [asked.get(label, 1.0) for label in labels]


def _cross_entropy(
    logits: Tensor,
    labels: Tensor,
    weights: Tensor | None,
    label_smoothing: float,
    focal_gamma: float | None,
) -> Tensor:
    if focal_gamma is None:
        return F.cross_entropy(
            logits, labels, weights, reduction="sum", label_smoothing=label_smoothing
        )
    loss = F.cross_entropy(logits, labels, reduction="none")
    loss = loss * _error(loss) ** focal_gamma
    return loss.sum() if weights is None else (weights[labels] * loss).sum()


def _binary_cross_entropy(
    logits: Tensor, labels: Tensor, weights: Tensor | None, focal_gamma: float | None
) -> Tensor:
    labels = labels.to(logits.dtype)
    loss = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    if focal_gamma is not None:
        loss = loss * _error(loss) ** focal_gamma
    if weights is not None:
        loss = loss * (1 + (weights - 1) * labels)
    return loss.sum()


def _error(loss: Tensor) -> Tensor:
    """1 - p for a loss of -log p, to the last digit where p is almost 1."""
    return -torch.expm1(-loss).clamp_max(-LEARNT)
