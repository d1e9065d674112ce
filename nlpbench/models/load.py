"""Loads a model with a task's head, in float32, and says what was new in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError
from nlpbench.config.sections import Dropout, ModelSection
from nlpbench.models import adapted, compressed, pooling
from nlpbench.models import source as sources
from nlpbench.models.agreement import PaddingSide, agree
from nlpbench.models.architecture import look_back_only
from nlpbench.models.bare import bare_configuration, told
from nlpbench.models.dropout import override
from nlpbench.models.gguf import converted
from nlpbench.models.hub import told_clearly
from nlpbench.models.positions import check_positions
from nlpbench.models.renames import forget, renames

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class LoadedModel:
    """A model and where it came from.

    Attributes:
        directory: of its files, where there are any.
        commit: of the hub repository.
        fresh: names of weights that were not in the checkpoint, so are random.
    """

    model: PreTrainedModel
    directory: Path | None
    commit: str | None
    fresh: tuple[str, ...]


def load(
    section: ModelSection,
    auto_class: str | Sequence[str],
    head: dict[str, Any],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int | None,
    *,
    max_target_length: int | None = None,
    padding_side: PaddingSide | None = None,
) -> LoadedModel:
    """A model to train: pretrained weights where there are some, a new head where needed.

    Args:
        auto_class: of transformers; of several the first that has the architecture.
        head: what the head adds to the configuration.
        max_length: tokens that must have positions.
        max_target_length: tokens that must have positions in the decoder of an encoder-decoder.
        padding_side: where the tokenizer pads from now on; as the model was trained unless told.

    Raises:
        UserError: files missing or damaged, another architecture, `max_length` beyond its positions.
    """
    if section.config is not None:
        model = _bare(section.config, auto_class, head, tokenizer, section.dropout)
        loaded = LoadedModel(model, None, None, ())
    else:
        assert section.name_or_path is not None
        source = converted(sources.find(section.address, section.revision))
        if adapted.is_adapter(source.directory):
            raise UserError(
                f"{section.name_or_path} holds adapters, which cannot be trained further; train "
                "them with training.lora.merge: true, and take the model that this writes"
            )
        loaded = _pretrained(source, auto_class, head, section.dropout)
    _check_vocabulary(loaded.model, tokenizer)
    check_positions(loaded.model, max_length, max_target_length)
    agree(loaded.model, tokenizer, padding_side)
    return loaded


def load_finetuned(
    name_or_path: str,
    revision: str | None,
    auto_class: str | Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int | None,
    *,
    max_target_length: int | None = None,
    padding_side: PaddingSide | None = None,
) -> LoadedModel:
    """A model to evaluate: every weight must come from the checkpoint.

    Raises:
        UserError: as `load`, and for a model without a trained head.
    """
    source = converted(sources.find(name_or_path, revision))
    if source.directory is not None and adapted.is_adapter(source.directory):
        loaded = _with_adapters(source, source.directory, auto_class)
    elif source.directory is not None and (note := compressed.read_note(source.directory)):
        loaded = _compressed(source, source.directory, note, auto_class)
    else:
        loaded = _pretrained(source, auto_class, {})
    if loaded.fresh:
        raise UserError(
            f"{name_or_path} has no trained head for this task ({', '.join(loaded.fresh[:3])} "
            "missing); fine-tune it first"
        )
    _check_vocabulary(loaded.model, tokenizer)
    check_positions(loaded.model, max_length, max_target_length)
    agree(loaded.model, tokenizer, padding_side)
    return loaded


def _pretrained(
    source: sources.ModelSource,
    auto_class: str | Sequence[str],
    head: dict[str, Any],
    dropout: Dropout | None = None,
    config: PretrainedConfig | None = None,
) -> LoadedModel:
    import torch
    from transformers import AutoConfig
    from transformers.utils.hub import cached_file

    sources.check_weights(source)
    revision = source.revision or "main"
    asked = {key: value for key, value in head.items() if key != pooling.KEY}
    if config is None:
        with told_clearly(source, "configuration"):
            config = AutoConfig.from_pretrained(source.location, revision=revision, **asked)
        for key, value in asked.items():
            if not hasattr(config, key):  # which from_pretrained passes over
                setattr(config, key, value)
    loader = _loader(auto_class, config, source.name)
    look_back_only(config, loader.__name__, source.name)
    options = pooling.without_pooler(loader, config)
    names = renames(loader, config)
    loader = pooling.model_class(loader, config, head.get(pooling.KEY))
    if dropout is not None:
        override(config, dropout)
    with told_clearly(source, "weights"):
        model, info = loader.from_pretrained(
            source.location,
            revision=revision,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **({"key_mapping": names} if names else {}),
            **options,
        )
        if names:
            forget(model)
        file = cached_file(source.location, "config.json", revision=revision)
    missing = {*info["missing_keys"], *(item[0] for item in info["mismatched_keys"])}
    fresh = sorted(missing - _computed(model))
    _check_backbone(model, fresh, source.name)
    from pathlib import Path

    directory = source.directory or Path(str(file)).parent
    return LoadedModel(model, directory, getattr(config, "_commit_hash", None), tuple(fresh))


def _compressed(
    source: sources.ModelSource,
    directory: Path,
    note: compressed.Note,
    auto_class: str | Sequence[str],
) -> LoadedModel:
    """A compressed model, in the precision it was saved in."""
    import torch
    from transformers import AutoConfig

    if note.format == "transformers":
        loaded = _pretrained(source, auto_class, {})
        if note.dtype is not None:
            loaded.model.to(getattr(torch, note.dtype))
        return loaded
    sources.check_weights(source)
    with told_clearly(source, "configuration"):
        config = AutoConfig.from_pretrained(directory)
    loader = _loader(auto_class, config, source.name)
    look_back_only(config, loader.__name__, source.name)
    options = pooling.without_pooler(loader, config)
    loader = pooling.model_class(loader, config, None)
    model = compressed.load(directory, note, loader.from_config, config, **options)
    return LoadedModel(model, directory, None, ())


def _with_adapters(
    source: sources.ModelSource, directory: Path, auto_class: str | Sequence[str]
) -> LoadedModel:
    """The base model with adapters in it, of the base's own class."""
    base = adapted.read(directory)
    sources.check_weights(source)
    source = converted(base.source(directory))
    loaded = _pretrained(source, auto_class, {}, config=base.configuration())
    assert loaded.directory is not None
    base.check(sources.weights_hash(loaded.directory), directory)
    model, lacking = adapted.put_on(loaded.model, loaded.fresh, directory)
    return LoadedModel(model, directory, base.revision, lacking)


