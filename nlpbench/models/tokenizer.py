"""Loads a tokenizer, or trains one of the model's own kind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from nlpbench.config.errors import UserError
from nlpbench.config.sections import ModelSection
from nlpbench.models import source as sources
from nlpbench.models.blank_tokenizer import blank_tokenizer
from nlpbench.models.gguf import converted
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
        asked = section.tokenizer.train
        blank = blank_tokenizer(section.config["model_type"])
        tokenizer = train(blank, texts, asked.vocab_size, asked.type)
    elif section.tokenizer is not None:
        assert section.tokenizer.name_or_path is not None
        name = section.tokenizer.name_or_path
        tokenizer = _from_pretrained(sources.find(name, tokenizer_only=True))
    else:
        tokenizer = _from_pretrained(sources.find(section.address, section.revision))
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    tokenizer.deprecation_warnings["Asking-to-pad-a-fast-tokenizer"] = True
    return tokenizer


def _from_pretrained(source: sources.ModelSource) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    source = converted(source)
    sources.check_tokenizer(source)
    with told_clearly(source, "tokenizer"):
        return AutoTokenizer.from_pretrained(source.location, revision=source.revision or "main")
