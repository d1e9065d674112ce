"""What tasks have in common that learn to predict hidden tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, model_validator

from nlpbench.config.problems import Invalid, Problem
from nlpbench.tasks import Locate, Task
from nlpbench.tasks._columns import Texts, check_texts
from nlpbench.tasks.language.chosen_logits import forward_chosen
from nlpbench.tasks.language.framing import Frame
from nlpbench.tasks.language.masking import Masking, masking_for

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase


class MaskingTask(Task):
    """Hides a share of the tokens, anew at every visit, and has the model predict them."""

    masks_anew: ClassVar[bool] = True

    text_column: str = Field("text", description="column with the text of a document")
    mlm_probability: float = Field(0.15, gt=0, lt=1, description="the share of tokens to predict")
    mask_replace_prob: float = Field(
        0.8, ge=0, le=1, description="the share of these that the mask token replaces"
    )
    random_replace_prob: float = Field(
        0.1, ge=0, le=1, description="the share of these that a random token replaces"
    )
    whole_word_mask: bool = Field(False, description="draw words, with all their tokens")

    @model_validator(mode="after")
    def shares_fit(self) -> Self:
        whole = self.mask_replace_prob + self.random_replace_prob
        if whole > 1:
            message = f"and mask_replace_prob are shares of a whole, and make {whole:g} together"
            raise Invalid(Problem(("random_replace_prob",), message, "lower one of them"))
        return self

    @property
    def watched(self) -> str | None:
        return "loss"

    @property
    def columns(self) -> list[str]:
        return [self.text_column]

    def texts(self, rows: Dataset, locate: Locate) -> Sequence[str]:
        check_texts(rows, self.text_column, locate)
        return Texts(rows, [self.text_column])

    def forward(self, model: Any, inputs: Mapping[str, torch.Tensor]) -> Any:
        return forward_chosen(model, inputs)

    def _masking(self, tokenizer: PreTrainedTokenizerBase, frame: Frame) -> Masking:
        return masking_for(
            tokenizer,
            frame.tokens,
            probability=self.mlm_probability,
            replaced=self.mask_replace_prob,
            random=self.random_replace_prob,
        )
