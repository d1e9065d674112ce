"""The kinds of models that transformers knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlpbench.config.errors import UserError
from nlpbench.config.problems import suggest

if TYPE_CHECKING:
    from transformers import PretrainedConfig


def blank_configuration(model_type: str) -> PretrainedConfig:
    """The configuration of a `model_type` with all its defaults.

    Raises:
        UserError: transformers knows no such type.
    """
    from transformers import CONFIG_MAPPING, AutoConfig

    try:
        return AutoConfig.for_model(model_type)
    except ValueError as error:
        advice = suggest(model_type, CONFIG_MAPPING)
        advice = advice if advice.startswith("did") else ""
        raise UserError(
            f"model.config: unknown model_type (got {model_type})  {advice}".rstrip()
        ) from error
