"""Loads a tokenizer, or trains one of the model's own kind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from nlpbench.config.errors import UserError
from nlpbench.config.sections import ModelSection
from nlpbench.models import source as sources
from nlpbench.models.architecture import blank_configuration
from nlpbench.models.hub import told_clearly
from nlpbench.models.train_tokenizer import train

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def load(section: ModelSection, texts: Iterable[str] = ()) -> PreTrainedTokenizerBase:
    """The tokenizer of a model section, with a pad token and the padding side its model needs.

    Args:
        texts: the training texts, read where the config asks for a trained tokenizer.

    Raises:
        UserError: there is none, or none can be trained for this kind of model.
    """
    if section.tokenizer is not None and section.tokenizer.train is not None:
        assert section.config is None or isinstance(section.config["model_type"], str)
        if section.config is None:
            raise UserError(
                "model.tokenizer.train needs model.config: a pretrained model knows only "
                "the tokens of its own tokenizer"
            )
        tokenizer = _train(section.config["model_type"], texts, section.tokenizer.train.vocab_size)
    elif section.tokenizer is not None:
        assert section.tokenizer.name_or_path is not None
        name = section.tokenizer.name_or_path
        tokenizer = _from_pretrained(sources.find(name, tokenizer_only=True))
    else:
        assert section.name_or_path is not None
        tokenizer = _from_pretrained(sources.find(section.name_or_path, section.revision))
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    tokenizer.deprecation_warnings["Asking-to-pad-a-fast-tokenizer"] = True
    return tokenizer


def _from_pretrained(source: sources.ModelSource) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    sources.check_tokenizer(source)
    with told_clearly(source, "tokenizer"):
        return AutoTokenizer.from_pretrained(source.location, revision=source.revision or "main")


def _train(model_type: str, texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerBase:
    import transformers
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

    blank_configuration(model_type)
    name = TOKENIZER_MAPPING_NAMES.get(model_type)
    blank = getattr(transformers, name, None) if isinstance(name, str) else None
    if blank is None or not hasattr(blank, "train_new_from_iterator"):
        raise UserError(
            f"no tokenizer can be trained for model_type {model_type}; "
            "name one with model.tokenizer.name_or_path"
        )
    return train(blank(), texts, vocab_size)
