"""Causal language modeling: a model that says the next token, and how well it does."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from nlpbench.config.errors import UserError
from nlpbench.config.problems import Invalid, Problem
from nlpbench.tasks import (
    Bundle,
    Collate,
    Columns,
    Inferred,
    Keep,
    Locate,
    Predictions,
    Task,
    keep_in_memory,
)
from nlpbench.tasks._columns import Texts, arrays, check_texts
from nlpbench.tasks.language import continuation, packing
from nlpbench.tasks.language.likelihood import UNSCORED, log_likelihoods
from nlpbench.tasks.language.windows import Window, most_tokens, rolling, strided
from nlpbench.tasks.writing.generation_settings import Generation

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger("nlpbench")
AT_ONCE = 1000  # features that are written together
VERSION = 1  # of the features' layout


class CausalLanguageModeling(Task):
    """The next token of a text, by a model that reads from left to right.

    A row is a document. Training joins documents to a stream, a token that ends one and a token
    that begins one between them, and cuts it into blocks of `block_size` tokens (`pack: true`); or
    cuts each document for itself, so that no block holds two (`pack: false`). Every token of a
    document and its end are learnt once an epoch. The loss is the mean cross entropy of all of
    them, padding never counted, in the head of transformers' `AutoModelForCausalLM`.

    Scored is the sum of the log-probabilities of each document's tokens, which `perplexity` reads;
    the token that ends a document is not scored. What a token is said after:

    - `windows: strided`: after at most `context_length` tokens, and at least `context_length` -
      `stride` + 1 unless the document begins there. The first token is said after the tokenizer's
      token for the beginning of a text (BOS, or CLS); where there is none, it is not scored.
    - `windows: rolling`: as in lm-evaluation-harness, in windows of `context_length` tokens side by
      side, each after one token of the window before; the last window of a document reaches back
      until it is full. The first token is said after BOS, or after EOS if there is none. What the
      tokenizer itself adds to a text is scored with it, as Llama's BOS, which thus comes twice.

    What the model writes after `prompts` is logged at the end, and stands in samples.jsonl.

    ```yaml
    task: {name: causal-language-modeling, block_size: 256, windows: strided, stride: 128}
    ```
    """

    text_column: str = Field("text", description="column with the text of a document")
    block_size: int = Field(512, ge=1, description="tokens of a block that is trained on")
    pack: bool = Field(
        True, description="several documents in a block, a token at each border; false: never two"
    )
    windows: Literal["strided", "rolling"] = Field(
        "strided", description="how a document longer than the context is scored"
    )
    context_length: int | None = Field(
        None,
        ge=1,
        description="tokens that are read at once to score; all the model has positions for, or "
        "block_size where it has no limit, unless told",
    )
    stride: int | None = Field(
        None,
        ge=1,
        description="tokens from one strided window to the next; half the context unless told",
    )
    prompts: list[str] = Field(
        [], description="texts that the model is to go on from, once trained"
    )
    generation: Generation = Field(
        Generation(do_sample=True),
        description="how it writes after the prompts; 64 tokens, drawn at random, unless told",
    )

    @model_validator(mode="after")
    def windows_fit(self) -> CausalLanguageModeling:
        if self.stride is None:
            return self
        if self.windows == "rolling":
            raise Invalid(Problem(("stride",), "needs windows: strided", at_key=True))
        if self.context_length is not None and self.stride > self.context_length:
            message = f"is more than context_length (got {self.stride} and {self.context_length})"
            raise Invalid(Problem(("stride",), message, "tokens between windows would be lost"))
        return self

    @property
    def answer(self) -> Literal["log-likelihoods"]:
        return "log-likelihoods"

    @property
    def max_tokens(self) -> None:
        return None  # `encode` looks at the lengths of blocks and windows

    def default_metrics(self) -> list[dict[str, Any]]:
        return [{"name": "perplexity"}]

    @property
    def columns(self) -> list[str]:
        return [self.text_column]

    @property
    def auto_classes(self) -> tuple[str, ...]:
        return ("AutoModelForCausalLM",)

    @property
    def generation_settings(self) -> dict[str, Any] | None:
        return self.generation.asked(continuation.NEW_TOKENS) if self.prompts else None

    def references(self, rows: Dataset, labels: Sequence[str], locate: Locate) -> NDArray[Any]:
        import numpy as np

        check_texts(rows, self.text_column, locate)
        sizes = np.zeros((len(rows), 2), dtype=np.int64)
        for row, text in enumerate(Texts(rows, self.columns)):
            sizes[row] = len(text.split()), len(text.encode("utf-8", "surrogatepass"))
        return sizes

    def texts(self, rows: Dataset, locate: Locate) -> Sequence[str]:
        check_texts(rows, self.text_column, locate)
        return Texts(rows, self.columns)

    def encode(
        self,
        rows: Dataset,
        references: NDArray[Any] | None,
        bundle: Bundle,
        keep: Keep = keep_in_memory,
        *,
        training: bool = False,
        corpus: Dataset | None = None,
    ) -> Dataset:
        tokenizer, borders = bundle.tokenizer, _borders(bundle.tokenizer)
        if bundle.model is not None:
            continuation.check(bundle.model, tokenizer, self.prompts, self.generation, borders)
        options: dict[str, Any] = {"version": VERSION, "text_column": self.text_column}
        cut: Any
        if training:
            self._check_positions(bundle, "block_size", self.block_size)
            options |= {"block_size": self.block_size, "pack": self.pack}
            cut = partial(self._blocks, tokenizer, borders)
        else:
            context, stride = self._context(bundle), self._stride(bundle)
            self._check_positions(bundle, "context_length", context)
            options |= {"windows": self.windows, "context_length": context, "stride": stride}
            cut = partial(self._windows, tokenizer, borders, context, stride)

        def encode(batches: Iterable[Columns]) -> Iterator[Columns]:
            features = iter(cut(batches))
            found = False
            while some := list(islice(features, AT_ONCE)):
                found = True
                yield _columns(some)
            if not found:
                raise UserError(
                    f"the column {self.text_column} has no two tokens of text in all of "
                    f"{len(rows)} rows; there is nothing to say after something"
                )

        return keep(rows.select_columns(self.columns), options, encode)

    def collate(self, bundle: Bundle, *, training: bool = False) -> Collate:
        filler = bundle.tokenizer.pad_token_id or 0

        def pad(features: list[dict[str, Any]]) -> Mapping[str, torch.Tensor]:
            import numpy as np
            import torch

            shape = len(features), max(len(row["input_ids"]) for row in features) - 1
            read, said = np.full(shape, filler), np.full(shape, UNSCORED)
            mask = np.zeros(shape, dtype=np.int64)
            for place, row in enumerate(features):
                ids, scored = row["input_ids"], row["scored"]
                end = len(ids) - 1
                read[place, :end] = ids[:-1]
                mask[place, :end] = 1
                said[place, end - scored : end] = ids[-scored:]
            batch = {"input_ids": read, "attention_mask": mask, "labels": said}
            return {key: torch.from_numpy(value) for key, value in batch.items()}

        return pad

    def forward(self, model: Any, inputs: Mapping[str, torch.Tensor]) -> Any:
        return model(**inputs, use_cache=False)

    def flat_labels(self, labels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (labels[labels != UNSCORED],)

    def flat_logits(self, outputs: Any, labels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        scored = labels != UNSCORED
        if scored.all():  # as of full blocks: no copy of what takes the most room
            return (outputs.logits.flatten(0, 1),)
        return (outputs.logits[scored],)

    def infer(
        self, bundle: Bundle, batch: Mapping[str, torch.Tensor], answers: bool = True
    ) -> Inferred:
        import numpy as np

        inputs = {key: value for key, value in batch.items() if key != "labels"}
        labels = batch["labels"]
        sums = log_likelihoods(bundle.model, inputs, labels, self.forward)
        counts = (labels != UNSCORED).sum(1).cpu().numpy().astype(np.float64)
        values = np.stack([sums, counts], axis=1)
        return Inferred(values, np.array([-sums.sum()]), np.array([counts.sum()]))

    def decode(
        self,
        values: NDArray[Any] | list[NDArray[Any]],
        features: Dataset,
        rows: Dataset,
        bundle: Bundle,
    ) -> Predictions:
        import numpy as np

        examples = np.concatenate(
            [np.asarray(part, dtype=np.int64) for part in arrays(features, "example")]
        )
        answers = np.zeros((len(rows), 2))
        np.add.at(answers, examples, np.asarray(values))
        return Predictions(answers, signature=self._signature(bundle))

    def samples(self, bundle: Bundle) -> dict[str, list[dict[str, Any]]]:
        if not self.prompts:
            return {}
        borders = _borders(bundle.tokenizer)
        arguments = bundle.model, bundle.tokenizer, self.prompts, self.generation, borders
        continuation.check(*arguments)
        texts = continuation.continuations(*arguments)
        for prompt, text in zip(self.prompts, texts, strict=True):
            logger.info("%s ▸%s", prompt, text)
        pairs = zip(self.prompts, texts, strict=True)
        return {"samples.jsonl": [{"prompt": prompt, "text": text} for prompt, text in pairs]}

    def _blocks(
        self,
        tokenizer: PreTrainedTokenizerBase,
        borders: packing.Borders,
        batches: Iterable[Columns],
    ) -> Iterator[tuple[int, Window]]:
        cut = packing.packed if self.pack else packing.separate
        documents = ((row, ids) for row, ids in self._documents(tokenizer, batches) if ids)
        for row, ids in cut(documents, borders, self.block_size):
            yield row, Window(ids, len(ids) - 1)

    def _windows(
        self,
        tokenizer: PreTrainedTokenizerBase,
        borders: packing.Borders,
        context: int,
        stride: int | None,
        batches: Iterable[Columns],
    ) -> Iterator[tuple[int, Window]]:
        for row, ids in self._documents(tokenizer, batches, special=stride is None):
            if stride is None:
                found = rolling(ids, _prefix(tokenizer, borders), context)
            else:
                begin = [] if borders.begin is None else [borders.begin]
                found = strided([*begin, *ids], context, stride)
            yield from ((row, window) for window in found)

    def _documents(
        self,
        tokenizer: PreTrainedTokenizerBase,
        batches: Iterable[Columns],
        special: bool = False,
    ) -> Iterator[packing.Document]:
        row = 0
        for batch in batches:
            found: Any = tokenizer(
                batch[self.text_column], add_special_tokens=special, verbose=False
            )
            for ids in found["input_ids"]:
                yield row, ids
                row += 1

    def _context(self, bundle: Bundle) -> int:
        limit = None if bundle.model is None else most_tokens(bundle.model)
        return self.context_length or limit or self.block_size

    def _stride(self, bundle: Bundle) -> int | None:
        """None for rolling windows."""
        if self.windows == "rolling":
            return None
        context = self._context(bundle)
        stride = max(1, context // 2) if self.stride is None else self.stride
        if stride > context:
            raise UserError(
                f"task.stride is {stride}, and the model reads {context} tokens at once: some "
                "between the windows would be lost; make it shorter"
            )
        return stride

    def _check_positions(self, bundle: Bundle, key: str, asked: int) -> None:
        limit = None if bundle.model is None else most_tokens(bundle.model)
        if limit is not None and asked > limit:
            raise UserError(
                f"task.{key} is {asked}, and this {bundle.model.config.model_type} model has "
                f"positions for {limit} tokens; set task.{key} to {limit} or less"
            )

    def _signature(self, bundle: Bundle) -> str:
        """What else than the documents the log-likelihoods follow from."""
        tokenizer, borders = bundle.tokenizer, _borders(bundle.tokenizer)
        parts = [f"windows:{self.windows}", f"context:{self._context(bundle)}"]
        before: Any = borders.begin
        if self.windows == "strided":
            parts.append(f"stride:{self._stride(bundle)}")
        else:
            before = _prefix(tokenizer, borders)
        first = "skipped" if before is None else f"after {tokenizer.convert_ids_to_tokens(before)}"
        return "|".join([*parts, f"first:{first}"])


def _borders(tokenizer: PreTrainedTokenizerBase) -> packing.Borders:
    """BOS and EOS; for an encoder's tokenizer what it has in their place."""
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    return packing.Borders(
        tokenizer.cls_token_id if begin is None else begin,
        tokenizer.sep_token_id if end is None else end,
    )


def _prefix(tokenizer: PreTrainedTokenizerBase, borders: packing.Borders) -> int:
    for found in (tokenizer.bos_token_id, tokenizer.eos_token_id, borders.begin):
        if found is not None:
            return int(found)
    raise UserError(
        "windows: rolling says the first token after BOS or EOS, and the tokenizer has neither; "
        "take windows: strided"
    )


def _columns(features: Sequence[tuple[int, Window]]) -> Columns:
    import numpy as np

    lengths = [len(window.ids) - 1 for _, window in features]
    return {
        "input_ids": [np.array(window.ids, dtype=np.int32) for _, window in features],
        "scored": [window.scored for _, window in features],
        "length": lengths,
        "whole_length": lengths,
        "example": [row for row, _ in features],
    }
