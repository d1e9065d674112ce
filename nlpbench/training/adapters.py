"""Low-rank adapters: a frozen model with small trained matrices beside its own (LoRA, DoRA)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError
from nlpbench.config.problems import suggest
from nlpbench.config.strategies import Lora
from nlpbench.models.adapted import need_peft, without_deprecations

if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel
    from torch import nn
    from transformers import PreTrainedModel

ALL = "all-linear"


def add(
    model: PreTrainedModel,
    section: Lora,
    fresh: Sequence[str] = (),
    directory: Path | None = None,
) -> PeftModel:
    """The model with adapters beside its linear layers (Hu et al. 2021, arXiv:2106.09685).

    Trained are the adapters and, as a whole, the head and whatever else the checkpoint did not
    have; all other weights are frozen. Before the first step it computes what the model does.

    Args:
        fresh: names of the weights that were not in the checkpoint.
        directory: of the model's files, where there are any.

    Raises:
        UserError: peft is not installed, or layers that the model does not have.
    """
    settings = _settings(model, section, fresh)
    settings.base_model_name_or_path = None if directory is None else str(directory)
    from peft import get_peft_model

    with without_deprecations():
        return get_peft_model(model, settings)


def check(model: PreTrainedModel, section: Lora, fresh: Sequence[str] = ()) -> None:
    """Raises the UserErrors of `add`, and leaves the model as it is."""
    _settings(model, section, fresh)


def _settings(model: PreTrainedModel, section: Lora, fresh: Sequence[str]) -> LoraConfig:
    need_peft("training.lora")
    from peft import LoraConfig
    from transformers.pytorch_utils import Conv1D

    whole = _trained_as_a_whole(model, fresh, section)
    layers = _linear_layers(model, whole)
    wanted = _targets(section, model.config.model_type, layers)
    chosen = [layer for name, layer in layers.items() if wanted == ALL or _is_one(name, wanted)]
    return LoraConfig(
        r=section.r,
        lora_alpha=section.alpha,  # type: ignore[arg-type]
        lora_dropout=section.dropout,
        target_modules=wanted,
        use_dora=section.use_dora,
        fan_in_fan_out=any(isinstance(layer, Conv1D) for layer in chosen),
        modules_to_save=whole,
        task_type="SEQ_CLS" if _classifies(model) else None,
    )


def finish(model: PeftModel, section: Lora) -> PeftModel | PreTrainedModel:
    """What is saved: with `merge` a plain model, to whose weights the adapters have been added."""
    merged: PreTrainedModel
    if section.merge:
        merged = model.merge_and_unload()
        return merged
    return model


def _classifies(model: PreTrainedModel) -> bool:
    return type(model).__name__.endswith("ForSequenceClassification")


def _trained_as_a_whole(model: PreTrainedModel, fresh: Sequence[str], section: Lora) -> list[str]:
    """The modules of the head, and those inside that would be random when loaded again."""
    inside = f"{model.base_model_prefix}."
    head = _head(model, fresh)
    owners = {name.rpartition(".")[0] for name in fresh if name.startswith(inside)}
    modules = dict(model.named_modules())
    holders = sorted(owner for owner in owners if any(modules[owner].children()))
    if holders and not section.merge:
        names = [name for name in fresh if name.rpartition(".")[0] in holders]
        raise UserError(
            f"training.lora: the checkpoint does not have {', '.join(names)}, which an adapter "
            "cannot bring with it; write merge: true"
        )
    return [*head, *sorted(owners - set(holders))]


def _head(model: PreTrainedModel, fresh: Sequence[str]) -> list[str]:
    """The modules outside the base model; of those that share its weights, what is fresh and theirs.

    A language model's last layer is the embedding table: to train a copy would part the two.
    """
    base: Any = model.base_model
    if base is model:
        return []
    shared = {id(parameter) for parameter in base.parameters()}
    untyped: Any = model
    words = untyped.get_output_embeddings()  # of a checkpoint, and as large as its vocabulary
    found = []
    for name, module in model.named_children():
        weights = list(module.parameters())
        if module is base or not weights or (module is words and f"{name}.weight" not in fresh):
            continue
        if not any(id(weight) in shared for weight in weights):
            found.append(name)
            continue
        owners = {key.rpartition(".")[0] for key in fresh if key.startswith(f"{name}.")}
        parts = dict(model.named_modules())
        found += sorted(
            owner
            for owner in owners
            if not any(parts[owner].children())
            and not any(id(weight) in shared for weight in parts[owner].parameters())
        )
    return found


def _linear_layers(model: PreTrainedModel, whole: Sequence[str]) -> dict[str, nn.Module]:
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D)
        and not any(f"{name}.".startswith(f"{taken}.") for taken in whole)
    }


def _targets(section: Lora, model_type: str, layers: dict[str, Any]) -> list[str] | str:
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as KNOWN

    key = "training.lora.target_modules"
    names = list(dict.fromkeys(name.rpartition(".")[2] for name in layers))
    if section.target_modules is None:
        known = KNOWN.get(model_type)
        if not isinstance(known, list) or not all(_any(layers, name) for name in known):
            raise UserError(
                f"{key}: peft has no default for {model_type}; write {ALL}, or some of "
                f"{', '.join(names)}"
            )
        return list(known)
    if section.target_modules == ALL:
        return ALL
    assert not isinstance(section.target_modules, str)
    for name in section.target_modules:
        if not _any(layers, name):
            raise UserError(
                f"{key}: no linear layer of this {model_type} model is called {name}, or it is in "
                f"the head, which is trained as a whole  {suggest(name, names)}"
            )
    return list(section.target_modules)


def _any(layers: dict[str, Any], name: str) -> bool:
    return any(_is_one(layer, [name]) for layer in layers)


def _is_one(layer: str, names: Sequence[str]) -> bool:
    """Whether peft takes the layer for one of the names."""
    return any(layer == name or layer.endswith(f".{name}") for name in names)
