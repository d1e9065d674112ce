"""How a model writes text: every setting told, nothing taken over from a checkpoint unseen."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedModel

# What is used where nothing else is asked for: greedy search without any penalty.
PLAIN: dict[str, Any] = {
    "min_new_tokens": None,
    "num_beams": 1,
    "length_penalty": 1.0,
    "early_stopping": False,
    "no_repeat_ngram_size": 0,
    "repetition_penalty": 1.0,
    "do_sample": False,
}
SAMPLING: dict[str, Any] = {"temperature": 1.0, "top_k": 50, "top_p": 1.0}
SEARCHING = ("length_penalty", "early_stopping")
# What belongs to the vocabulary of a checkpoint, so must be kept.
TOKENS = (
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "decoder_start_token_id",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "bad_words_ids",
    "suppress_tokens",
    "begin_suppress_tokens",
)
# Say nothing about what is written.
SILENT = ("use_cache", "transformers_version", "cache_implementation")


@dataclass(frozen=True)
class GenerationSettings:
    """The settings that a model generates with.

    Attributes:
        config: to put onto the model.
        differs: what the checkpoint's own settings say else, by their names; it is not applied.
    """

    config: GenerationConfig
    differs: dict[str, Any]

    @property
    def told(self) -> dict[str, Any]:
        """All settings by their names, for a record."""
        kept = ("max_new_tokens", *PLAIN, *SAMPLING, *TOKENS)
        values = {name: getattr(self.config, name) for name in kept}
        return {name: value for name, value in values.items() if value is not None}

    def put_onto(self, model: PreTrainedModel) -> None:
        """Has `model.generate` use them, and `save_pretrained` write them.

        Handing them to `generate` alone would not do: it fills every gap with what the model's own
        settings say.
        """
        model.generation_config = copy.deepcopy(self.config)


def generation_settings(
    model: PreTrainedModel, asked: Mapping[str, Any], key: str = "task.generation"
) -> GenerationSettings:
    """Settings as asked for, over plain greedy search, with the checkpoint's special tokens.

    Lengths, beams and penalties of a checkpoint's generation_config.json are not taken over: two
    models would be compared by how they search, and no config would say so.

    Args:
        asked: `max_new_tokens`, and any of num_beams, length_penalty, early_stopping,
            no_repeat_ngram_size, repetition_penalty, min_new_tokens, do_sample, temperature,
            top_k, top_p, and token ids such as forced_bos_token_id; what is None counts as unset.
        key: where they stand in the config, for errors.

    Raises:
        UserError: the model writes no text, or a setting has no effect on the others.
    """
    from transformers import GenerationConfig

    own = getattr(model, "generation_config", None)
    if own is None or not model.can_generate():
        raise UserError(f"this {model.config.model_type} model has no head that writes text")
    wanted = {name: value for name, value in asked.items() if value is not None}
    _check(wanted, key)
    sampling = SAMPLING if wanted.get("do_sample") else {}
    tokens = {name: _token(model, own, name) for name in TOKENS}
    values = {**PLAIN, **sampling, **tokens, **wanted}
    values = {name: value for name, value in values.items() if value is not None}
    config = GenerationConfig(**values)  # type: ignore[no-untyped-call]
    return GenerationSettings(config, _differences(own, values))


def _check(wanted: Mapping[str, Any], key: str) -> None:
    if "max_new_tokens" not in wanted:
        raise UserError(f"{key} needs max_new_tokens; models stop after 20 tokens otherwise")
    unknown = [
        name for name in wanted if name not in {"max_new_tokens", *PLAIN, *SAMPLING, *TOKENS}
    ]
    if unknown:
        raise UserError(f"{key}: unknown settings {', '.join(unknown)}")
    if not wanted.get("do_sample"):
        for name, neutral in SAMPLING.items():
            if wanted.get(name, neutral) != neutral:
                raise UserError(f"{key}.{name} needs {key}.do_sample: true (got {wanted[name]})")
    if wanted.get("num_beams", 1) == 1:
        for name in SEARCHING:
            if wanted.get(name, PLAIN[name]) != PLAIN[name]:
                raise UserError(
                    f"{key}.{name} is of beam search, and num_beams is 1 (got {wanted[name]}); "
                    "leave it out, or set num_beams to 2 or more"
                )
    if wanted.get("min_new_tokens", 0) > wanted["max_new_tokens"]:
        raise UserError(
            f"{key}.min_new_tokens is {wanted['min_new_tokens']}, and max_new_tokens "
            f"{wanted['max_new_tokens']}; it must not be more"
        )


def _token(model: PreTrainedModel, own: GenerationConfig, name: str) -> Any:
    found = getattr(own, name, None)
    return getattr(model.config, name, None) if found is None else found


def _differences(own: GenerationConfig, values: Mapping[str, Any]) -> dict[str, Any]:
    """What the checkpoint's settings say that is neither used nor what there is without saying."""
    used = {**SAMPLING, **PLAIN, **values}
    neutral = own._get_default_generation_params()
    return {
        name: value
        for name, value in own.to_diff_dict().items()
        if value is not None
        and value != used.get(name, neutral.get(name))
        and not name.startswith(("_", "output_", "return_"))
        and name not in SILENT
    }
