"""How much the loss would change without a head or a neuron, to first order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError

if TYPE_CHECKING:
    import torch

    from nlpbench.compression.narrowing.heads import Heads
    from nlpbench.tasks import Task


def sensitivity(
    model: Any,
    task: Task,
    matrices: Sequence[Any],
    units: Sequence[int],
    batches: Iterable[Mapping[str, torch.Tensor]],
) -> list[torch.Tensor]:
    """The mean over rows of |dL/dm|, for a factor m = 1 on each unit that a matrix reads.

    A unit's factor has the gradient of its numbers times these numbers, summed over the tokens of a
    row (Michel et al. 2019, "Are Sixteen Heads Really Better than One?", equation 2; Molchanov et al.
    2017, "Pruning Convolutional Neural Networks for Resource Efficient Inference").

    Args:
        matrices: each reads its units side by side; one that is called several times in a pass
            (ALBERT) has the sum of all calls.
        units: how many of them there are, a number a matrix.

    Returns:
        (units,) each, in float64 on the CPU.

    Raises:
        UserError: there is no row.
    """
    import torch

    from nlpbench.training.objective import Objective

    objective = Objective(task)
    totals = [torch.zeros(count, dtype=torch.float64) for count in units]
    seen: list[list[torch.Tensor]] = [[] for _ in matrices]
    hooks = [
        matrix.register_forward_pre_hook(_keeper(seen[number]))
        for number, matrix in enumerate(matrices)
    ]
    rows = 0
    device = next(model.parameters()).device
    try:
        with torch.enable_grad():
            for batch in batches:
                inputs = {key: value.to(device) for key, value in batch.items()}
                labels = inputs.pop("labels")
                loss = objective.loss(task.forward(model, inputs), labels).sum()
                tensors = [tensor for calls in seen for tensor in calls]
                gradients = iter(torch.autograd.grad(loss, tensors, allow_unused=True))
                for number, calls in enumerate(seen):
                    effect: Any = 0.0
                    for tensor in calls:
                        gradient = next(gradients)
                        if gradient is not None:
                            effect = effect + _by_row(tensor, gradient, units[number])
                    if not isinstance(effect, float):
                        totals[number] += effect.abs().sum(dim=0).double().cpu()
                    calls.clear()
                rows += len(labels)
    finally:
        for hook in hooks:
            hook.remove()
    if not rows:
        raise UserError("there are no training rows to weigh heads and neurons by")
    return [total / rows for total in totals]


def _keeper(calls: list[torch.Tensor]) -> Any:
    def keep(module: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:  # noqa: ARG001
        read = arguments[0]
        if not read.requires_grad:
            read = read.requires_grad_()
        calls.append(read)
        return (read, *arguments[1:])

    return keep


def _by_row(tensor: torch.Tensor, gradient: torch.Tensor, units: int) -> torch.Tensor:
    """(rows, units) of (rows, …, numbers): the effects summed over tokens and within units."""
    product = (tensor.detach() * gradient).float()
    return product.reshape(len(product), -1, units, product.shape[-1] // units).sum(dim=(1, 3))


def of_heads(
    model: Any,
    task: Task,
    groups: Sequence[Heads],
    batches: Iterable[Mapping[str, torch.Tensor]],
) -> list[torch.Tensor]:
    """(heads,) for each attention, as `sensitivity`.

    XLNet's heads are read by a parameter and not by a module. The factor of a head has the gradient
    of its output weights times these weights, here of a batch and not of a row.
    """
    if all(group.output is not None for group in groups):
        readers = [group.output for group in groups]
        return sensitivity(model, task, readers, [group.count for group in groups], batches)
    return _of_parameters(model, task, [group.module.o for group in groups], batches)


def _of_parameters(
    model: Any,
    task: Task,
    weights: Sequence[torch.Tensor],
    batches: Iterable[Mapping[str, torch.Tensor]],
) -> list[torch.Tensor]:
    import torch

    from nlpbench.training.objective import Objective

    objective = Objective(task)
    totals = [torch.zeros(weight.shape[1], dtype=torch.float64) for weight in weights]
    rows = 0
    device = next(model.parameters()).device
    with torch.enable_grad():
        for batch in batches:
            inputs = {key: value.to(device) for key, value in batch.items()}
            labels = inputs.pop("labels")
            loss = objective.loss(task.forward(model, inputs), labels).sum()
            gradients = torch.autograd.grad(loss, list(weights))
            for total, weight, gradient in zip(totals, weights, gradients, strict=True):
                effect = (weight.detach() * gradient).sum(dim=(0, 2))
                total += effect.abs().double().cpu()
            rows += len(labels)
    if not rows:
        raise UserError("there are no training rows to weigh heads and neurons by")
    return [total / rows for total in totals]
