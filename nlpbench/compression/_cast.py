"""What float16 and bfloat16 have in common: every weight in 16 bits, computed so as well."""

from __future__ import annotations

from abc import ABC
from typing import TYPE_CHECKING, Any, ClassVar, cast

from nlpbench.compression import Context, Method
from nlpbench.config.errors import UserError

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

    from nlpbench.tasks import Task


class Cast(Method, ABC):
    """Weights in a narrower type. The model computes in it too, wherever it is loaded."""

    trainable: ClassVar[bool] = False
    takes_compressed: ClassVar[bool] = False

    def check(self, configuration: PretrainedConfig, task: Task) -> None:
        from nlpbench.evaluation.device import OVERFLOWS_IN_FP16

        if self.name == "float16" and configuration.model_type in OVERFLOWS_IN_FP16:
            raise UserError(
                f"float16: a {configuration.model_type} model overflows in it; take bfloat16"
            )

    def apply(self, model: PreTrainedModel, context: Context) -> PreTrainedModel:
        import torch

        return cast(Any, model).to(getattr(torch, self.name))  # type: ignore[no-any-return]
