"""Sets dropout probabilities by what they act on, whatever an architecture calls them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlpbench.config.errors import UserError
from nlpbench.config.sections import Dropout

if TYPE_CHECKING:
    from transformers import PretrainedConfig

# Names in the configurations of transformers: every one that a model has is set.
EVERY = {
    "hidden": (
        "hidden_dropout_prob",  # BERT, RoBERTa, ALBERT, ELECTRA, DeBERTa
        "hidden_dropout",
        "dropout",  # DistilBERT, BART, Marian, Pegasus; XLNet, of attention as well
        "dropout_rate",  # T5, of attention as well
        "activation_dropout",  # BART
        "embd_pdrop",  # GPT-2
        "resid_pdrop",
        "embedding_dropout",  # ModernBERT
        "mlp_dropout",
    ),
    "attention": ("attention_probs_dropout_prob", "attention_dropout", "attn_pdrop"),
}
# Only the first that a model has: some carry others that this head does not read.
FIRST = {
    "classifier": (
        "classifier_dropout",
        "classifier_dropout_prob",  # ALBERT
        "seq_classif_dropout",  # DistilBERT
        "summary_last_dropout",  # XLNet
    )
}


def override(config: PretrainedConfig, wanted: Dropout) -> None:
    """Puts the probabilities into a model's configuration, before the model is made from it.

    What is not told stays. In transformers a head without a probability of its own follows
    `hidden`.

    Raises:
        UserError: one that this architecture does not have.
    """
    told = wanted.model_dump(exclude_none=True)
    lacking = [kind for kind in told if not _names(config, kind)]
    if lacking:
        allowed = [kind for kind in (*EVERY, *FIRST) if _names(config, kind)]
        raise UserError(
            f"model.dropout.{lacking[0]}: a {config.model_type} model has no such dropout of its "
            f"own; it has {', '.join(allowed) or 'none'}"
        )
    for kind, probability in told.items():
        for name in _names(config, kind):
            setattr(config, name, probability)


def _names(config: PretrainedConfig, kind: str) -> list[str]:
    if kind in EVERY:
        return [name for name in EVERY[kind] if hasattr(config, name)]
    return [name for name in FIRST[kind] if hasattr(config, name)][:1]