def _bare(
    options: dict[str, Any],
    auto_class: str | Sequence[str],
    head: dict[str, Any],
    tokenizer: PreTrainedTokenizerBase,
    dropout: Dropout | None,
) -> PreTrainedModel:
    import torch

    config = bare_configuration(options, head, tokenizer)
    loader = _loader(auto_class, config, f"model_type {config.model_type}")
    look_back_only(config, loader.__name__, "model.config")
    options = pooling.without_pooler(loader, config)
    loader = pooling.model_class(loader, config, head.get(pooling.KEY))
    if dropout is not None:
        override(config, dropout)
    try:
        return loader.from_config(config, dtype=torch.float32, **options)  # type: ignore[no-any-return]
    except Exception as error:
        raise UserError(f"model.config: {told(error)}") from error


def _loader(auto_class: str | Sequence[str], config: PretrainedConfig, name: str) -> Any:
    """The first of the Auto classes that knows the architecture.

    Raises:
        UserError: none of them does.
    """
    import transformers

    names = [auto_class] if isinstance(auto_class, str) else auto_class
    for one in names:
        loader = getattr(transformers, one)
        if type(config) in loader._model_mapping:
            return loader
    raise UserError(
        f"{name} is a {config.model_type} model, which transformers cannot load as "
        f"{' or '.join(names)}; take one that has such a head"
    )


def _computed(model: PreTrainedModel) -> set[str]:
    """Tables that are not learnt, so not always saved: the sinusoids of Marian and Pegasus.

    Where they are loaded, transformers takes them for weights to train, which never get a gradient.
    """
    names = set()
    for name, module in model.named_modules():
        if hasattr(module, "create_weight"):
            module.requires_grad_(False)
            names |= {f"{name}.{key}" for key, _ in module.named_parameters()}
    return names


def _check_backbone(model: PreTrainedModel, fresh: list[str], name: str) -> None:
    """A few new weights are a head or a pooler; many mean that the files are of another model."""
    prefix = f"{model.base_model_prefix}."
    backbone = [key for key in model.state_dict() if key.startswith(prefix)]
    if not backbone:  # the model is a base itself, or is like T5, which has none
        prefix, backbone = "", list(model.state_dict())
    missing = [key for key in fresh if key.startswith(prefix)]
    if len(missing) > len(backbone) / 4:
        raise UserError(
            f"the weights of {name} are not those of a {model.config.model_type} model: "
            f"{len(missing)} of {len(backbone)} are missing or of another shape, "
            f"such as {missing[0]}"
        )


def _check_vocabulary(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    weight: Any = model.get_input_embeddings().weight
    rows = weight.shape[0]
    if len(tokenizer) > rows:
        raise UserError(
            f"the tokenizer has {len(tokenizer)} entries and the model embeddings for {rows}; "
            "they do not belong together"
        )
