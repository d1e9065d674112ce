"""A tokenizer of a model's own kind that knows its special tokens, and no words yet."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError
from nlpbench.models.architecture import blank_configuration

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

UNNAMED = (None, "TokenizersBackend")  # transformers names no class that could be made blank


@dataclass(frozen=True)
class Form:
    """What tokenizers of a family have in common.

    Attributes:
        tokens: special tokens in the order of their ids, by their roles.
        single: the template around one text.
        pair: the template around two.
        kind: of the model of pieces.
    """

    tokens: dict[str, str]
    single: str
    pair: str
    kind: str


MARIAN = Form(
    {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"},
    "$A </s>",
    "$A $B </s>",
    "unigram",
)
MODERNBERT = Form(
    {
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    },
    "[CLS] $A [SEP]",
    "[CLS] $A [SEP] $B:1 [SEP]:1",
    "bpe",
)
LLAMA = Form(
    {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}, "<s> $A", "<s> $A $B:1", "bpe"
)
PAD = "<pad>"
PEGASUS = ["<pad>", "</s>", "<mask_1>", "<mask_2>", *(f"<unk_{n}>" for n in range(2, 103)), "<unk>"]
FORMS = {"marian": MARIAN, "modernbert": MODERNBERT}


def blank_tokenizer(model_type: str) -> PreTrainedTokenizerBase:
    """The tokenizer that `train` fills with pieces.

    Where transformers has a class for the model, it is that class. Some models only ever come with
    a file of their own: Marian, ModernBERT, Llama and the decoders like it. These get the special
    tokens and the template that the models were published with. GPT-2's class has no pad token; it
    gets one, so that the end of a text is another token and can be learnt.

    Raises:
        UserError: transformers does not know the model, or no tokenizer can be made for it.
    """
    import transformers
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

    blank_configuration(model_type)
    if (form := _form(model_type)) is not None:
        return _formed(form)
    name = TOKENIZER_MAPPING_NAMES.get(model_type)
    kind = getattr(transformers, name, None) if isinstance(name, str) else None
    if kind is None or not hasattr(kind, "train_new_from_iterator"):
        raise UserError(
            f"no tokenizer can be trained for model_type {model_type}; "
            "name one with model.tokenizer.name_or_path"
        )
    if kind.__name__ == "PegasusTokenizer":
        return kind(vocab=[(token, 0.0) for token in PEGASUS])  # type: ignore[no-any-return]
    blank = kind()
    if blank.pad_token in (None, blank.eos_token):
        blank = kind(pad_token=PAD)
    return blank  # type: ignore[no-any-return]


def backend(kind: str) -> Tokenizer:
    """How a text is cut into words, and pieces joined again, without any pieces.

    Every kind gives a text back from its pieces: bpe byte for byte; wordpiece and unigram with
    single spaces, and as composed characters (NFC). Both mark where a word begins, and let no
    piece go from a word into a punctuation mark.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    if kind == "bpe":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        return tokenizer
    tokenizer = Tokenizer(models.Unigram() if kind == "unigram" else models.WordPiece())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Metaspace(),
            pre_tokenizers.Punctuation(),
        ]
    )
    inside = [] if kind == "unigram" else [decoders.Replace(Regex("^##"), "")]
    tokenizer.decoder = decoders.Sequence([*inside, decoders.Metaspace()])
    return tokenizer


def _form(model_type: str) -> Form | None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

    if model_type in FORMS:
        return FORMS[model_type]
    unnamed = TOKENIZER_MAPPING_NAMES.get(model_type) in UNNAMED
    decodes = model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    if unnamed and decodes and not blank_configuration(model_type).is_encoder_decoder:
        return LLAMA
    return None


def _formed(form: Form) -> PreTrainedTokenizerBase:
    from tokenizers import processors

    tokens = list(form.tokens.values())
    tokenizer = backend(form.kind)
    tokenizer.add_special_tokens(tokens)
    numbered: Any = [(token, number) for number, token in enumerate(tokens)]
    template = processors.TemplateProcessing(form.single, form.pair, numbered)
    tokenizer.post_processor = template
    return wrapped(json.loads(tokenizer.to_str()), tokens, dict(form.tokens))


def wrapped(
    rules: dict[str, Any], special: list[str], named: dict[str, Any], **options: Any
) -> PreTrainedTokenizerBase:
    """A tokenizer of transformers around rules as in tokenizer.json, which it saves as they are."""
    from tokenizers import AddedToken, Tokenizer
    from transformers import TokenizersBackend

    tokenizer = Tokenizer.from_str(json.dumps(rules))
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    options.setdefault("model_input_names", ["input_ids", "attention_mask"])
    kind: Any = TokenizersBackend
    return kind(  # type: ignore[no-any-return]
        tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, **named, **options
    )
