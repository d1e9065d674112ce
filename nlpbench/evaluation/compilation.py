"""Compiled models: the same predictions by fused kernels, which take long to make."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import RunError, UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

COMPILERS = ("c++", "g++", "clang++")


def compile_for_prediction(model: PreTrainedModel) -> None:
    """Has a model run compiled from its next call on, for batches of any size.

    That call makes the kernels, and another one where precision or device change. The model's
    weights stay its own.

    Raises:
        UserError: there is no C++ compiler to make kernels with.
    """
    if not any(map(shutil.which, COMPILERS)):
        raise UserError("evaluation.compile: true needs a C++ compiler, and none was found")
    from torch._dynamo.exc import TorchDynamoException

    model.compile(dynamic=True)
    compiled: Any = model._compiled_call_impl

    def call(*arguments: Any, **named: Any) -> Any:
        try:
            return compiled(*arguments, **named)
        except TorchDynamoException as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise RunError(
                f"torch.compile fails on {type(model).__name__} ({reason}); leave "
                "evaluation.compile out"
            ) from error

    model._compiled_call_impl = call
